// What devices tell the engine: page faults that they retry, kernels that died, and their own end.
//
// A back end speaks on a thread of its own, which must stay free to notice the next device's end; so everything that needs a
// claim becomes a job for one thread here. device_access.cc answers page faults. What it does not do: bring a lost device back by itself;
// reset_device() does.
#include <thread>
#include <utility>

#include "engine/device_access.hpp"
#include "engine/engine.hpp"
#include "engine/leases.hpp"
#include "engine/planted.hpp"
#include "engine/strict_mode.hpp"
#include "os/futex.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

// What they map is the memory of a device that is gone.
void unmap_peers(Range& range, Block& block, const transfer::Devices& devices,
                 transfer::Transfer& transfer) {
  for (const DevicePart& part : block.parts) {
    if (block.directory.mapping(part.device) != directory::Mapping::peer) continue;
    const std::size_t granule =
        devices[static_cast<std::size_t>(part.device)]->traits().mapping_granule;
    (void)transfer.map(part.device,
                       {block.begin, round_up(block.span().size, granule), {}, Rights::none});
    const MutexLock lock(block.mutex);
    block.directory.map(part.device, directory::Mapping::none, Rights::none);
    block.set_mapped(part.device, Rights::none, Location::device(range.device));
  }
}

}  // namespace

void Engine::device_lost(int device, const Error& why) noexcept {
  if (closing_) return;
  os::report("device %d is lost: %s", device, why.detail().data());
  DeviceEvent event;
  event.device = device;
  event.lost = true;
  device_events_.wait_and_add([&] { return event; });
}

void Engine::device_access_fault(int device, std::uint32_t fault, Address address,
                                 Access access) noexcept {
  // No kernel runs before the space is open: the device's process says what cannot be.
  if (!open_.load(std::memory_order_acquire)) return;
  observer_.count(observe::Counter::gpu_faults);
  observer_.record(EventKind::gpu_fault, {address, page_size}, Location::device(device),
                   Location::device(device));
  DeviceEvent event{device, false, fault, address, access};
  if (strict_ != nullptr)
    event.launch = devices_[static_cast<std::size_t>(device)]->launch_of(fault);
  const bool added = device_events_.add([&] { return event; });
  // No place in the queue: the access is made again, and asks again.
  if (!added) devices_[static_cast<std::size_t>(device)]->answer_fault(fault, true);
}

void Engine::device_fatal_fault(int device, device::Fence launch, Address address, Access access,
                                const Error& report) noexcept {
  if (!open_.load(std::memory_order_acquire)) return;  // as above
  observer_.count(observe::Counter::fatal_faults);
  observer_.record(EventKind::fatal_fault, {address, page_size}, Location::device(device),
                   Location::device(device));
  os::report("device %d: %s of %#lx: %s", device, access == Access::read ? "read" : "write",
             address.value, explain_fault(launch, report).detail().data());
}

void Engine::run_device_event(const DeviceEvent& event) noexcept {
  if (event.lost) {
    device_answers_->forget(event.device);
    give_up_device(event.device);
    return;
  }
  if (strict_ != nullptr) {
    answer_limited_access(event);
    return;
  }
  answer_retried_access(event);
}

void Engine::answer_retried_access(const DeviceEvent& event) noexcept {
  Result<void> given;
  try {
    given = device_answers_->answer(event);
  } catch (const std::bad_alloc&) {
    given = fail(ErrorCode::busy, "no memory for the library's own records");  // there may be soon
  }
  if (!given && given.error().code() == ErrorCode::busy && !closing_) {
    // A lease keeps the bytes elsewhere. As a host access would, this one waits for its end, and others go first.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    DeviceEvent again = event;
    again.again = true;
    // No place in the queue: the access is made again, and asks again.
    if (!device_events_.add([&] { return again; }))
      devices_[static_cast<std::size_t>(event.device)]->answer_fault(event.fault, true);
    return;
  }
  if (!given && given.error().code() != ErrorCode::device_lost)
    os::report("device %d: the access to %#lx cannot be answered: %s", event.device,
               event.address.value, given.error().detail().data());
  if (!given)
    devices_[static_cast<std::size_t>(event.device)]->answer_fault(event.fault, false);
  else
    observer_.record(EventKind::gpu_fault_replay, {event.address, page_size},
                     Location::device(event.device), Location::device(event.device));
}

// --- a device's end -----------------------------------------------------------------------------------------------------------

// What the device borrowed goes back to whoever lent it; what it lent is gone.
PageMask Engine::give_up_borrowed(Block& block, int device) noexcept {
  PageMask lost;
  for (DevicePart& part : block.parts) {
    const bool borrowed = part.device == device && part.lender >= 0;
    if (!borrowed && part.lender != device) continue;
    {
      const MutexLock lock(block.mutex);
      lost |= block.directory.lose(part.device);
    }
    transfer::Transfer transfer(devices_, timelines_);
    (void)stages_->end_old_mappings(block, part);
    if (borrowed) {
      room_->release(block, device);
      continue;
    }
    const std::size_t granule =
        devices_[static_cast<std::size_t>(part.device)]->traits().mapping_granule;
    (void)transfer.map(part.device,
                       {block.begin, round_up(block.span().size, granule), {}, Rights::none});
    (void)transfer.finish();
    const MutexLock lock(block.mutex);
    room_->forget(part);
  }
  const MutexLock lock(block.mutex);
  block.forget_old_mapping(device);
  return lost;
}

// For what must be done, and waits until there is memory for the list.
std::vector<Pin> Engine::every_range() const noexcept {
  while (true) {
    try {
      return ranges_.all();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void Engine::give_up_device(int device) noexcept {
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
        room_->forget(*block.part(device));
        if (block.mapped_rights(device) != Rights::none)
          block.set_mapped(device, Rights::none, block.leased_at);
      }
      if (range->device == device) {
        transfer::Transfer transfer(devices_, timelines_);
        unmap_peers(*range, block, devices_, transfer);
        (void)transfer.finish();
      }
      gate_->refresh(*range, block);
      if (lost.empty()) continue;
      lost_bytes += lost.count() * page_size;
      const AddressSpan hull = block.hull_of(lost);
      os::report(
          "device %d: %u pages of the range at %#lx, bytes %zu to %zu, existed only there and are "
          "lost",
          device, lost.count(), range->pages.begin.value, hull.begin - range->pages.begin,
          hull.end() - range->pages.begin);
      if (range->kind != Kind::shared) continue;
      lost.for_each_run([&](PageSpan run) { (void)source_->deny(block.span_of(run)); });
    }
  }
  observer_.count(observe::Counter::devices_lost);
  observer_.record(EventKind::device_lost, {Address{}, lost_bytes}, Location::device(device),
                   Location::host());
  std::atomic<std::uint32_t>& losses = given_up_[static_cast<std::size_t>(device)];
  ++losses;
  os::futex_wake_all(losses);
}

Result<void> Engine::reset_device(int device) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(device));
  device::Device& back_end = *devices_[static_cast<std::size_t>(device)];
  if (!back_end.lost())
    return fail(ErrorCode::invalid_argument,
                "device %d is neither lost nor hung; it needs no reset", device);
  // What it held must be given up before it may hold anything new.
  await_given_up(device);
  SLUICE_TRY(back_end.reset());
  // A device that dies again before this line has one loss more to its name than resets, too.
  ++resets_[static_cast<std::size_t>(device)];
  for (Pin& range : ranges_.all())
    if (range->kind == Kind::host || range->device == device)
      SLUICE_TRY(map_standing(*range, device));
  return {};
}

}  // namespace sluice::engine
