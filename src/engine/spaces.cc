// Spaces: one list behind one mutex. A forked child has a list of its own: its parent's spaces are
// not in it, and accesses to their addresses segfault there.
#include "engine/spaces.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "os/per_process.hpp"

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

}  // namespace

std::uint32_t next_number() noexcept {
  static std::atomic<std::uint32_t> last{0};
  std::uint32_t number = 0;
  while (number == 0) number = ++last;
  return number;
}

void enter(const std::shared_ptr<RangeBytes>& space, AddressSpan window) {
  List& list = os::per_process<List>();
  MutexLock lock(list.mutex);
  list.entries.push_back({space.get(), window, space});
}

void leave(const RangeBytes& space) noexcept {
  List& list = os::per_process<List>();
  MutexLock lock(list.mutex);
  std::erase_if(list.entries, [&](const Entry& entry) { return entry.key == &space; });
}

std::shared_ptr<RangeBytes> touched_by(AddressSpan span) noexcept {
  List& list = os::per_process<List>();
  MutexLock lock(list.mutex);
  for (const Entry& entry : list.entries) {
    if (!entry.window.overlaps(span)) continue;
    if (std::shared_ptr<RangeBytes> space = entry.space.lock()) return space;
  }
  return nullptr;
}

}  // namespace sluice::engine::spaces
