// Transfer: batching and waiting.
//
// A batch is one submission: 32 runs of pages cost one doorbell. What it does not do: choose where bytes go (that is the
// plan's), or bound the time of a copy (that is the back end's transfer timeout, which ends in a lost device).
#include "transfer/transfer.hpp"

#include <utility>

namespace sluice::transfer {

Transfer::~Transfer() {
  // Errors were already reported by the call that met them.
  (void)wait_for_all();
}

Result<void> Transfer::copy(const device::CopyCommand& command) {
  const int device = command.to.location.is_device() ? command.to.location.number() : command.from.location.number();
  if (copy_count_ == batch_size || (copy_count_ != 0 && device != copy_device_)) SLUICE_TRY(submit_copies());
  copy_device_ = device;
  // Runs that continue each other on both sides are one command.
  if (copy_count_ != 0) {
    device::CopyCommand& last = copies_[copy_count_ - 1];
    if (last.from.location == command.from.location && last.to.location == command.to.location &&
        last.from.piece == command.from.piece && last.to.piece == command.to.piece &&
        last.from.offset + last.size == command.from.offset && last.to.offset + last.size == command.to.offset) {
      last.size += command.size;
      return {};
    }
  }
  copies_[copy_count_++] = command;
  return {};
}

Result<void> Transfer::fill(const device::FillCommand& command) {
  const int device = command.to.location.number();
  if (fill_count_ == batch_size || (fill_count_ != 0 && device != fill_device_)) SLUICE_TRY(submit_fills());
  fill_device_ = device;
  fills_[fill_count_++] = command;
  return {};
}

Result<void> Transfer::submit_copies() {
  if (copy_count_ == 0) return {};
  const std::size_t count = std::exchange(copy_count_, 0);
  auto fence = devices_[static_cast<std::size_t>(copy_device_)]->copy({copies_.data(), count});
  if (!fence) return tl::unexpected<Error>(fence.error());
  return remember(*fence);
}

Result<void> Transfer::submit_fills() {
  if (fill_count_ == 0) return {};
  const std::size_t count = std::exchange(fill_count_, 0);
  auto fence = devices_[static_cast<std::size_t>(fill_device_)]->fill({fills_.data(), count});
  if (!fence) return tl::unexpected<Error>(fence.error());
  return remember(*fence);
}

Result<void> Transfer::remember(device::Fence fence) {
  // A later point on the same timeline completes after the earlier one.
  for (std::size_t i = 0; i < fence_count_; ++i) {
    if (fences_[i].device != fence.device || fences_[i].timeline != fence.timeline) continue;
    if (timelines_.poll(fences_[i]) == device::FenceState::failed) return timelines_.wait(fences_[i], {});
    fences_[i].value = fence.value;
    return {};
  }
  if (fence_count_ == most_fences) SLUICE_TRY(wait_for_all());
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

Result<void> Transfer::finish() {
  Result<void> submitted = submit_copies();
  if (submitted) submitted = submit_fills();
  Result<void> waited = wait_for_all();
  return submitted ? waited : submitted;
}

}  // namespace sluice::transfer
