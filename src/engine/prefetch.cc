// Prefetch: a hint that bytes will be wanted somewhere.
//
// It is a job for a thread of the engine, so a program goes on at once; its fence says when it is over, not whether there was room.
// The span goes in parts of some blocks. While the bytes of one part are on their way, the rights to the next are taken, so
// that the link does not wait for page tables; two parts are claimed at a time. Cost: a plan for each block; the copy.
// What it does not do: evict what another launch is about to use, or wait for a lease.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "engine/engine.hpp"
#include "engine/prefetch_part.hpp"

namespace sluice::engine {

Result<device::Fence> Engine::prefetch(AddressSpan span, Location to) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_location(to));
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  observer_.count(observe::Counter::prefetches);
  if (range->kind != Kind::shared) return device::Fence{};
  device::Fence fence;
  // The fence is drawn under the queue's lock, so that fences complete in the order in which the jobs are done.
  const auto make = [&] {
    fence = timelines_.host.next();
    return PrefetchJob{span, range->number, to, fence.value};
  };
  prefetches_.wait_and_add(make);
  return fence;
}

void Engine::run_prefetch(const PrefetchJob& job) noexcept {
  try {
    prefetch_parts(job);
  } catch (const std::bad_alloc&) {
    // A hint that there is no memory for is over.
  }
  timelines_.host.complete(job.value);
}

void Engine::prefetch_parts(const PrefetchJob& job) {
  // No more than fits: what a prefetch brought must not leave again for its own sake.
  std::size_t left = job.to.is_device() ? room_->budget(job.to.number()) : ~std::size_t{0};
  std::unique_ptr<PrefetchPart> under_way;
  for (Address at = job.span.begin; at < job.span.end() && left >= block_size;) {
    Pin range = ranges_.find(at, job.range);
    if (!range) break;  // freed meanwhile: a hint has nothing to say about that
    auto part = std::make_unique<PrefetchPart>(std::move(range), at, *stages_);
    const bool started = start_prefetch(job, *part, left / block_size);
    const bool ended = finish_prefetch(std::exchange(under_way, nullptr).get());
    left -= std::min(left, round_up(part->end - at, block_size));
    at = part->end;
    // A kernel in the way is waited for with nothing held.
    const std::optional<ActiveUse> obstacle = part->obstacle;
    under_way = std::move(part);
    if (!started || !ended) break;
    if (!obstacle) continue;
    if (!finish_prefetch(std::exchange(under_way, nullptr).get())) break;
    (void)timelines_.wait(obstacle->fence, {});
  }
  (void)finish_prefetch(under_way.get());
}

// Plans up to `most` blocks and gets their bytes on their way. False: there is no room for more, or a device failed.
bool Engine::start_prefetch(const PrefetchJob& job, PrefetchPart& part, std::size_t most) {
  Result<void> done;
  for (most = std::min(most, PrefetchPart::most_blocks); most != 0 && part.end < job.span.end();
       --most) {
    Block& block = part.range->block_of(part.end);
    part.claims.emplace_back(block.claim);
    done = plan_prefetch(*part.range, block, job, part.tasks, part.obstacle);
    if (!done || part.obstacle) break;
    block.prefetched.store(launches_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    part.end = block.begin + block_size;
  }
  const Result<void> started = stages_->start(part.tasks, part.flight);
  return done && started;
}

bool Engine::finish_prefetch(PrefetchPart* part) noexcept {
  if (part == nullptr) return true;
  const Result<void> moved = stages_->finish(part->flight);
  for (const Task& task : part->tasks) gate_->refresh(*task.range, *task.block);
  part->claims.clear();
  if (part->end > part->begin)
    source_->wake({part->begin, std::min(part->end, part->range->pages.end()) - part->begin});
  return moved.has_value();
}

// Adds what is to be done for one claimed block.
Result<void> Engine::plan_prefetch(Range& range, Block& block, const PrefetchJob& job,
                                   std::vector<Task>& tasks, std::optional<ActiveUse>& obstacle) {
  if (block.leases != 0) return {};
  // A copy for those who mostly read, a move otherwise.
  const Access access = range.advice_at(std::max(block.begin, job.span.begin)).read_mostly
                            ? Access::read
                            : Access::write;
  const PageMask pages =
      widen(block, block.pages_in(job.span), range.host_pages) - block.directory.lost();
  if (job.to.is_device()) {
    const Wanting wanting{&range, &block};
    SLUICE_ASSIGN(provided, room_->provide(job.to.number(), {&wanting, 1}));
    if (provided.count == 0)
      return tl::unexpected<Error>(room_->shortage(job.to.number(), provided));
  }
  const plan::Request request{job.to, pages, access};
  Task task{&range, &block, plan::acquire(block.directory, request, abilities_)};
  // Bytes are what takes time to bring. The host's rights come as it reads, in parallel with it; small pages would cost more than the copy.
  if (job.to.is_host()) task.plan.withhold(pages);
  if (task.plan.empty()) return {};
  obstacle = gate_->take(range, block, taking_for(request, task));
  if (!obstacle) tasks.push_back(task);
  return {};
}

}  // namespace sluice::engine
