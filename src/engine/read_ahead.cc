// Fetches blocks ahead of a reader on the host, and fills them ahead of a writer.
//
// A thread that goes page by page is answered in growing windows; beyond its block, threads of the
// engine bring the next blocks, in groups that are one copy. To make memory takes longer than to
// write it, so several threads do so ahead of a writer, by no more than it has come through and
// 64 MiB at most. Devices that register host memory do so behind the writer, and not in the first
// launch. Cost: a place in a ring, on the fault path; the copy, the pages or the registration, on
// those threads. What it does not do: wait for a kernel, a lease, a busy block, or memory when
// there is little. The thread faults on those by itself.
#include "engine/read_ahead.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "os/machine.hpp"

namespace sluice::engine {
namespace {

// The number of threads that fetch ahead: they mostly fill page tables, at a third of a fast link's
// speed on one thread.
std::size_t thread_count() noexcept {
  return static_cast<std::size_t>(std::clamp(os::usable_cpus() / 2, 2, 8));
}

constexpr std::uint32_t tripwire_blocks = 8;
// Nothing is made ahead of a writer where less is left: four times what may be ahead.
constexpr std::size_t least_headroom = 4 * plan::blocks_ahead * block_size;

// True if a thread must show there that it is still coming. A writer does so at the end as well,
// where the memory behind it is registered.
bool is_tripwire(const Range& range, std::size_t block, bool fills) {
  return block % tripwire_blocks == 0 || (fills && block + 1 == range.blocks.size());
}
// The first block that is registered together with this tripwire.
std::size_t first_behind(std::size_t tripwire) {
  return tripwire == 0 ? 0 : (tripwire - 1) / tripwire_blocks * tripwire_blocks + 1;
}

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
  for (const auto& device : parts_.devices)
    devices_keep_host_memory_ |= device->traits().keeps_host_memory;
  workers_.resize(thread_count());
  for (auto& worker : workers_)
    SLUICE_TRY(worker.start("sluice-ahead", [this](const AheadJob& job) { work(job); }));
  return {};
}

void ReadAhead::stop() noexcept {
  for (auto& worker : workers_) worker.stop();
}

void ReadAhead::forget() noexcept {
  for (auto& worker : workers_) worker.forget();
}

// --- asking, on fault-handler threads ------------------------------------------------------------

void ReadAhead::look_ahead(Range& range, Block& block, const plan::Window& window, Access access,
                           AheadJob::Purpose purpose) noexcept {
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
            [&] { return AheadJob{range.blocks[begin].begin, range.number, access, purpose}; }))
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

void ReadAhead::register_behind(Range& range, Block& block) noexcept {
  if (!devices_keep_host_memory_) return;
  const std::size_t index = range.index_of(block.begin);
  if (!is_tripwire(range, index, true)) return;
  // If the ring is full, the first copy registers them.
  (void)workers_[index / tripwire_blocks % workers_.size()].add([&] {
    return AheadJob{block.begin, range.number, Access::write, AheadJob::Purpose::registration};
  });
}

// --- working, on threads of the engine -----------------------------------------------------------

void ReadAhead::work(const AheadJob& job) noexcept {
  const Pin range = parts_.ranges.find(job.block, job.range);
  if (!range) return;
  if (job.purpose == AheadJob::Purpose::registration) return register_group(*range, job);
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
    if (!claim) continue;
    block.claim.assert_held();
    if (make_ready_to_plan(block, job)) plan_block(range, block, job, tasks);
  }
  (void)parts_.stages.run(tasks);
  for (const Task& task : tasks) {
    task.block->claim.assert_held();
    parts_.readiness.refresh(*task.range, *task.block);
  }
  for (Claim& claim : claims) claim.release();
  source_->wake({job.block, range.blocks[end - 1].span().end() - job.block});
}

// Leaves leased blocks alone, and makes memory for writers only, where no device has any of the
// block.
bool ReadAhead::make_ready_to_plan(Block& block, const AheadJob& job) const noexcept {
  const directory::BlockDirectory& directory = block.state().directory;
  if (block.state().leases().any()) return false;
  if (job.purpose != AheadJob::Purpose::fill || directory.untouched().empty())
    return !directory.holders().empty();
  LocationSet others = directory.holders();
  others.erase(Location::host());
  return others.empty() && directory.host_mapped().empty() &&
         parts_.headroom.bytes() >= least_headroom &&
         parts_.memory.populate_without_waiting(block.span());
}

void ReadAhead::plan_block(Range& range, Block& block, const AheadJob& job,
                           std::vector<Task>& tasks) {
  const bool fills = job.purpose == AheadJob::Purpose::fill;
  PageMask pages = block.every_page() - block.state().directory.lost();
  if (!fills) pages -= block.state().directory.untouched();
  const plan::Request request{Location::host(), pages, job.access};
  Task task{&range, &block, plan::acquire(block.state().directory, request, parts_.abilities)};
  // The reader must show that it is still coming: of one in every few blocks the first pages are
  // brought, but stay without rights until it asks for them.
  if (is_tripwire(range, range.index_of(block.begin), fills))
    task.plan.withhold(range.host_pages == HostPages::huge
                           ? block.every_page()
                           : PageMask(PageSpan{0, std::min(plan::reading_window, block.extent())}));
  if (task.plan.empty() ||
      parts_.readiness.take(range, block, parts_.mover.revoke_request_for(request, task)))
    return;
  tasks.push_back(task);
}

// Memory that does not exist, or is busy, is left to the first copy.
void ReadAhead::register_group(Range& range, const AheadJob& job) const noexcept {
  const std::size_t last = range.index_of(job.block);
  AddressSpan run{};
  for (std::size_t i = first_behind(last); i <= last; ++i) {
    Block& block = range.blocks[i];
    const Claim claim = Claim::attempt(block.claim);
    if (claim) {
      block.claim.assert_held();
      if (block.state().directory.holding(Location::host()).resident.contains(block.every_page())) {
        run = {run.size == 0 ? block.begin : run.begin, run.size + block.span().size};
        continue;
      }
    }
    register_span(std::exchange(run, {}));
  }
  register_span(run);
}

void ReadAhead::register_span(AddressSpan span) const noexcept {
  if (span.size == 0) return;
  for (const auto& device : parts_.devices)
    if (!device->lost()) device->expect_copies(span);
}

}  // namespace sluice::engine
