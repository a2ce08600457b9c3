// Transfer: batching and waiting.
//
// A batch is one submission: 32 runs of pages cost one doorbell. Runs that continue each other are one command. What it does not do: choose where bytes go (that is the
// plan's), or bound the time of a copy (that is the back end's transfer timeout, which ends in a lost device).
#include "transfer/transfer.hpp"

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
  return first.location == second.location && first.piece == second.piece &&
         first.offset + size == second.offset;
}

// Commands that go on where the last one ends are one command.
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
// Only removals: what is mapped may lie in different files.
bool extend(device::MappingCommand& last, const device::MappingCommand& next) {
  if (last.rights != Rights::none || next.rights != Rights::none ||
      last.address + last.size != next.address)
    return false;
  last.size += next.size;
  return true;
}

}  // namespace

Transfer::~Transfer() {
  // Errors were already reported by the call that met them.
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
  if (batch.count == batch.commands.size() || (batch.count != 0 && device != batch.device))
    SLUICE_TRY(submit(batch));
  batch.device = device;
  if (batch.count != 0 && extend(batch.commands[batch.count - 1], command)) return {};
  batch.commands[batch.count++] = command;
  return {};
}

template <typename Command>
Result<void> Transfer::submit(Batch<Command>& batch) {
  if (batch.count == 0) return {};
  const std::span<const Command> commands(batch.commands.data(), std::exchange(batch.count, 0));
  auto fence = send(*devices_[static_cast<std::size_t>(batch.device)], commands);
  if (!fence) return tl::unexpected<Error>(fence.error());
  return remember(*fence);
}

Result<void> Transfer::remember(device::Fence fence) {
  // A later point on the same timeline completes after the earlier one.
  for (std::size_t i = 0; i < fence_count_; ++i) {
    if (fences_[i].device != fence.device || fences_[i].timeline != fence.timeline) continue;
    if (timelines_.poll(fences_[i]) == device::FenceState::failed)
      return timelines_.wait(fences_[i], {});
    fences_[i].value = fence.value;
    return {};
  }
  if (fence_count_ == fences_.size()) SLUICE_TRY(wait_for_all());
  fences_[fence_count_++] = fence;
  return {};
}

Result<void> Transfer::wait_for_all() {
  Result<void> first;
  for (std::size_t i = 0; i < fence_count_; ++i) {
    auto waited = timelines_.wait(fences_[i], {});
    if (!waited && first) first = std::move(waited);
  }
  fence_count_ = 0;
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
