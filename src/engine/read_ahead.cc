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

// True if a thread must show there that it is still coming.
bool is_tripwire(std::size_t block) { return block % tripwire_blocks == 0; }

// Blocks that are registered together, beginning at multiples: copies of 8 MiB reach the link's
// speed, and where many threads fill a range at once, few blocks wait for the last of a group.
constexpr std::size_t registered_together = 4;
// Blocks for which a device maps memory before the next job's turn.
constexpr std::size_t prepared_together = 32;

// Blocks that one thread fetches together, beginning at multiples: one copy where they lie side by
// side on the device. Small pages are mapped one by one, which takes as long as the copy and is
// better spread over threads.
constexpr std::size_t most_in_group = 4;
std::size_t end_of_group(const Range& range, std::size_t block) {
  const std::size_t blocks = range.host_pages == HostPages::huge ? most_in_group : 1;
  return (block / blocks + 1) * blocks;
}
bool is_in_host_memory(const Block& block) SLUICE_REQUIRES(block.claim) {
  return block.state().directory.holding(Location::host()).resident.contains(block.every_page());
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
    SLUICE_TRY(worker.start(
        "sluice-ahead", [this](const AheadJob& job) { work(job); }, [this] { give_up_guesses(); }));
  is_roomy_ = parts_.headroom.bytes() >= least_headroom;
  if (!devices_keep_host_memory_) return {};
  return registrar_.start("sluice-register", [this](const AheadJob& job) { work(job); });
}

void ReadAhead::stop() noexcept {
  for (auto& worker : workers_) worker.stop();
  registrar_.stop();
}

void ReadAhead::forget() noexcept {
  for (auto& worker : workers_) worker.forget();
  registrar_.forget();
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

void ReadAhead::guess_density(Range& range, Block& block, std::int32_t thread) noexcept {
  if (range.is_sparse() || !is_roomy_.load(std::memory_order_relaxed) ||
      range.host_pages != HostPages::transparent || block.extent() != pages_per_block)
    return;
  const DensityGuesses::Answer answer =
      guesses_.note_first_store({block.begin, range.number, thread});
  if (answer.was_wrong) range.note_sparse();
  // If the ring is full, the block stays as it is. Without a guess to end, the job is to see if
  // there is room for more, and that guesses do not stay open.
  const DensityGuess told = answer.ended.value_or(DensityGuess{block.begin});
  (void)workers_.front().add(
      [&] { return AheadJob{told.block, told.range, Access::write, AheadJob::Purpose::shrink}; });
  if (answer.is_dense && parts_.memory.take_huge_page(block.begin)) block.fill.note_guessed();
}

void ReadAhead::note_filled(Range& range, Block& block) noexcept {
  if (block.fill.filled()) return;
  block.fill.note_filled();
  guesses_.note_filled(block.begin, range.number);
  if (!devices_keep_host_memory_) return;
  // Of several devices it is not known which will use it.
  if (parts_.devices.count() == 1 && range.ask_to_prepare())
    (void)registrar_.add([&] {
      return AheadJob{range.pages.begin, range.number, Access::write,
                      AheadJob::Purpose::preparation};
    });
  const std::size_t first = round_down(range.index_of(block.begin), registered_together);
  const std::size_t end = std::min(first + registered_together, range.blocks.size());
  for (std::size_t i = first; i < end; ++i)
    if (!range.blocks[i].fill.filled()) return;
  Block& group = range.blocks[first];
  // If the ring is full, the first copy registers them.
  if (group.fill.ask())
    (void)registrar_.add([&] {
      return AheadJob{group.begin, range.number, Access::write, AheadJob::Purpose::registration};
    });
}

// --- working, on threads of the engine -----------------------------------------------------------

void ReadAhead::work(const AheadJob& job) noexcept {
  if (job.purpose == AheadJob::Purpose::shrink) return shrink(job);
  const Pin range = parts_.ranges.find(job.block, job.range);
  if (!range) return;
  if (job.purpose == AheadJob::Purpose::registration) return register_group(*range, job);
  if (job.purpose == AheadJob::Purpose::preparation) return prepare(*range, job);
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
    if (job.purpose == AheadJob::Purpose::fill && is_in_host_memory(*task.block))
      note_filled(range, *task.block);
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
  Task task{&range,
            &block,
            plan::acquire(block.state().directory, request, parts_.abilities),
            {.cause = Cause::host_access}};
  // The reader must show that it is still coming: of one in every few blocks the first pages are
  // brought, but stay without rights until it asks for them.
  if (is_tripwire(range.index_of(block.begin)))
    task.plan.withhold(range.host_pages == HostPages::huge
                           ? block.every_page()
                           : PageMask(PageSpan{0, std::min(plan::reading_window, block.extent())}));
  if (task.plan.empty() ||
      parts_.readiness.take(range, block, parts_.mover.revoke_request_for(request, task)))
    return;
  tasks.push_back(task);
}

// Memory that a device may know by its pages stays: every device that ever had any of the block has
// a part in it.
void ReadAhead::shrink(const AheadJob& job) noexcept {
  is_roomy_ = parts_.headroom.bytes() >= least_headroom;
  const Pin range = parts_.ranges.find(job.block, job.range);
  if (!range) return;
  Block& block = range->block_of(job.block);
  const ScopedClaim claim(block.claim);
  if (!block.state().parts.empty()) return;
  const PageMask untouched = block.state().directory.untouched();
  if (untouched.contains(block.every_page())) return;
  untouched.for_each_run([&](PageSpan run) { (void)parts_.memory.discard(block.span_of(run)); });
}

void ReadAhead::give_up_guesses() noexcept {
  while (const auto guess = guesses_.give_up_one())
    shrink({guess->block, guess->range, Access::write, AheadJob::Purpose::shrink});
}

// Memory that the host has no longer is left to the first copy.
void ReadAhead::register_group(Range& range, const AheadJob& job) const noexcept {
  const std::size_t first = range.index_of(job.block);
  const std::size_t end = std::min(first + registered_together, range.blocks.size());
  AddressSpan run{};
  for (std::size_t i = first; i < end; ++i) {
    Block& block = range.blocks[i];
    bool stays = false;
    {
      const ScopedClaim claim(block.claim);
      stays = is_in_host_memory(block);
    }
    if (stays)
      run = {run.size == 0 ? block.begin : run.begin, run.size + block.span().size};
    else
      register_span(std::exchange(run, {}));
  }
  register_span(run);
}

void ReadAhead::register_span(AddressSpan span) const noexcept {
  if (span.size == 0) return;
  for (const auto& device : parts_.devices)
    if (!device->lost()) device->expect_copies(span);
}

void ReadAhead::prepare(Range& range, const AheadJob& job) noexcept {
  const std::size_t size = std::min(range.pages.end() - job.block, prepared_together * block_size);
  parts_.devices[0].expect_use({job.block, size});
  if (job.block + size == range.pages.end()) return;
  AheadJob next = job;
  next.block = job.block + size;
  (void)registrar_.add([&] { return next; });
}

}  // namespace sluice::engine
