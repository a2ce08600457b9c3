// Gives up the holdings of a lost device: bytes with no other copy are lost, all others are kept.
//
// It runs on the thread that receives device events, under one block's claim after another, and
// must complete: where there is no memory for the list of ranges, it waits for some. Cost: a claim
// for each block of the space, some milliseconds. What it does not do: bring a lost device back.
// Engine::reset_device() does, when a program asks.
#include "engine/loss_accounting.hpp"

#include <new>
#include <thread>
#include <utility>

#include "os/report.hpp"
#include "transfer/transfer.hpp"

namespace sluice::engine {

// Peers map the memory of a device that is gone.
void LossAccounting::unmap_peers(Range& range, Block& block) noexcept {
  transfer::Transfer transfer(parts_.devices, parts_.timelines);
  for (const DevicePart& part : block.state().parts) {
    if (block.state().directory.mapping(part.device) != directory::Mapping::peer) continue;
    (void)parts_.stages.unmap(part.device, block, transfer);
    const MutexLock lock(block.mutex);
    block.change().directory.map(part.device, directory::Mapping::none, Rights::none);
    block.change().set_mapped(part.device, Rights::none, Location::device(range.device));
  }
  (void)transfer.finish();
}

// Borrowed memory goes back to its lender; memory that the device lent is gone.
PageMask LossAccounting::give_up_borrowed(Block& block, int device) noexcept {
  PageMask lost;
  for (const DevicePart& part : block.state().parts) {
    const bool borrowed = part.device == device && part.lender >= 0;
    if (!borrowed && part.lender != device) continue;
    {
      const MutexLock lock(block.mutex);
      lost |= block.change().directory.lose(part.device);
    }
    transfer::Transfer transfer(parts_.devices, parts_.timelines);
    (void)parts_.stages.end_old_mappings(block, part.device);
    if (borrowed) {
      parts_.residency.release(block, device);
      continue;
    }
    (void)parts_.stages.unmap(part.device, block, transfer);
    (void)transfer.finish();
    const MutexLock lock(block.mutex);
    parts_.residency.forget(*block.change().part(part.device));
  }
  const MutexLock lock(block.mutex);
  block.change().forget_old_mapping(device);
  return lost;
}

// This must succeed, so it waits until there is memory for the list.
std::vector<Pin> LossAccounting::every_range() const noexcept {
  while (true) {
    try {
      return parts_.ranges.all();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void LossAccounting::give_up(int device) noexcept {
  std::size_t lost_bytes = 0;
  for (Pin& range : every_range()) {
    for (Block& block : range->blocks) {
      const ScopedClaim claim(block.claim);
      if (block.state().part(device) == nullptr) continue;
      PageMask lost = give_up_borrowed(block, device);
      {
        const MutexLock lock(block.mutex);
        BlockState& state = block.change();
        lost |= state.directory.lose(device);
        parts_.residency.forget(*state.part(device));
        if (state.mapped().rights(device) != Rights::none)
          state.set_mapped(device, Rights::none, state.leases().location());
      }
      if (range->device == device) unmap_peers(*range, block);
      parts_.readiness.refresh(*range, block);
      if (lost.empty()) continue;
      lost_bytes += lost.count() * page_size;
      const AddressSpan hull = block.hull_of(lost);
      os::report(
          "device %d: %u pages of the range%s at %#lx, bytes %zu to %zu, existed only there and "
          "are "
          "lost",
          device, lost.count(), range->label(), range->pages.begin.value,
          hull.begin - range->pages.begin, hull.end() - range->pages.begin);
      if (range->kind != Kind::shared) continue;
      lost.for_each_run([&](PageSpan run) { (void)parts_.source.deny(block.span_of(run)); });
    }
  }
  parts_.observer.count(observe::Counter::devices_lost);
  parts_.observer.record(EventKind::device_lost, {Address{}, lost_bytes}, Location::device(device),
                         Location::host());
  parts_.losses.note_given_up(device);
}

}  // namespace sluice::engine
