// Handles: a table of slots that grows by chunks and never shrinks.
//
// One word of a slot holds its whole state: how often the slot was used (odd: it is in use),
// whether the handle has ended, and how many calls are on its object. The thread that ends the
// handle, or that leaves it last, takes the object and frees the slot. Slots are reused in the
// order in which they became free, so that a number comes back only after four billion uses of its
// slot.
#include "face/c/handles.hpp"

#include <array>
#include <atomic>
#include <new>

#include "base/ranked_mutex.hpp"
#include "os/per_process.hpp"

namespace sluice::c {
namespace {

constexpr std::uint32_t no_slot = ~std::uint32_t{0};
constexpr std::uint32_t slots_per_chunk = 1024;
constexpr std::uint32_t most_chunks = 4096;

// Bits of a slot's word: 0 to 30 holders, 31 ended, 32 to 63 generation.
constexpr std::uint64_t ended = std::uint64_t{1} << 31;
constexpr std::uint64_t holders = ended - 1;
constexpr unsigned generation_shift = 32;

struct Slot {
  std::atomic<std::uint64_t> word{0};
  std::atomic<void*> object{nullptr};
  std::atomic<HandleKind> kind{HandleKind::none};
  std::uint32_t next = no_slot;  // in the list of free slots
};

struct Chunk {
  std::array<Slot, slots_per_chunk> slots;
};

constinit std::array<std::atomic<Chunk*>, most_chunks> chunks{};

std::uint32_t slots_in_chunks() noexcept {
  std::uint32_t count = 0;
  while (count < most_chunks && chunks[count].load(std::memory_order_acquire) != nullptr) ++count;
  return count * slots_per_chunk;
}

// The slots that no handle uses. A forked child has the handles of its parent, and puts its own
// into new chunks: which slots of the others are free is known to a list that may be half changed.
struct FreeSlots {
  RankedMutex mutex{LockRank::handles, "handles"};
  std::uint32_t used SLUICE_GUARDED_BY(mutex) = slots_in_chunks();
  std::uint32_t first_free SLUICE_GUARDED_BY(mutex) = no_slot;
  std::uint32_t last_free SLUICE_GUARDED_BY(mutex) = no_slot;
};

// A handle: bits 0 to 2 kind, 3 to 24 slot, 25 to 56 generation.
constexpr unsigned slot_shift = 3;
constexpr unsigned handle_generation_shift = 25;
constexpr std::uint64_t slot_mask = (std::uint64_t{1} << 22) - 1;

struct Name {
  HandleKind kind;
  std::uint32_t slot;
  std::uint32_t generation;
};

const void* handle_of(const Name& name) noexcept {
  return reinterpret_cast<const void*>(  // NOLINT(performance-no-int-to-ptr): it leads nowhere
      static_cast<std::uint64_t>(name.kind) | std::uint64_t{name.slot} << slot_shift |
      std::uint64_t{name.generation} << handle_generation_shift);
}

Name name_of(const void* handle) noexcept {
  const auto bits = reinterpret_cast<std::uint64_t>(handle);
  const Name name{static_cast<HandleKind>(bits & 7),
                  static_cast<std::uint32_t>(bits >> slot_shift & slot_mask),
                  static_cast<std::uint32_t>(bits >> handle_generation_shift)};
  return handle_of(name) == handle ? name : Name{HandleKind::none, 0, 0};
}

Slot* slot_at(std::uint32_t index) noexcept {
  Chunk* const chunk = chunks[index / slots_per_chunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &chunk->slots[index % slots_per_chunk];
}

std::uint32_t take_slot() noexcept {
  FreeSlots& all = os::per_process<FreeSlots>();
  MutexLock lock(all.mutex);
  if (all.first_free != no_slot) {
    const std::uint32_t index = all.first_free;
    all.first_free = slot_at(index)->next;
    if (all.first_free == no_slot) all.last_free = no_slot;
    return index;
  }
  if (all.used == most_chunks * slots_per_chunk) return no_slot;
  std::atomic<Chunk*>& chunk = chunks[all.used / slots_per_chunk];
  if (chunk.load(std::memory_order_relaxed) == nullptr) {
    auto* const made = new (std::nothrow) Chunk;
    if (made == nullptr) return no_slot;
    chunk.store(made, std::memory_order_release);
  }
  return all.used++;
}

void free_slot(std::uint32_t index, Slot& slot) noexcept {
  FreeSlots& all = os::per_process<FreeSlots>();
  MutexLock lock(all.mutex);
  slot.next = no_slot;
  if (all.last_free == no_slot)
    all.first_free = index;
  else
    slot_at(all.last_free)->next = index;
  all.last_free = index;
}

// The handle has ended and no call holds the object: it is the caller's.
void* take_object(const Name& name, Slot& slot) noexcept {
  void* const object = slot.object.exchange(nullptr, std::memory_order_acq_rel);
  slot.kind.store(HandleKind::none, std::memory_order_relaxed);
  slot.word.store(std::uint64_t{name.generation + 1} << generation_shift,
                  std::memory_order_release);
  free_slot(name.slot, slot);
  return object;
}

// True if a slot's word is that of a live handle.
bool is_alive(std::uint64_t word, const Name& name) noexcept {
  return word >> generation_shift == name.generation && (word & ended) == 0 &&
         (name.generation & 1) != 0;
}

// Changes the word of a live handle's slot and returns the old word, or nothing if the handle is
// not alive.
template <typename Change>
bool change_live(HandleKind kind, const Name& name, Slot*& slot, std::uint64_t& before,
                 Change change) noexcept {
  if (name.kind != kind || name.slot >= most_chunks * slots_per_chunk) return false;
  slot = slot_at(name.slot);
  if (slot == nullptr) return false;
  before = slot->word.load(std::memory_order_acquire);
  do {
    if (!is_alive(before, name) || slot->kind.load(std::memory_order_relaxed) != kind) return false;
  } while (!slot->word.compare_exchange_weak(before, change(before), std::memory_order_acq_rel));
  return true;
}

}  // namespace

const char* to_string(HandleKind kind) noexcept {
  switch (kind) {
    case HandleKind::space:
      return "space";
    case HandleKind::queue:
      return "queue";
    case HandleKind::lease:
      return "lease";
    case HandleKind::pool:
      return "pool";
    case HandleKind::mapping:
      return "mapping";
    case HandleKind::scope:
      return "scope";
    case HandleKind::none:
      break;
  }
  return "handle";
}

namespace handles {

const void* make(HandleKind kind, void* object) noexcept {
  const std::uint32_t index = take_slot();
  if (index == no_slot) return nullptr;
  Slot& slot = *slot_at(index);
  const auto generation = static_cast<std::uint32_t>(
      (slot.word.load(std::memory_order_relaxed) >> generation_shift) | 1);
  slot.object.store(object, std::memory_order_relaxed);
  slot.kind.store(kind, std::memory_order_relaxed);
  slot.word.store(std::uint64_t{generation} << generation_shift, std::memory_order_release);
  return handle_of({kind, index, generation});
}

void* hold(HandleKind kind, const void* handle) noexcept {
  Slot* slot = nullptr;
  std::uint64_t before = 0;
  if (!change_live(kind, name_of(handle), slot, before,
                   [](std::uint64_t word) { return word + 1; }))
    return nullptr;
  return slot->object.load(std::memory_order_acquire);
}

void* let_go(const void* handle) noexcept {
  const Name name = name_of(handle);
  Slot& slot = *slot_at(name.slot);
  const std::uint64_t after = slot.word.fetch_sub(1, std::memory_order_acq_rel) - 1;
  return (after & ended) != 0 && (after & holders) == 0 ? take_object(name, slot) : nullptr;
}

bool end(HandleKind kind, const void* handle, void*& object) noexcept {
  const Name name = name_of(handle);
  Slot* slot = nullptr;
  std::uint64_t before = 0;
  if (!change_live(kind, name, slot, before, [](std::uint64_t word) { return word | ended; }))
    return false;
  object = (before & holders) == 0 ? take_object(name, *slot) : nullptr;
  return true;
}

}  // namespace handles
}  // namespace sluice::c
