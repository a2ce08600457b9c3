// Transfer: batches commands and waits for them.
//
// A batch is one submission: 32 runs of pages cost one doorbell. Runs that continue each other are
// one command. The fence of each batch is kept until it was waited for: a later success is no
// evidence of an earlier one. Up to 16 batches are in flight at a time. What it does not do: choose
// where bytes go (that is the plan's), or bound the time of a copy (that is the back end's transfer
// timeout, which ends in a lost device).
#include "transfer/transfer.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace sluice::transfer {
namespace {

Result<device::Fence> send(device::Device& device, std::span<const device::CopyCommand> commands) {
  return device.copy(commands);
}
Result<device::Fence> send(device::Device& device, std::span<const device::FillCommand> commands) {
  return device.fill(commands);
}
Result<device::Fence> send(device::Device& device,
                           std::span<const device::MappingCommand> commands) {
  return device.update_mappings(commands);
}

bool continues(const device::Place& first, std::size_t size, const device::Place& second) {
  return first.location == second.location && first.allocation == second.allocation &&
         first.offset + size == second.offset;
}

// A command that continues the last one is joined to it.
bool extend(device::CopyCommand& last, const device::CopyCommand& next) {
  if (!continues(last.from, last.size, next.from) || !continues(last.to, last.size, next.to))
    return false;
  last.size += next.size;
  return true;
}
bool extend(device::FillCommand& last, const device::FillCommand& next) {
  if (last.value != next.value || !continues(last.to, last.size, next.to)) return false;
  last.size += next.size;
  return true;
}
// Joins only removals: mapped bytes may lie in different files.
bool extend(device::MappingCommand& last, const device::MappingCommand& next) {
  if (last.rights != Rights::none || next.rights != Rights::none ||
      last.address + last.size != next.address)
    return false;
  last.size += next.size;
  return true;
}

}  // namespace

Transfer::~Transfer() {
  // The call that met an error has already reported it.
  (void)wait_for_all();
}

Result<void> Transfer::copy(const device::CopyCommand& command) {
  const int device = command.to.location.is_device() ? command.to.location.number()
                                                     : command.from.location.number();
  return add(copies_, device, command);
}

Result<void> Transfer::fill(const device::FillCommand& command) {
  return add(fills_, command.to.location.number(), command);
}

Result<void> Transfer::map(int device, const device::MappingCommand& command) {
  return add(mappings_, device, command);
}

template <typename Command>
Result<void> Transfer::add(Batch<Command>& batch, int device, const Command& command) {
  Result<void> before;
  if (batch.commands.full() || device != batch.device) before = submit(batch);
  batch.device = device;
  if (batch.commands.empty() || !extend(batch.commands.back(), command))
    batch.commands.add(command);
  return before;
}

template <typename Command>
Result<void> Transfer::submit(Batch<Command>& batch) {
  if (batch.commands.empty()) return {};
  const std::span<const Command> commands = batch.commands.values();
  auto fence = send(devices_[batch.device], commands);
  batch.commands.clear();
  if (!fence) return judge(tl::unexpected<Error>(fence.error()));
  return remember(*fence);
}

Result<void> Transfer::judge(Result<void> done) const {
  if (!done && done.error().code() == ErrorCode::device_lost && on_loss_ == OnLoss::done) return {};
  return done;
}

Result<void> Transfer::wait(device::Fence fence) const { return judge(timelines_.wait(fence, {})); }

Result<void> Transfer::remember(device::Fence fence) {
  if (!fences_.full()) {
    fences_.add(fence);
    return {};
  }
  const std::span<device::Fence> known = fences_.values();
  Result<void> oldest = wait(known.front());
  std::ranges::rotate(known, known.begin() + 1);
  known.back() = fence;
  return oldest;
}

Result<void> Transfer::wait_for_all() {
  Result<void> first;
  for (const device::Fence& fence : fences_.values()) {
    auto waited = wait(fence);
    if (!waited && first) first = std::move(waited);
  }
  fences_.clear();
  return first;
}

Result<void> Transfer::submit() {
  SLUICE_TRY(submit(copies_));
  SLUICE_TRY(submit(fills_));
  return submit(mappings_);
}

Result<void> Transfer::finish() {
  Result<void> submitted = submit();
  Result<void> waited = wait_for_all();
  return submitted ? waited : submitted;
}

}  // namespace sluice::transfer
