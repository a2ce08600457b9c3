// Policy: decisions that correctness does not depend on: by which means a launch gets at a block,
// and how much one host access brings over.
//
// Why the window grows: a fault costs 10 to 20 us, and a quarter more for 64 KiB. So a random
// reader gets one page, and a sequential one 64 KiB and then four times as much each time: a second
// fault at the next page is rarely the last one. Cost: a few comparisons. The caller keeps the
// history, one for each reader that it tells apart. What it does not do: strides. A reader that
// goes backward or by more than a window at a time is a random one.
#include <algorithm>
#include <cassert>

#include "base/types.hpp"
#include "plan/planner.hpp"

namespace sluice::plan {

Means choose_means(const directory::BlockDirectory& block, int device, const Attributes& advice,
                   bool maps_host_memory) noexcept {
  if (!maps_host_memory) return Means::own;
  if (advice.preferred) {
    if (advice.preferred->is_host()) return Means::host_mapped;
    if (*advice.preferred == Location::device(device)) return Means::own;
  }
  // Mostly read blocks are served better by copies than by a path to host memory.
  const bool accessed_by =
      advice.accessed_by.contains(Location::device(device)) && !advice.read_mostly;
  return accessed_by && block.holders() == LocationSet(Location::host()) ? Means::host_mapped
                                                                         : Means::own;
}

int lender(const directory::BlockDirectory& block, int device) noexcept {
  for (const directory::DeviceHolding& other : block.devices())
    if (other.device != device && other.pages.resident.contains(block.every_page()))
      return other.device;
  return -1;
}

Window choose_window(Streak& streak, std::uint32_t block, std::uint32_t page, std::uint32_t extent,
                     const WindowRule& rule) noexcept {
  assert(page < extent && extent <= pages_per_block);
  constexpr auto whole_block = static_cast<std::uint32_t>(pages_per_block);
  constexpr std::uint32_t largest_window = whole_block * (1 + blocks_ahead);

  const std::uint32_t absolute = block * whole_block + page;
  // Prefetched blocks may not have arrived yet: a reader that is already there still counts as
  // sequential, and reads faster than they arrive.
  const std::uint32_t asked_ahead =
      streak.window > whole_block ? (streak.window / whole_block - 1) * whole_block : 0;
  const bool goes_on =
      absolute + asked_ahead >= streak.next_page && absolute < streak.next_page + streak.window;
  // Within the last window: a store to pages that were brought over to be read.
  const bool again = absolute < streak.next_page && streak.next_page - absolute <= streak.window;
  const std::uint32_t more =
      streak.window < whole_block
          ? std::clamp(streak.window * rule.growth, reading_window, whole_block)
          : std::min(streak.window * 2, largest_window);
  const std::uint32_t asked = goes_on ? more
                              : again ? std::max(streak.window, rule.least)
                                      : rule.least;

  const std::uint32_t first = page / rule.least * rule.least;
  const PageSpan span{first, std::min(asked, extent - first)};
  const std::uint32_t ahead = asked > whole_block ? asked / whole_block - 1 : 0;
  streak.next_page =
      ahead == 0 ? block * whole_block + span.end() : (block + 1 + ahead) * whole_block;
  streak.window = asked;
  return {span, ahead};
}

}  // namespace sluice::plan
