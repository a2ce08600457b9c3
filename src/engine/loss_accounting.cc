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

#include "engine/planted.hpp"
#include "os/report.hpp"
#include "transfer/transfer.hpp"

namespace sluice::engine {

// Peers map the memory of a device that is gone.
void LossAccounting::unmap_peers(Range& range, Block& block) noexcept {
  transfer::Transfer transfer(parts_.devices, parts_.timelines);
  for (const DevicePart& part : block.parts) {
    if (block.directory.mapping(part.device) != directory::Mapping::peer) continue;
    const std::size_t granule = parts_.devices[part.device].traits().mapping_granule;
    (void)transfer.map(part.device,
                       {block.begin, round_up(block.span().size, granule), {}, Rights::none});
    const MutexLock lock(block.mutex);
    block.directory.map(part.device, directory::Mapping::none, Rights::none);
    block.set_mapped(part.device, Rights::none, Location::device(range.device));
  }
  (void)transfer.finish();
}

// Borrowed memory goes back to its lender; memory that the device lent is gone.
PageMask LossAccounting::give_up_borrowed(Block& block, int device) noexcept {
  PageMask lost;
  for (DevicePart& part : block.parts) {
    const bool borrowed = part.device == device && part.lender >= 0;
    if (!borrowed && part.lender != device) continue;
    {
      const MutexLock lock(block.mutex);
      lost |= block.directory.lose(part.device);
    }
    transfer::Transfer transfer(parts_.devices, parts_.timelines);
    (void)parts_.stages.end_old_mappings(block, part);
    if (borrowed) {
      parts_.room.release(block, device);
      continue;
    }
    const std::size_t granule = parts_.devices[part.device].traits().mapping_granule;
    (void)transfer.map(part.device,
                       {block.begin, round_up(block.span().size, granule), {}, Rights::none});
    (void)transfer.finish();
    const MutexLock lock(block.mutex);
    parts_.room.forget(part);
  }
  const MutexLock lock(block.mutex);
  block.forget_old_mapping(device);
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
      const Claim claim(block.claim);
      if (block.part(device) == nullptr) continue;
      PageMask lost = give_up_borrowed(block, device);
      {
        MutexLock lock(block.mutex);
        lost |= block.directory.lose(device);
        if (planted::is(planted::Bug::forget_lost))
          block.directory.discard(std::exchange(lost, {}));
        parts_.room.forget(*block.part(device));
        if (block.mapped_rights(device) != Rights::none)
          block.set_mapped(device, Rights::none, block.leased_at);
      }
      if (range->device == device) unmap_peers(*range, block);
      parts_.gate.refresh(*range, block);
      if (lost.empty()) continue;
      lost_bytes += lost.count() * page_size;
      const AddressSpan hull = block.hull_of(lost);
      os::report(
          "device %d: %u pages of the range at %#lx, bytes %zu to %zu, existed only there and are "
          "lost",
          device, lost.count(), range->pages.begin.value, hull.begin - range->pages.begin,
          hull.end() - range->pages.begin);
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
