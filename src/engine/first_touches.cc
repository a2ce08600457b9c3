// Answers the first stores to small ranges ahead of a thread that goes through them in order.
//
// Most programs fill small ranges as they allocate them, so in the order of addresses; a fault for
// each would cost several times what the kernel's own faults do. Cost: half a microsecond, the page
// and its entry, for each range. Pages that are never touched after all hold memory, 16 of them at
// most for each streak. What it does not do: wait for a claim, or touch a range that has any
// history.
#include "engine/first_touches.hpp"

#include <algorithm>
#include <utility>

namespace sluice::engine {

std::uint32_t TouchStreak::note(AddressSpan cells) noexcept {
  const bool in_order = cells.begin >= end_ && cells.begin <= expected_;
  in_order_ = in_order ? in_order_ + 1 : 1;
  if (in_order_ < touches_in_order)
    ahead_ = 0;
  else
    ahead_ = std::clamp(2 * ahead_, std::uint32_t{2}, most_ahead);
  end_ = cells.end();
  expected_ = end_ + ahead_ * cell_size;
  return ahead_;
}

void FirstTouches::look_ahead(const Range& range) noexcept {
  if (range.pages.size >= block_size || !parts_.ranges.is_in_segment(range.pages.begin)) return;
  if (busy_.exchange(true, std::memory_order_acquire)) return;
  const AddressSpan cells = cells_of(range.pages);
  const std::uint32_t ahead = streak_.note(cells);
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < ahead; ++i)
    if (plan(cells.end() + i * cell_size, count)) ++count;
  // After an error, too, the directory is true; the ranges are asked for again.
  (void)parts_.stages.run(std::span(tasks_).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    tasks_[i].block->claim.assert_held();
    parts_.readiness.refresh(*tasks_[i].range, *tasks_[i].block);
    neighbours_[i] = {};
  }
  busy_.store(false, std::memory_order_release);
}

// Plans for the range that begins in the cell, if nobody has touched it yet and nobody is about to.
bool FirstTouches::plan(Address cell, std::size_t number) noexcept {
  Pin range = parts_.ranges.find(cell);
  if (!range || range->pages.begin != cell || range->kind != Kind::shared) return false;
  Block& block = range->blocks.front();
  Claim claim = Claim::attempt(block.claim);
  if (!claim) return false;
  block.claim.assert_held();
  const BlockState& state = block.state();
  const bool is_fresh = state.directory.untouched().contains(block.every_page()) &&
                        state.parts.empty() && !state.leases().any();
  if (!is_fresh) return false;
  const PageMask page(PageSpan{0, 1});
  tasks_[number] = {
      range.get(),
      &block,
      plan::acquire(state.directory, {Location::host(), page, Access::write}, parts_.abilities),
      {.cause = Cause::host_access}};
  if (parts_.readiness.take(*range, block,
                            {.span = block.span_of({0, 1}), .access = Access::write}))
    return false;
  neighbours_[number] = {std::move(claim), std::move(range)};
  return true;
}

}  // namespace sluice::engine
