// See host_pool.hpp. Cost: a look at each entry, of which programs have a few. What it does not do:
// map, clean or return memory (allocator_release.cc does).
#include "engine/host_pool.hpp"

namespace sluice::engine {

bool HostPool::wants_without_memory() noexcept {
  if (limit_ == 0) return false;
  const MutexLock lock(mutex_);
  return without_memory_ < most_without_memory;
}

void HostPool::put(const PooledViews& views) {
  const MutexLock lock(mutex_);
  views_.push_back(views);
  ++count_;
  if (views.has_memory)
    size_ += views.pages.size;
  else
    ++without_memory_;
}

void HostPool::erase(std::deque<PooledViews>::iterator views) noexcept {
  if (views->has_memory)
    size_ -= views->pages.size;
  else
    --without_memory_;
  --count_;
  views_.erase(views);
}

std::optional<PooledViews> HostPool::take(std::size_t size, HostPages wanted) noexcept {
  if (count_ == 0) return std::nullopt;
  const MutexLock lock(mutex_);
  auto best = views_.end();
  for (auto each = views_.begin(); each != views_.end(); ++each)
    if (each->pages.size == size && each->wanted == wanted &&
        (best == views_.end() || each->has_memory >= best->has_memory))
      best = each;
  if (best == views_.end()) return std::nullopt;
  const PooledViews taken = *best;
  erase(best);
  return taken;
}

std::optional<PooledViews> HostPool::take_oldest() noexcept {
  const MutexLock lock(mutex_);
  if (views_.empty()) return std::nullopt;
  const PooledViews taken = views_.front();
  erase(views_.begin());
  return taken;
}

}  // namespace sluice::engine
