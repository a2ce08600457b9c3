// Journey 1, step by step: what one host access brings over, and what is fetched ahead of it.
//
// Runs on fault-handler threads: nothing here allocates, and no lock is held over a device wait (the claim is, by intent).
// Cost: a look-up, two short mutexes and the plan, well under a microsecond; then the copy and the system calls.
// What it does not do: wait for kernels (parked.cc does), or touch the application view.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/engine.hpp"
#include "engine/planted.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

// The host has the bytes, and was not given them: they were fetched ahead of a reader, who has come. (Or they were taken for a kernel
// that used them in place; that says nothing of readers.)
bool is_withheld(const Block& block, std::uint32_t page) {
  const directory::Holding& host = block.directory.holding(Location::host());
  return host.resident.contains(page) && !host.readable.contains(page) &&
         block.directory.reaching().empty();
}

constexpr std::uint32_t tripwire_blocks = 8;
// Blocks that are fetched ahead by one thread together, beginning at multiples: one copy where they lie side by side on the device. Small
// pages are mapped one by one, which takes as long as the copy and is better spread over threads.
constexpr std::size_t most_in_group = 4;
std::size_t end_of_group(const Range& range, std::size_t block) {
  const std::size_t blocks = range.host_pages == HostPages::huge ? most_in_group : 1;
  return (block / blocks + 1) * blocks;
}
static_assert(tripwire_blocks < plan::blocks_ahead,
              "a reader must trip before it runs out of blocks fetched ahead");

}  // namespace

AddressSpan Engine::give_access(Range& range, Block& block, Claim claim,
                                const fault::AccessFault& access) noexcept {
  const AddressSpan page{access.address, page_size};
  const auto index = static_cast<std::uint32_t>((access.address - block.begin) / page_size);
  if (block.directory.lost().contains(index))
    return refuse(access, "its bytes existed only on a device that was lost");
  // The directory gives the right, and the access faulted all the same.
  const directory::Holding& held = block.directory.holding(Location::host());
  if ((access.access == Access::write ? held.writable : held.readable).contains(index))
    return give_again(range, block, access);
  // A lease on a device keeps its bytes there. end_lease() wakes whoever waits.
  if (block.leases != 0 && block.leased_at.is_device() &&
      (access.access == Access::write || block.writing_leases != 0))
    return {};

  // A host that cannot share takes pages over even to read them.
  const Access taken = abilities_.host_can_share ? access.access : Access::write;
  const bool all_wanted = ++block.host_accesses == 1 && range.density.expects_all();
  plan::Window window = window_for(range, block, access.address, all_wanted);
  PageMask pages = widen(block, PageMask(window.span), range.host_pages) - block.directory.lost();
  const bool came_ahead = is_withheld(block, index);
  // Readers that come before what was fetched ahead of them take all of it at once: several would get in each other's way.
  const bool expected = came_ahead || block.expected.load(std::memory_order_relaxed);
  const bool dense = all_wanted || block.host_accesses > plan::dense_after;
  bool rest_follows = false;
  if (options_.access_window == 0 && (dense || expected)) {
    if (window.ahead == 0) window = block_window_for(range, block);
    // Memory that nobody wrote is not filled for it.
    const PageMask all =
        block.directory.every_page() - block.directory.lost() - block.directory.untouched();
    // Readers in no order go elsewhere next, and need not wait for the rest.
    rest_follows = !expected && window.ahead == 0 && !pages.contains(all);
    if (!rest_follows) pages |= all;
  }
  Taking taking{.span = block.hull_of(pages), .access = taken};
  std::optional<ActiveUse> obstacle;
  if (!planted::is(planted::Bug::publish_late)) {
    obstacle = gate_->take(range, block, taking);
    if (obstacle) {
      // A kernel may write some of the window; perhaps not this page.
      pages = widen(block, PageMask(PageSpan{index, 1}), range.host_pages);
      taking.span = block.hull_of(pages);
      obstacle = gate_->take(range, block, taking);
    }
    if (obstacle) return parked_.park(access, *obstacle) ? AddressSpan{} : page;
  }

  const Task task{
      &range, &block,
      plan::acquire(block.directory, {Location::host(), pages, access.access}, abilities_)};
  const Result<void> done = stages_->run({&task, 1});
  if (planted::is(planted::Bug::publish_late)) (void)gate_->take(range, block, taking);
  gate_->refresh(range, block);
  if (!done) {
    // The bytes of a lost device are accounted for by device_events.cc; the access comes back until that has happened.
    if (done.error().code() == ErrorCode::device_lost) return page;
    return refuse(access, done.error().detail().data());
  }
  if (window.ahead != 0) look_ahead(range, block, window, access.access);
  if (rest_follows) fetch_rest(range, block, std::move(claim), access.access);
  return taking.span;
}

// Linux has dropped page-table entries (it does so when it pages out, splits and collapses pages), or another access to the page
// was answered meanwhile. The rights stand, so there is nothing to wait for and nothing to plan.
AddressSpan Engine::give_again(Range& range, Block& block,
                               const fault::AccessFault& access) noexcept {
  const std::size_t unit = memory_->granule_at(access.address);
  const AddressSpan page{{round_down(access.address.value, unit)}, unit};
  const auto index = static_cast<std::uint32_t>((page.begin - block.begin) / page_size);
  const directory::Holding& held = block.directory.holding(Location::host());
  const bool writable = held.writable.contains(index);
  const PageMask alike = writable ? held.writable : held.readable - held.writable;
  // The run of pages around this one that have the same rights, as far as the window of accesses goes.
  AddressSpan around = page;
  const PageMask window(window_for(range, block, page.begin, false).span);
  (alike & window).for_each_run([&](PageSpan run) {
    if (unit == page_size && index >= run.first && index < run.end()) around = block.span_of(run);
  });
  if (const auto given = source_->restore(page, around, writable ? Access::write : access.access);
      !given)
    return refuse(access, given.error().detail().data());
  return around;
}

// By a thread that has time for it. If none has, the next reader takes it all.
void Engine::fetch_rest(Range& range, Block& block, Claim claim, Access access) noexcept {
  block.expected.store(true, std::memory_order_relaxed);
  claim.release();
  (void)ahead_[range.index_of(block.begin) % ahead_.size()].add(
      [&] { return AheadJob{block.begin, range.number, access}; });
}

// Several readers may go through a range side by side, none of them page by page: then its blocks follow each other.
plan::Window Engine::block_window_for(Range& range, const Block& block) {
  MutexLock lock(gate_->mutex);
  return plan::choose_window(range.block_streak,
                             static_cast<std::uint32_t>(range.index_of(block.begin)), 0,
                             block.directory.extent(), block.directory.extent());
}

plan::Window Engine::window_for(Range& range, Block& block, Address page, bool all_wanted) {
  const auto index = static_cast<std::uint32_t>((page - block.begin) / page_size);
  const std::uint32_t extent = block.directory.extent();
  if (options_.access_window != 0) {
    const auto pages =
        static_cast<std::uint32_t>(std::min(options_.access_window, block_size) / page_size);
    const std::uint32_t first = index / pages * pages;
    return {{first, std::min(pages, extent - first)}, 0};
  }
  const auto number = static_cast<std::uint32_t>(range.index_of(page));
  const std::uint64_t at = std::uint64_t{number} * pages_per_block + index;
  const std::uint32_t least = range.host_pages == HostPages::huge ? pages_per_block
                              : all_wanted                        ? plan::reading_window
                                                                  : plan::smallest_window;
  MutexLock lock(gate_->mutex);
  // Several readers may go through one range; each has a streak, found by where it should be now.
  for (plan::Streak& streak : range.streaks) {
    const std::uint64_t reach = streak.window;
    if (streak.window != 0 && at + reach >= streak.next_page && at < streak.next_page + reach)
      return plan::choose_window(streak, number, index, extent, least);
  }
  plan::Streak& oldest = range.streaks[range.oldest_streak++ % Range::streak_slots];
  oldest = {};
  return plan::choose_window(oldest, number, index, extent, least);
}

PageMask Engine::widen(const Block& block, PageMask pages, HostPages host_pages) const noexcept {
  if (host_pages == HostPages::huge) return block.directory.every_page();
  return pages.widened(abilities_.granule, block.directory.extent());
}

void Engine::look_ahead(Range& range, Block& block, const plan::Window& window,
                        Access access) noexcept {
  const std::size_t first = range.index_of(block.begin) + 1;
  const std::size_t last = std::min(first + window.ahead, range.blocks.size());
  for (std::size_t begin = first; begin < last; begin = end_of_group(range, begin)) {
    const std::size_t end = std::min(end_of_group(range, begin), range.blocks.size());
    // A group once: whole, unless it is where the reader is or the growing window ends.
    if (range.blocks[end - 1].expected.load(std::memory_order_relaxed)) continue;
    if (end > last && window.ahead >= 2 * most_in_group) return;
    for (std::size_t i = begin; i < end; ++i)
      range.blocks[i].expected.store(true, std::memory_order_relaxed);
    // A full queue means that enough is on its way.
    if (!ahead_[(end - 1) / (end - begin) % ahead_.size()].add(
            [&] { return AheadJob{range.blocks[begin].begin, range.number, access}; }))
      return;
  }
}

void Engine::fetch_ahead(const AheadJob& job) noexcept {
  const Pin range = ranges_.find(job.block, job.range);
  if (!range) return;
  try {
    fetch_group(*range, job);
  } catch (const std::bad_alloc&) {
    // The reader comes for it by itself.
    source_->wake({job.block, range->pages.end() - job.block});
  }
}

void Engine::fetch_group(Range& range, const AheadJob& job) {
  const std::size_t begin = range.index_of(job.block);
  const std::size_t end = std::min(end_of_group(range, begin), range.blocks.size());
  std::array<Claim, most_in_group> claims;
  std::vector<Task> tasks;
  tasks.reserve(most_in_group);
  for (std::size_t i = begin; i < end; ++i) {
    Block& block = range.blocks[i];
    Claim& claim = claims[i - begin];
    claim = Claim::attempt(block.claim);
    // Never populate memory that nobody wrote, and leave leased and busy blocks alone.
    if (!claim || block.leases != 0 || block.directory.holders().empty()) continue;
    plan_ahead(range, block, job.access, tasks);
  }
  (void)stages_->run(tasks);
  for (const Task& task : tasks) gate_->refresh(*task.range, *task.block);
  for (Claim& claim : claims) claim.release();
  source_->wake({job.block, range.blocks[end - 1].span().end() - job.block});
}

void Engine::plan_ahead(Range& range, Block& block, Access access, std::vector<Task>& tasks) {
  const PageMask pages =
      block.directory.every_page() - block.directory.lost() - block.directory.untouched();
  const plan::Request request{Location::host(), pages, access};
  Task task{&range, &block, plan::acquire(block.directory, request, abilities_)};
  // The reader must show that it is still coming: of every few blocks the first pages are brought, but left for it to ask for.
  if (range.index_of(block.begin) % tripwire_blocks == 0)
    task.plan.withhold(
        range.host_pages == HostPages::huge
            ? block.directory.every_page()
            : PageMask(PageSpan{0, std::min(plan::reading_window, block.directory.extent())}));
  if (task.plan.empty() || gate_->take(range, block, taking_for(request, task))) return;
  tasks.push_back(task);
}

AddressSpan Engine::refuse(const fault::AccessFault& access, const char* why) noexcept {
  os::report("thread %d: the access to %#lx cannot be answered: %s", access.thread_id(),
             access.address.value, why);
  // A page without its bytes must never be seen, and to close one alone takes mappings. To close the window takes none.
  if (const auto denied = source_->deny({access.address, page_size});
      !denied && denied.error().code() == ErrorCode::out_of_host_memory) {
    os::report(
        "no mapping is left to close that page (sysctl vm.max_map_count); all memory of the "
        "space is inaccessible from now on");
    source_->deny_everything();
  }
  return {access.address, page_size};
}

}  // namespace sluice::engine
