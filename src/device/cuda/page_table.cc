// Maps device memory at managed addresses with the driver's virtual-memory calls.
//
// The driver must own the addresses: the window's reservation is given up and made again by the
// driver in the same place. The host then has the driver's inaccessible mapping there, and the
// application view is laid over it.
//
// Every mapping is for reading and writing. The driver changes the rights of a live mapping by
// removing its entries and making new ones, and a kernel that reads there meanwhile dies of an
// illegal address (measured on an H200: the rights of a block that a kernel read were raised for
// the next launch). So rights never change, and a store to memory that a launch named for reading
// is not noticed.
//
// A mapping protects nothing here, because a GPU survives no access without one, and taking it away
// and making it again is 28 us for a block. So it stays when the device's right to the bytes ends,
// as it does whenever the host stores to one of them, and when the memory is free, until it is to
// lie elsewhere. What it does not do: decide whether a kernel still uses a mapping. Its callers
// have waited.
#include "device/cuda/page_table.hpp"

#include <sys/mman.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <thread>

#include "os/address_window.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"

namespace sluice::device::cuda {
namespace {

using namespace std::chrono_literals;

constexpr int reservation_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
// The driver answers NOT_READY now and then while others map or evict; it is asked again for this
// long.
constexpr int most_tries = 1000;
constexpr auto between_tries = 1ms;

constexpr std::uint64_t bit(int device) noexcept { return std::uint64_t{1} << device; }

}  // namespace

Result<void> PageTable::start() {
  void* const hint = os::pointer_for_call(window_.begin);
  os::calls().munmap(hint, window_.size);
  CUdeviceptr got = 0;
  const CUresult error =
      driver_.address_reserve(&got, window_.size, block_size, window_.begin.value, 0);
  if (error != success || got != window_.begin.value) {
    if (error == success) (void)driver_.address_free(got, window_.size);
    os::calls().mmap(hint, window_.size, PROT_NONE, reservation_flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (error != success) return driver_.failed(error, "cuMemAddressReserve");
    return fail(ErrorCode::out_of_host_memory,
                "the CUDA driver reserves %zu bytes of addresses at %#llx instead of %#lx",
                window_.size, got, window_.begin.value);
  }
  reserved_ = true;
  const std::size_t blocks = window_.size / block_size;
  void* const table = os::calls().mmap(nullptr, blocks * sizeof(Entry), PROT_READ | PROT_WRITE,
                                       reservation_flags, -1, 0);
  if (table == MAP_FAILED) return os::call_failed(errno, "mapping the table of blocks");
  entries_ = static_cast<Entry*>(table);
  return {};
}

PageTable::~PageTable() {
  if (entries_ != nullptr) os::calls().munmap(entries_, window_.size / block_size * sizeof(Entry));
  if (!reserved_) return;
  // The driver removes its host mapping with the reservation; the addresses return to their former
  // owner.
  (void)driver_.address_free(window_.begin.value, window_.size);
  os::calls().mmap(os::pointer_for_call(window_.begin), window_.size, PROT_NONE,
                   reservation_flags | MAP_FIXED_NOREPLACE, -1, 0);
}

void PageTable::admit(int device, int gpu) noexcept {
  const MutexLock lock(mutex_);
  gpus_[static_cast<std::size_t>(device)] = gpu;
  admitted_ |= bit(device);
}

bool PageTable::is_shared() noexcept {
  const MutexLock lock(mutex_);
  return std::popcount(admitted_) > 1;
}

std::uint64_t PageTable::beside(int device) const noexcept {
  std::uint64_t found = 0;
  for (std::uint64_t rest = admitted_; rest != 0; rest &= rest - 1) {
    const int other = __builtin_ctzll(rest);
    if (gpus_[static_cast<std::size_t>(other)] == gpus_[static_cast<std::size_t>(device)])
      found |= bit(other);
  }
  return found;
}

Result<void> PageTable::open_to(int device, AddressSpan span) const {
  const int gpu = gpus_[static_cast<std::size_t>(device)];
  const CUmemAccessDesc description{{location_device, gpu}, access_read_write};
  CUresult error = success;
  for (int tries = 0; tries < most_tries; ++tries) {
    error = driver_.memory_set_access(span.begin.value, span.size, &description, 1);
    if (error != error_not_ready) break;
    std::this_thread::sleep_for(between_tries);
  }
  if (error == success) return {};
  return driver_.failed(error, "cuMemSetAccess");
}

Result<void> PageTable::map(int device, const BlockMapping& wanted) {
  Entry& entry = entry_of(wanted.block);
  if (entry.memory != wanted.memory) {
    if ((entry.devices & ~bit(device)) != 0)
      return fail(ErrorCode::busy, "%#lx is mapped on another GPU, and a process has one mapping",
                  wanted.block.value);
    unmap(entry);
    SLUICE_TRY(put(wanted));
  }
  entry.devices |= bit(device);
  return {};
}

Result<void> PageTable::put(const BlockMapping& wanted) {
  const CUresult error =
      driver_.memory_map(wanted.block.value, block_size, 0, wanted.memory->handle, 0);
  if (error != success) return driver_.failed(error, "cuMemMap");
  entry_of(wanted.block).memory = wanted.memory;
  wanted.memory->mapped_at = wanted.block;
  return {};
}

void PageTable::note_open(Entry& entry, std::uint64_t devices) const noexcept {
  entry.in_force |= devices;
  CUdeviceptr nowhere = 0;
  if (std::popcount(admitted_) == 1)
    (void)entry.memory->copied_at.compare_exchange_strong(nowhere, entry.memory->mapped_at.value);
}

void PageTable::unmap(Entry& entry) noexcept {
  if (entry.memory == nullptr) return;
  CUdeviceptr here = entry.memory->mapped_at.value;
  (void)entry.memory->copied_at.compare_exchange_strong(here, 0);
  (void)driver_.memory_unmap(entry.memory->mapped_at.value, block_size);
  entry.memory->mapped_at = {};
  entry = {};
}

Result<void> PageTable::update(int device, std::span<const BlockMapping> blocks) {
  const MutexLock lock(mutex_);
  const auto end_rights = [&](std::span<const BlockMapping> gone) {
    for (const BlockMapping& mapping : gone) entry_of(mapping.block).devices &= ~bit(device);
  };
  if (blocks.empty() || blocks.front().memory == nullptr) {
    end_rights(blocks);
    return {};
  }
  const std::uint64_t sharers = beside(device);
  std::array<BlockMapping, most_blocks> added{};
  std::size_t added_count = 0;
  Result<void> done;
  for (std::size_t i = 0; i < blocks.size() && done; ++i) {
    const bool is_new = (entry_of(blocks[i].block).devices & bit(device)) == 0;
    done = map(device, blocks[i]);
    if (is_new) added[added_count++] = {blocks[i].block};
  }
  const auto in_force = [&](std::size_t index) {
    return (entry_of(blocks[index].block).in_force & sharers) != 0;
  };
  for (std::size_t i = 0; i < blocks.size() && done;) {
    if (in_force(i)) {
      ++i;
      continue;
    }
    std::size_t end = i + 1;
    while (end < blocks.size() && blocks[end].block == blocks[end - 1].block + block_size &&
           !in_force(end))
      ++end;
    done = open_to(device, {blocks[i].block, (end - i) * block_size});
    for (; done && i < end; ++i) note_open(entry_of(blocks[i].block), sharers);
  }
  if (!done) end_rights({added.data(), added_count});
  return done;
}

MemoryBlock* PageTable::idle_at(Address block) noexcept {
  const MutexLock lock(mutex_);
  const Entry& entry = entry_of(block);
  return entry.devices == 0 ? entry.memory : nullptr;
}

bool PageTable::is_mapped(Address block) noexcept {
  const MutexLock lock(mutex_);
  return entry_of(block).memory != nullptr;
}

void PageTable::lay_idle(int device, std::span<const BlockMapping> blocks) noexcept {
  const MutexLock lock(mutex_);
  AddressSpan run{};
  const auto open_run = [&] {
    const bool opened = run.size == 0 || open_to(device, run).has_value();
    for (; run.size != 0; run = {run.begin + block_size, run.size - block_size}) {
      Entry& entry = entry_of(run.begin);
      if (opened)
        note_open(entry, beside(device));
      else
        unmap(entry);
    }
  };
  for (const BlockMapping& wanted : blocks) {
    if (entry_of(wanted.block).memory != nullptr) continue;
    if (run.size != 0 && run.end() != wanted.block) open_run();
    if (!put(wanted)) break;
    run = {run.size == 0 ? wanted.block : run.begin, run.size + block_size};
  }
  open_run();
}

void PageTable::let_go(MemoryBlock& memory) noexcept {
  const MutexLock lock(mutex_);
  if (memory.mapped_at != Address{}) unmap(entry_of(memory.mapped_at));
}

void PageTable::clear(int device) noexcept {
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < window_.size / block_size; ++i) {
    Entry& entry = entries_[i];
    entry.devices &= ~bit(device);
    if (entry.devices == 0) unmap(entry);
  }
}

}  // namespace sluice::device::cuda
