// HostPool: views and host memory of freed ranges, ready for the next ranges of the same size.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/types.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// The addresses of a freed range. Both views are mapped and watched, but the application view is
// denied. All pages exist and are zero, and devices that register host memory still know them; or
// the range was never used, and no page exists.
struct PooledViews {
  AddressSpan pages;
  HostPages wanted = HostPages::automatic;  // what the range asked for
  HostPages in_force = HostPages::small;
  bool has_memory = true;
};

// Thread-safe bookkeeping. Nobody touches what is in the pool.
class HostPool {
 public:
  // `limit`: bytes. Set it before the first use.
  void use(std::size_t limit) noexcept { limit_ = limit; }

  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Larger ranges are not worth it: to clear one takes as long as to make it, and memory is made
  // ahead of a writer.
  [[nodiscard]] std::size_t largest() const noexcept { return limit_ / 8; }

  // True if views without memory are worth keeping: each takes mappings, of which the process has a
  // limited number.
  [[nodiscard]] bool wants_without_memory() noexcept SLUICE_EXCLUDES(mutex_);

  // Without memory for its record it throws bad_alloc. The caller keeps the limit.
  void put(const PooledViews& views) SLUICE_EXCLUDES(mutex_);
  // The last that was put of this size and these pages, with memory if there is one.
  [[nodiscard]] std::optional<PooledViews> take(std::size_t size, HostPages wanted) noexcept
      SLUICE_EXCLUDES(mutex_);
  // The one that was put first.
  [[nodiscard]] std::optional<PooledViews> take_oldest() noexcept SLUICE_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t most_without_memory = 8;

  void erase(std::deque<PooledViews>::iterator views) noexcept SLUICE_REQUIRES(mutex_);

  std::size_t limit_ = 0;
  std::atomic<std::size_t> size_{0};  // bytes of memory
  RankedMutex mutex_{LockRank::jobs, "pooled views"};
  std::deque<PooledViews> views_ SLUICE_GUARDED_BY(mutex_);  // in the order in which they came
  std::atomic<std::size_t> count_{0};                        // of views_
  std::size_t without_memory_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::engine
