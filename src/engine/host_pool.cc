// See host_pool.hpp. Cost: a look at each entry, of which programs have a few. What it does not do:
// map, clean or return memory (allocator_release.cc does).
#include "engine/host_pool.hpp"

#include <algorithm>
#include <iterator>

namespace sluice::engine {

void HostPool::put(const PooledViews& views) {
  const MutexLock lock(mutex_);
  views_.push_back(views);
  size_ += views.pages.size;
}

std::optional<PooledViews> HostPool::take(std::size_t size, HostPages wanted) noexcept {
  if (size_ == 0) return std::nullopt;
  const MutexLock lock(mutex_);
  const auto found = std::find_if(views_.rbegin(), views_.rend(), [&](const PooledViews& views) {
    return views.pages.size == size && views.wanted == wanted;
  });
  if (found == views_.rend()) return std::nullopt;
  const PooledViews taken = *found;
  views_.erase(std::next(found).base());
  size_ -= size;
  return taken;
}

std::optional<PooledViews> HostPool::take_oldest() noexcept {
  const MutexLock lock(mutex_);
  if (views_.empty()) return std::nullopt;
  const PooledViews taken = views_.front();
  views_.pop_front();
  size_ -= taken.pages.size;
  return taken;
}

}  // namespace sluice::engine
