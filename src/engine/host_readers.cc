// HostReaders: finds the streak that an access continues, or begins one in place of the oldest.
//
// Cost: a short mutex of the range and a few comparisons. What it does not do: decide how large a
// window is (plan/planner.hpp does).
#include "engine/host_readers.hpp"

namespace sluice::engine {

plan::Window HostReaders::window_at(std::uint32_t block, std::uint32_t page, std::uint32_t extent,
                                    const plan::WindowRule& rule) noexcept {
  const std::uint64_t at = std::uint64_t{block} * pages_per_block + page;
  const MutexLock lock(mutex_);
  for (plan::Streak& streak : streaks_) {
    const std::uint64_t window = streak.window;
    if (streak.window != 0 && at + window >= streak.next_page && at < streak.next_page + window)
      return plan::choose_window(streak, block, page, extent, rule);
  }
  plan::Streak& oldest = streaks_[oldest_++ % most_streaks];
  oldest = {};
  return plan::choose_window(oldest, block, page, extent, rule);
}

plan::Window HostReaders::window_of(std::uint32_t block, std::uint32_t extent) noexcept {
  const MutexLock lock(mutex_);
  return plan::choose_window(blocks_, block, 0, extent, {.least = extent});
}

}  // namespace sluice::engine
