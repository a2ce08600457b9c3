// Spaces: one list behind one mutex. A forked child finds its parent's spaces there too; their
// engines refuse its calls.
#include "engine/spaces.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <vector>

#include "base/ranked_mutex.hpp"

namespace sluice::engine::spaces {
namespace {

struct Entry {
  const RangeBytes* key;
  AddressSpan window;
  std::weak_ptr<RangeBytes> space;
};

struct List {
  RankedMutex mutex{LockRank::spaces, "spaces"};
  std::vector<Entry> entries SLUICE_GUARDED_BY(mutex);
};

// Never destroyed: a space may close after the destructors of static objects.
List& list() noexcept {
  alignas(List) static std::array<std::byte, sizeof(List)> memory;
  static List& made = *new (memory.data()) List;
  return made;
}

}  // namespace

std::uint32_t next_number() noexcept {
  static std::atomic<std::uint32_t> last{0};
  std::uint32_t number = 0;
  while (number == 0) number = ++last;
  return number;
}

void enter(const std::shared_ptr<RangeBytes>& space, AddressSpan window) {
  MutexLock lock(list().mutex);
  list().entries.push_back({space.get(), window, space});
}

void leave(const RangeBytes& space) noexcept {
  MutexLock lock(list().mutex);
  std::erase_if(list().entries, [&](const Entry& entry) { return entry.key == &space; });
}

std::shared_ptr<RangeBytes> touched_by(AddressSpan span) noexcept {
  MutexLock lock(list().mutex);
  for (const Entry& entry : list().entries) {
    if (!entry.window.overlaps(span)) continue;
    if (std::shared_ptr<RangeBytes> space = entry.space.lock()) return space;
  }
  return nullptr;
}

}  // namespace sluice::engine::spaces
