// HostReaders: what the host's accesses to a range so far say about the next ones.
#pragma once

#include <array>
#include <cstdint>

#include "base/ranked_mutex.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {

// Thread-safe. Allocates nothing.
class HostReaders {
 public:
  // The window of an access to a page of a block. Several readers may go through one range; each
  // has a streak, found by where it should be now.
  [[nodiscard]] plan::Window window_at(std::uint32_t block, std::uint32_t page,
                                       std::uint32_t extent, const plan::WindowRule& rule) noexcept
      SLUICE_EXCLUDES(mutex_);
  // The window of an access that takes a whole block. Several readers may go through a range side
  // by side, none of them page by page: then its blocks are accessed in sequence.
  [[nodiscard]] plan::Window window_of(std::uint32_t block, std::uint32_t extent) noexcept
      SLUICE_EXCLUDES(mutex_);

  // True if the next reader of a block will want all of it.
  [[nodiscard]] bool expects_all() noexcept { return density_.expects_all(); }
  // A block was read by the host that asked for it; `most_of_it`: more than half.
  void note_read(bool most_of_it) noexcept { density_.note(most_of_it); }

 private:
  static constexpr std::size_t most_streaks = 16;

  RankedMutex mutex_{LockRank::readers, "readers"};
  std::array<plan::Streak, most_streaks> streaks_ SLUICE_GUARDED_BY(mutex_);
  std::size_t oldest_ SLUICE_GUARDED_BY(mutex_) = 0;
  plan::Streak blocks_ SLUICE_GUARDED_BY(mutex_);  // of blocks read as a whole
  plan::Density density_;
};

}  // namespace sluice::engine
