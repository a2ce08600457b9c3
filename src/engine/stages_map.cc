// The stages that change page tables of devices: map, and take granules away.
//
// Updates are put together in one list for each device and stage. A device that cannot fault sees
// blocks as a whole; one with recoverable faults is given just the pages that it may use, in the
// granules of its page table. Cost: a system call or a message for each list. What it does not do:
// decide anything, or move bytes.
#include <algorithm>
#include <utility>

#include "engine/stages.hpp"
#include "engine/task_steps.hpp"

namespace sluice::engine {
namespace {

using directory::Mapping;
using plan::StepKind;

void note_mapped(const Task& task, int device) {
  Block& block = *task.block;
  block.claim.assert_held();
  const MutexLock lock(block.mutex);
  block.change().forget_old_mapping(device);
}

}  // namespace

Result<void> Stages::unmap(int device, const Block& block, transfer::Transfer& transfer) {
  return transfer.map(device, block.unmapping(devices_[device].traits().mapping_granule));
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

}  // namespace sluice::engine
