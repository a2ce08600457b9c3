// Stages: take rights, move bytes, publish, map, grant.
//
// All plans pass through a stage before any enters the next, so a launch over a thousand blocks
// waits for its copies once; only taking rights and starting copies alternate, for some plans at a
// time. Neighbouring spans are joined before they become system calls: taking the rights of 1 GiB
// is one call. What it does not do: decide anything, or wait for kernels (the caller has).
#include "engine/stages.hpp"

#include <algorithm>
#include <utility>

namespace sluice::engine {
namespace {

using directory::Mapping;
using plan::StepKind;

// How many plans pass the first stages together, at first and later: 4 and 32 MiB of whole blocks.
constexpr std::size_t first_tasks = 2;
constexpr std::size_t most_tasks = 16;

// Joins spans that continue each other, and hands each maximal one to `act`.
template <typename Act>
class SpanMerger {
 public:
  explicit SpanMerger(Act act) : act_(std::move(act)) {}

  [[nodiscard]] Result<void> add(AddressSpan span) {
    if (pending_.size != 0 && pending_.end() == span.begin) {
      pending_.size += span.size;
      return {};
    }
    SLUICE_TRY(finish());
    pending_ = span;
    return {};
  }
  [[nodiscard]] Result<void> finish() {
    if (pending_.size == 0) return {};
    return act_(std::exchange(pending_, {}));
  }

 private:
  Act act_;
  AddressSpan pending_;
};

// Calls `visit(task, step)` for every step of a kind, in order, until an error.
template <typename Visitor>
Result<void> for_each_step(std::span<const Task> tasks, StepKind kind, Visitor&& visit) {
  for (const Task& task : tasks)
    for (const plan::Step& step : task.plan.steps())
      if (step.kind == kind) SLUICE_TRY(visit(task, step));
  return {};
}

template <typename Visitor>
Result<void> for_each_span(const Block& block, const PageMask& pages, Visitor&& visit) {
  for (PageSpan run = pages.next_run(0); run.count != 0; run = pages.next_run(run.end()))
    SLUICE_TRY(visit(block.span_of(run)));
  return {};
}

device::Place place_of(const Block& block, Location location, std::uint32_t page)
    SLUICE_REQUIRES(block.claim) {
  if (location.is_host()) return device::Place::host(block.begin + page * page_size);
  const DevicePart& part = *block.state().part(location.number());
  return {Location::device(part.owner()), part.allocation.handle, page * page_size};
}

std::uint32_t pages_in(std::size_t granule) {
  return static_cast<std::uint32_t>(granule / page_size);
}

// Keeps only pages in granules that are contained whole.
PageMask whole_granules(const Block& block, const PageMask& pages, std::size_t granule) {
  const PageMask all = block.every_page();
  return pages - (all - pages).widened(pages_in(granule), block.extent());
}

bool only_grants(std::span<const Task> tasks) {
  for (const Task& task : tasks)
    for (const plan::Step& step : task.plan.steps())
      if (step.kind != StepKind::grant) return false;
  return true;
}

void note_mapped(const Task& task, int device) {
  Block& block = *task.block;
  block.claim.assert_held();
  const MutexLock lock(block.mutex);
  block.change().forget_old_mapping(device);
}

void apply(const Task& task, const plan::Step& step) {
  Block& block = *task.block;
  block.claim.assert_held();
  // The host may come back for bytes or rights taken from it.
  if (step.others.has_host()) task.range->forget_host_accesses(block);
  const MutexLock lock(block.mutex);
  plan::apply(step, block.change().directory);
}

}  // namespace

Result<void> Stages::run(std::span<const Task> tasks) {
  // Grants alone, as where the host comes back to bytes that it has, need no other stage.
  if (only_grants(tasks)) return grant(tasks);
  Flight flight = prepare();
  SLUICE_TRY(start(tasks, flight));
  return finish(flight);
}

// While the bytes of some blocks are in transit, the rights to the next are taken, and they are
// mapped; the first batches are small, so that the link soon has work.
Result<void> Stages::start(std::span<const Task> tasks, Flight& flight) {
  flight.began_ = observer_.clock();
  std::size_t at_once = first_tasks;
  for (std::span<const Task> rest = tasks; !rest.empty();) {
    const std::span<const Task> some = rest.first(std::min(rest.size(), at_once));
    rest = rest.subspan(some.size());
    at_once = std::min(2 * at_once, most_tasks);
    SLUICE_TRY(take_rights(some));
    SLUICE_TRY(map(some, true));
    SLUICE_TRY(start_moves(some, flight.transfer_));
  }
  flight.tasks_ = tasks;
  return {};
}

Result<void> Stages::finish(Flight& flight) {
  const std::span<const Task> tasks = flight.tasks_;
  SLUICE_TRY(flight.transfer_.finish());
  for (const StepKind kind : {StepKind::copy, StepKind::fill})
    SLUICE_TRY(for_each_step(tasks, kind, [&](const Task& task, const Step& step) -> Result<void> {
      note(task, step, flight.began_);
      return {};
    }));
  publish(tasks);
  SLUICE_TRY(map(tasks, false));
  return grant(tasks);
}

Result<void> Stages::take_rights(std::span<const Task> tasks) {
  transfer::Transfer transfer(devices_, timelines_, transfer::OnLoss::done);
  for (const StepKind kind : {StepKind::unmap, StepKind::revoke, StepKind::downgrade})
    SLUICE_TRY(for_each_step(tasks, kind, [&](const Task& task, const Step& step) {
      return take_device_rights(task, step, transfer);
    }));
  SLUICE_TRY(transfer.finish());
  SLUICE_TRY(take_host_rights(tasks));
  for (const StepKind kind : {StepKind::unmap, StepKind::revoke, StepKind::downgrade})
    SLUICE_TRY(for_each_step(tasks, kind, [](const Task& task, const Step& step) -> Result<void> {
      apply(task, step);
      return {};
    }));
  return {};
}

Result<void> Stages::take_host_rights(std::span<const Task> tasks) {
  for (const StepKind kind : {StepKind::revoke, StepKind::downgrade}) {
    SpanMerger merger([&](AddressSpan span) {
      return kind == StepKind::revoke ? source_->revoke(span) : source_->downgrade(span);
    });
    SLUICE_TRY(for_each_step(tasks, kind, [&](const Task& task, const Step& step) -> Result<void> {
      if (!step.others.has_host()) return {};
      return for_each_span(*task.block, step.pages,
                           [&](AddressSpan span) { return merger.add(span); });
    }));
    SLUICE_TRY(merger.finish());
  }
  return {};
}

Result<void> Stages::take_device_rights(const Task& task, const Step& step,
                                        transfer::Transfer& transfer) {
  Result<void> result;
  DeviceSet(step.others).for_each([&](int number) {
    if (!result) return;
    const device::Traits& traits = devices_[number].traits();
    Block& block = *task.block;
    block.claim.assert_held();
    if (step.kind == StepKind::unmap) {
      result = unmap(number, block, transfer);
      if (result && !block.state().part(number)->old_mappings.empty())
        result = end_old_mappings(block, number);
    } else if (traits.recoverable_faults &&
               block.state().directory.mapping(number) == Mapping::own) {
      result = take_granules(task, step, number, transfer);
    }
  });
  return result;
}

Result<void> Stages::unmap(int device, const Block& block, transfer::Transfer& transfer) {
  return transfer.map(device, block.unmapping(devices_[device].traits().mapping_granule));
}

Result<void> Stages::copy(std::span<const device::CopyCommand> commands) {
  transfer::Transfer transfer(devices_, timelines_);
  for (const device::CopyCommand& command : commands) SLUICE_TRY(transfer.copy(command));
  return transfer.finish();
}

Result<void> Stages::end_old_mappings(Block& block, int device) {
  transfer::Transfer transfer(devices_, timelines_, transfer::OnLoss::done);
  DeviceSet old;
  {
    const MutexLock lock(block.mutex);
    old = std::exchange(block.change().part(device)->old_mappings, {});
  }
  Result<void> first;
  old.for_each([&](int holder) {
    if (Result<void> done = unmap(holder, block, transfer); first) first = std::move(done);
  });
  Result<void> last = transfer.finish();
  return first ? last : first;
}

// A step names one set of pages for several locations; each loses only what it has. The page table
// knows granules only: one of which the device may not read every page is taken away as a whole,
// and an access to the rest of it asks again.
Result<void> Stages::take_granules(const Task& task, const Step& step, int number,
                                   transfer::Transfer& transfer) {
  const Block& block = *task.block;
  block.claim.assert_held();
  const std::size_t granule = devices_[number].traits().mapping_granule;
  const directory::Holding& held = block.state().directory.holding(Location::device(number));
  const bool revokes = step.kind == StepKind::revoke;
  const PageMask concerned = step.pages & (revokes ? held.readable : held.writable);
  const PageMask pages = concerned.widened(pages_in(granule), block.extent());
  const PageMask kept =
      revokes ? PageMask{} : pages & whole_granules(block, held.readable, granule);
  return keep_readable(number, block, pages, kept, transfer);
}

// Of the pages, in whole granules, the device may read only those in `kept`, which it could before.
// Only rights change, so no device refuses: a host access must not fail of it.
Result<void> Stages::keep_readable(int number, const Block& block, const PageMask& pages,
                                   const PageMask& kept, transfer::Transfer& transfer) {
  const std::size_t granule = devices_[number].traits().mapping_granule;
  const auto set = [&](const PageMask& part, Rights rights) {
    return for_each_span(block, part, [&](AddressSpan span) {
      block.claim.assert_held();
      const auto page = static_cast<std::uint32_t>((span.begin - block.begin) / page_size);
      return transfer.map(number, {span.begin, round_up(span.size, granule),
                                   place_of(block, Location::device(number), page), rights,
                                   rights != Rights::none});
    });
  };
  SLUICE_TRY(set(pages - kept, Rights::none));
  return set(kept, Rights::read);
}

Result<void> Stages::start_moves(std::span<const Task> tasks, transfer::Transfer& transfer) {
  const auto start = [&](const Task& task, const Step& step) { return move(task, step, transfer); };
  SLUICE_TRY(for_each_step(tasks, StepKind::copy, start));
  SLUICE_TRY(for_each_step(tasks, StepKind::fill, start));
  return transfer.submit();
}

Result<void> Stages::move(const Task& task, const Step& step, transfer::Transfer& transfer) {
  const Block& block = *task.block;
  block.claim.assert_held();
  for (PageSpan run = step.pages.next_run(0); run.count != 0;
       run = step.pages.next_run(run.end())) {
    const device::Place to = place_of(block, step.to, run.first);
    const std::size_t size = run.count * page_size;
    if (step.kind == StepKind::fill)
      SLUICE_TRY(transfer.fill({to, size, 0}));
    else
      SLUICE_TRY(transfer.copy({place_of(block, step.from, run.first), to, size}));
  }
  return {};
}

void Stages::note(const Task& task, const Step& step, std::uint64_t began) {
  const std::size_t bytes = step.pages.count() * page_size;
  if (step.kind == StepKind::fill) {
    observer_.count(observe::Counter::bytes_filled, bytes);
    return;
  }
  observer_.count_moved(step.from, step.to, bytes);
  bool moves = false;
  for (const Step& other : task.plan.steps())
    moves = moves || (other.kind == StepKind::drop && other.others.contains(step.from));
  const PageSpan first = step.pages.next_run(0);
  observer_.record(moves ? EventKind::migration : EventKind::read_duplicate,
                   {task.block->begin + first.first * page_size, bytes}, step.from, step.to, began,
                   0, {.cause = task.trigger.cause, .link = task.trigger.link});
}

void Stages::publish(std::span<const Task> tasks) {
  for (const Task& task : tasks) {
    for (const Step& step : task.plan.steps()) {
      if (step.kind == StepKind::borrow) borrow(task, step);
      if (step.kind == StepKind::publish) apply(task, step);
      if (step.kind != StepKind::drop) continue;
      apply(task, step);
      note_invalidated(task, step);
    }
  }
}

// The lender gets the borrower's own allocation in return; the caller gives that back.
void Stages::borrow(const Task& task, const Step& step) {
  Block& block = *task.block;
  block.claim.assert_held();
  const auto lent_by = [](const DevicePart& part, int owner) {
    return part.allocation.size == 0 || part.device == owner ? -1 : owner;
  };
  const int owner = block.state().part(step.from.number())->owner();
  {
    const MutexLock lock(block.mutex);
    BlockState& state = block.change();
    DevicePart& to = *state.part(step.to.number());
    DevicePart& from = *state.part(step.from.number());
    const int former = to.owner();
    std::swap(to.allocation, from.allocation);
    std::swap(to.in_host, from.in_host);
    to.lender = lent_by(to, owner);
    from.lender = lent_by(from, former);
    to.old_mappings = std::exchange(from.old_mappings, {}) | DeviceSet(from.device);
    plan::apply(step, state.directory);
  }
  observer_.count(observe::Counter::borrowed_blocks);
  observer_.record(EventKind::map_remote, block.span(), Location::device(owner), step.to, 0, 0,
                   {.cause = task.trigger.cause, .link = task.trigger.link});
}

// A copy that ends without having been moved was a read duplicate.
void Stages::note_invalidated(const Task& task, const Step& step) {
  if (!observer_.recording()) return;
  LocationSet ended = step.others;
  for (const Step& other : task.plan.steps())
    if (other.kind == StepKind::copy) ended.erase(other.from);
  const AddressSpan span = task.block->hull_of(step.pages);
  const auto record = [&](Location from) {
    observer_.record(EventKind::read_duplicate_invalidate, span, from, task.plan.steps().back().to,
                     0, 0, {.cause = task.trigger.cause, .link = task.trigger.link});
  };
  if (ended.has_host()) record(Location::host());
  DeviceSet(ended).for_each([&](int number) { record(Location::device(number)); });
}

// A device that cannot fault uses no block before its launch, so its own allocation may be mapped
// before the bytes are there, as it stays mapped when the host takes them back. A borrower has no
// allocation before it is published.
bool Stages::maps_ahead_of_copies(const Task& task, const Step& step) const noexcept {
  const device::Traits& traits = devices_[step.to.number()].traits();
  return traits.maps_in_the_call && !traits.recoverable_faults && step.mapping == Mapping::own &&
         std::ranges::none_of(task.plan.steps(),
                              [](const Step& other) { return other.kind == StepKind::borrow; });
}

Result<void> Stages::map(std::span<const Task> tasks, bool ahead_of_copies) {
  transfer::Transfer transfer(devices_, timelines_);
  Result<void> done =
      for_each_step(tasks, StepKind::map, [&](const Task& task, const Step& step) -> Result<void> {
        if (maps_ahead_of_copies(task, step) != ahead_of_copies) return {};
        return map_block(task, step, transfer);
      });
  if (const Result<void> finished = transfer.finish(); done) done = finished;
  if (!done) {
    unmap_unknown(tasks);
    return done;
  }
  return for_each_step(
      tasks, StepKind::map, [&](const Task& task, const Step& step) -> Result<void> {
        if (maps_ahead_of_copies(task, step) != ahead_of_copies) return {};
        apply(task, step);
        note_mapped(task, step.to.number());
        if (step.mapping == Mapping::host)
          observer_.record(EventKind::map_remote, task.block->span(), Location::host(), step.to, 0,
                           0, {.cause = task.trigger.cause, .link = task.trigger.link});
        return {};
      });
}

// Some of the lists were carried out, but the directory records none. Removals cannot fail, unless
// the device is lost.
void Stages::unmap_unknown(std::span<const Task> tasks) {
  transfer::Transfer transfer(devices_, timelines_, transfer::OnLoss::done);
  (void)for_each_step(tasks, StepKind::map, [&](const Task& task, const Step& step) {
    const int number = step.to.number();
    const Block& block = *task.block;
    block.claim.assert_held();
    const device::Traits& traits = devices_[number].traits();
    if (block.state().directory.mapping(number) == Mapping::none)
      return unmap(number, block, transfer);
    if (!traits.recoverable_faults || step.mapping != Mapping::own) return Result<void>{};
    // The device keeps its earlier rights to the block, and no more.
    const std::size_t granule = traits.mapping_granule;
    const directory::Holding& held = block.state().directory.holding(step.to);
    const PageMask pages = step.pages.widened(pages_in(granule), block.extent()) -
                           whole_granules(block, held.writable, granule);
    const PageMask kept = pages & whole_granules(block, held.readable, granule);
    return keep_readable(number, block, pages, kept, transfer);
  });
  (void)transfer.finish();
}

Result<void> Stages::map_block(const Task& task, const Step& step, transfer::Transfer& transfer) {
  const int number = step.to.number();
  const device::Traits& traits = devices_[number].traits();
  const Block& block = *task.block;
  block.claim.assert_held();
  const Location backed_by = step.mapping == Mapping::own ? step.to : Location::host();
  // A device with recoverable faults is given just the pages, in granules that it has all of (it
  // has none of a lost page); any other sees the block as a whole.
  PageMask pages = block.every_page();
  if (traits.recoverable_faults && step.mapping == Mapping::own) {
    const PageMask have = block.state().directory.holding(step.to).readable | step.pages;
    pages = step.pages.widened(pages_in(traits.mapping_granule), block.extent()) &
            whole_granules(block, have, traits.mapping_granule);
  }
  const std::size_t granule =
      step.mapping == Mapping::own ? traits.mapping_granule : traits.host_granule;
  return for_each_span(block, pages, [&](AddressSpan span) {
    block.claim.assert_held();
    const std::size_t from = round_down(span.begin - block.begin, granule);
    const std::size_t to = round_up(span.end() - block.begin, granule);
    const auto page = static_cast<std::uint32_t>(from / page_size);
    return transfer.map(
        number, {block.begin + from, to - from, place_of(block, backed_by, page), step.rights});
  });
}

Result<void> Stages::grant(std::span<const Task> tasks) {
  for (const Access access : {Access::read, Access::write}) {
    SpanMerger merger([&](AddressSpan span) { return source_->grant(span, access); });
    SLUICE_TRY(for_each_step(
        tasks, StepKind::grant, [&](const Task& task, const Step& step) -> Result<void> {
          if (step.rights != rights_for(access)) return {};
          apply(task, step);
          if (!step.to.is_host()) return {};
          return for_each_span(*task.block, step.pages,
                               [&](AddressSpan span) { return merger.add(span); });
        }));
    SLUICE_TRY(merger.finish());
  }
  return {};
}

}  // namespace sluice::engine
