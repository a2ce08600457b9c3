// Prefetch: a hint that bytes will be wanted somewhere.
//
// It is a job for a thread of the engine, so a program goes on at once; its fence says when it is
// over, not if there was room. The span goes in parts of some blocks. While the bytes of one part
// are in transit, the rights to the next are taken, so that the link does not wait for page tables;
// two parts are claimed at a time. Cost: a plan for each block; the copy. What it does not do:
// evict blocks that another launch is about to use, or wait for a lease.
#include "engine/prefetcher.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace sluice::engine {

Result<device::Fence> Prefetcher::prefetch(AddressSpan span, Location to) {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  parts_.observer.count(observe::Counter::prefetches);
  if (range->kind != Kind::shared) return device::Fence{};
  device::Fence fence;
  // The fence is created under the queue's lock, so that fences complete in the order of the jobs.
  const auto make = [&] {
    fence = parts_.timelines.host.next();
    return PrefetchJob{span, range->number, to, fence.value};
  };
  jobs_.wait_and_add(make);
  return fence;
}

void Prefetcher::run(const PrefetchJob& job) noexcept {
  try {
    run_parts(job);
  } catch (const std::bad_alloc&) {
    // Without memory for the job, the hint is dropped.
  }
  parts_.timelines.host.complete(job.value);
}

void Prefetcher::run_parts(const PrefetchJob& job) {
  // Bring no more than fits: prefetched bytes must not be evicted by their own prefetch.
  std::size_t left =
      job.to.is_device() ? parts_.residency.budget(job.to.number()) : ~std::size_t{0};
  std::unique_ptr<PrefetchPart> under_way;
  for (Address at = job.span.begin; at < job.span.end() && left >= block_size;) {
    Pin range = parts_.ranges.find(at, job.range);
    if (!range) break;  // freed meanwhile: the hint ends
    auto part = std::make_unique<PrefetchPart>(std::move(range), at, parts_.stages);
    const bool started = begin_part(job, *part, left / block_size);
    const bool ended = end_part(std::exchange(under_way, nullptr).get());
    left -= std::min(left, round_up(part->end - at, block_size));
    at = part->end;
    // A kernel in the way is waited for without claims.
    const std::optional<ActiveUse> obstacle = part->obstacle;
    under_way = std::move(part);
    if (!started || !ended) break;
    if (!obstacle) continue;
    if (!end_part(std::exchange(under_way, nullptr).get())) break;
    (void)parts_.timelines.wait(obstacle->fence, {});
  }
  (void)end_part(under_way.get());
}

// Plans up to `most` blocks and starts their copies. Returns false if there is no room for more, or
// a device failed.
bool Prefetcher::begin_part(const PrefetchJob& job, PrefetchPart& part, std::size_t most) {
  Result<void> done;
  for (most = std::min(most, PrefetchPart::most_blocks); most != 0 && part.end < job.span.end();
       --most) {
    Block& block = part.range->block_of(part.end);
    part.claims.emplace_back(block.claim);
    block.claim.assert_held();
    done = plan_block(*part.range, block, job, part.tasks, part.obstacle);
    if (!done || part.obstacle) break;
    block.signs.note_prefetch(parts_.launches.load(std::memory_order_relaxed));
    part.end = block.begin + block_size;
  }
  const Result<void> started = parts_.stages.start(part.tasks, part.flight);
  return done && started;
}

bool Prefetcher::end_part(PrefetchPart* part) noexcept {
  if (part == nullptr) return true;
  const Result<void> moved = parts_.stages.finish(part->flight);
  for (const Task& task : part->tasks) {
    task.block->claim.assert_held();
    parts_.readiness.refresh(*task.range, *task.block);
  }
  part->claims.clear();
  if (part->end > part->begin)
    parts_.source.wake({part->begin, std::min(part->end, part->range->pages.end()) - part->begin});
  return moved.has_value();
}

// Adds the plan for one claimed block.
Result<void> Prefetcher::plan_block(Range& range, Block& block, const PrefetchJob& job,
                                    std::vector<Task>& tasks, std::optional<ActiveUse>& obstacle) {
  if (block.state().leases().any()) return {};
  // Mostly read bytes are replicated, all others are moved.
  const Access access = range.advice_at(std::max(block.begin, job.span.begin)).read_mostly
                            ? Access::read
                            : Access::write;
  const PageMask pages = parts_.mover.widen(block, block.pages_in(job.span), range.host_pages) -
                         block.state().directory.lost();
  if (job.to.is_device()) {
    const AllocationRequest wanted{&range, &block};
    SLUICE_ASSIGN(provision, parts_.residency.provide(job.to.number(), {&wanted, 1}));
    if (provision.count == 0)
      return tl::unexpected<Error>(parts_.residency.shortage(job.to.number(), provision));
  }
  const plan::Request request{job.to, pages, access};
  Task task{&range,
            &block,
            plan::acquire(block.state().directory, request, parts_.abilities),
            {.cause = Cause::prefetch}};
  // The copy is what takes time. The host's rights come as it reads, in parallel with it; mapping
  // small pages would cost more than the copy.
  if (job.to.is_host()) task.plan.withhold(pages);
  if (task.plan.empty()) return {};
  obstacle = parts_.readiness.take(range, block, parts_.mover.revoke_request_for(request, task));
  if (!obstacle) tasks.push_back(task);
  return {};
}

}  // namespace sluice::engine
