// Fetches blocks ahead of a reader on the host, on threads of the engine.
//
// A reader that goes page by page is answered in growing windows; beyond its block, threads of the
// engine bring the next blocks, in groups that are one copy. Cost: a place in a ring, on the fault
// path; the copy, on those threads. What it does not do: wait for a kernel, a lease or a busy
// block. The reader faults on those by itself.
#include "engine/read_ahead.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <thread>

namespace sluice::engine {
namespace {

// The number of threads that fetch ahead: they mostly fill page tables, at a third of a fast link's
// speed on one thread.
std::size_t thread_count() noexcept {
  return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 2, 8);
}

constexpr std::uint32_t tripwire_blocks = 8;
// Blocks that one thread fetches together, beginning at multiples: one copy where they lie side by
// side on the device. Small pages are mapped one by one, which takes as long as the copy and is
// better spread over threads.
constexpr std::size_t most_in_group = 4;
std::size_t end_of_group(const Range& range, std::size_t block) {
  const std::size_t blocks = range.host_pages == HostPages::huge ? most_in_group : 1;
  return (block / blocks + 1) * blocks;
}
static_assert(tripwire_blocks < plan::blocks_ahead,
              "a reader must trip before it runs out of blocks fetched ahead");

}  // namespace

Result<void> ReadAhead::start(fault::FaultSource& source) {
  source_ = &source;
  workers_.resize(thread_count());
  for (auto& worker : workers_)
    SLUICE_TRY(worker.start("sluice-ahead", [this](const AheadJob& job) { fetch(job); }));
  return {};
}

void ReadAhead::stop() noexcept {
  for (auto& worker : workers_) worker.stop();
}

void ReadAhead::forget() noexcept {
  for (auto& worker : workers_) worker.forget();
}

// --- asking, on fault-handler threads ------------------------------------------------------------

void ReadAhead::look_ahead(Range& range, Block& block, const plan::Window& window,
                           Access access) noexcept {
  const std::size_t first = range.index_of(block.begin) + 1;
  const std::size_t last = std::min(first + window.ahead, range.blocks.size());
  for (std::size_t begin = first; begin < last; begin = end_of_group(range, begin)) {
    const std::size_t end = std::min(end_of_group(range, begin), range.blocks.size());
    // Ask for each group once: whole, unless the reader is in it or the growing window ends there.
    if (range.blocks[end - 1].signs.expected()) continue;
    if (end > last && window.ahead >= 2 * most_in_group) return;
    for (std::size_t i = begin; i < end; ++i) range.blocks[i].signs.expect();
    // A full queue means that enough is in flight.
    if (!workers_[(end - 1) / (end - begin) % workers_.size()].add(
            [&] { return AheadJob{range.blocks[begin].begin, range.number, access}; }))
      return;
  }
}

// A free thread fetches it. If there is none, the next reader takes it all.
void ReadAhead::fetch_rest(Range& range, Block& block, Claim claim, Access access) noexcept {
  block.signs.expect();
  claim.release();
  (void)workers_[range.index_of(block.begin) % workers_.size()].add(
      [&] { return AheadJob{block.begin, range.number, access}; });
}

void ReadAhead::fetch(const AheadJob& job) noexcept {
  const Pin range = parts_.ranges.find(job.block, job.range);
  if (!range) return;
  try {
    fetch_group(*range, job);
  } catch (const std::bad_alloc&) {
    // The reader faults on it by itself.
    source_->wake({job.block, range->pages.end() - job.block});
  }
}

void ReadAhead::fetch_group(Range& range, const AheadJob& job) {
  const std::size_t begin = range.index_of(job.block);
  const std::size_t end = std::min(end_of_group(range, begin), range.blocks.size());
  std::array<Claim, most_in_group> claims;
  std::vector<Task> tasks;
  tasks.reserve(most_in_group);
  for (std::size_t i = begin; i < end; ++i) {
    Block& block = range.blocks[i];
    Claim& claim = claims[i - begin];
    claim = Claim::attempt(block.claim);
    // Never populate memory that was never written, and leave leased and busy blocks alone.
    if (!claim) continue;
    block.claim.assert_held();
    if (block.state().leases().any() || block.state().directory.holders().empty()) continue;
    plan_block(range, block, job.access, tasks);
  }
  (void)parts_.stages.run(tasks);
  for (const Task& task : tasks) {
    task.block->claim.assert_held();
    parts_.readiness.refresh(*task.range, *task.block);
  }
  for (Claim& claim : claims) claim.release();
  source_->wake({job.block, range.blocks[end - 1].span().end() - job.block});
}

void ReadAhead::plan_block(Range& range, Block& block, Access access, std::vector<Task>& tasks) {
  const PageMask pages =
      block.every_page() - block.state().directory.lost() - block.state().directory.untouched();
  const plan::Request request{Location::host(), pages, access};
  Task task{&range, &block, plan::acquire(block.state().directory, request, parts_.abilities)};
  // The reader must show that it is still coming: of one in every few blocks the first pages are
  // brought, but stay without rights until it asks for them.
  if (range.index_of(block.begin) % tripwire_blocks == 0)
    task.plan.withhold(range.host_pages == HostPages::huge
                           ? block.every_page()
                           : PageMask(PageSpan{0, std::min(plan::reading_window, block.extent())}));
  if (task.plan.empty() ||
      parts_.readiness.take(range, block, parts_.mover.revoke_request_for(request, task)))
    return;
  tasks.push_back(task);
}

}  // namespace sluice::engine
