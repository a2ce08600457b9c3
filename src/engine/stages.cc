// Stages: take rights, move bytes, publish, map, grant.
//
// All plans pass through a stage before any enters the next, so a launch over a thousand blocks
// waits for its copies once; only taking rights and starting copies alternate, for some plans at a
// time. Neighbouring spans are joined before they become system calls: taking the rights of 1 GiB
// is one call. What it does not do: decide anything, or wait for kernels (the caller has).
#include "engine/stages.hpp"

#include <algorithm>
#include <utility>

#include "engine/task_steps.hpp"

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

bool only_grants(std::span<const Task> tasks) {
  for (const Task& task : tasks)
    for (const plan::Step& step : task.plan.steps())
      if (step.kind != StepKind::grant) return false;
  return true;
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

Result<void> Stages::copy(std::span<const device::CopyCommand> commands) {
  transfer::Transfer transfer(devices_, timelines_);
  for (const device::CopyCommand& command : commands) SLUICE_TRY(transfer.copy(command));
  return transfer.finish();
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
  task.range->traffic.note_copy(step.to.is_host(), bytes);
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
