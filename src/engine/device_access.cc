// Answers a device with recoverable faults and touched a page without sufficient rights: decides
// which pages it gets, and for how long it keeps them.
//
// Usually it gets the one page, and the next access that wants the page may take it at once. Where
// the kernel comes back for a page that it had, its access needs several pages together, or others
// are always faster: then it gets all of them under claims, which are held until the access has
// retired (plan/stalled_access.hpp says why that ends). Pages that do not fit into the device's
// memory together are host-mapped; where that is not wanted (Overflow::refuse), the
// kernel dies with an error that says so. Cost: as a host access; where pages are kept, also a wait
// for one instruction, which takes a few microseconds and delays other faults. What it does not do:
// wait for a kernel while claims are held.
#include "engine/device_access.hpp"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "device/recoverable_faults.hpp"
#include "engine/lease_rules.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

// A processor that has not run one instruction in this time is stuck for a reason other than pages.
constexpr std::chrono::seconds instruction_limit{2};
// For this long, others wait while one access waits for a kernel.
constexpr std::chrono::milliseconds turn{5};

}  // namespace

void DeviceAccess::add(Pin range, Address page, Access access, bool asked) {
  Block& block = range->block_of(page);
  auto need = std::ranges::find(needs, &block, &DeviceNeed::block);
  if (need == needs.end()) {
    needs.push_back({.range = std::move(range), .block = &block});
    need = needs.end() - 1;
  }
  const PageMask mask(PageSpan{static_cast<std::uint32_t>((page - block.begin) / page_size), 1});
  (access == Access::write ? need->to_write : need->to_read) |= mask;
  need->asked = need->asked || asked;
}

void DeviceAccess::claim() {
  std::ranges::sort(needs, {}, [](const DeviceNeed& need) { return need.block->begin; });
  claims_.reserve(needs.size());
  for (const DeviceNeed& need : needs) {
    claims_.emplace_back(need.block->claim);
    need.block->claimant.set(this);
  }
}

void DeviceAccess::release() noexcept {
  for (std::size_t i = 0; i < claims_.size(); ++i) needs[i].block->claimant.clear();
  claims_.clear();
}

void DeviceAnswers::answer(const DeviceEvent& event) noexcept {
  device::RecoverableFaults& faults = *parts_.devices[event.device].recoverable_faults();
  Result<void> given;
  try {
    given = try_answer(event);
  } catch (const std::bad_alloc&) {
    given = fail(ErrorCode::busy, "no memory for the library's own records");  // there may be soon
  }
  if (!given && given.error().code() == ErrorCode::busy && !parts_.events.is_closing()) {
    // A lease keeps the bytes elsewhere. Like a host access, this one waits for the lease's end,
    // and others go first.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    DeviceEvent again = event;
    again.again = true;
    // The queue is full: the access is retried, and faults again.
    if (!parts_.events.add(again)) faults.answer_fault(event.fault, true);
    return;
  }
  if (!given && given.error().code() != ErrorCode::device_lost)
    os::report("device %d: the access to %#lx cannot be answered: %s", event.device,
               event.address.value, given.error().detail().data());
  if (!given)
    faults.answer_fault(event.fault, false);
  else
    parts_.observer.record(EventKind::gpu_fault_replay, {event.address, page_size},
                           Location::device(event.device), Location::device(event.device));
}

Result<void> DeviceAnswers::try_answer(const DeviceEvent& event) {
  device::RecoverableFaults& faults = *parts_.devices[event.device].recoverable_faults();
  plan::StalledAccess& stalled = stalled_[{event.device, faults.queue_of_fault(event.fault)}];
  const plan::PageDemand asked{Address{round_down(event.address.value, page_size)}, event.access};
  const bool together = event.again ? !stalled.together().empty() : stalled.ask(asked);
  Reservation reservation(parts_.residency, parts_.timelines, event.device);
  while (true) {
    const std::span<const plan::PageDemand> demands =
        together ? stalled.together() : std::span(&asked, 1);
    DeviceAccess access;
    for (const plan::PageDemand& demand : demands) {
      auto range = parts_.ranges.find_whole({demand.page, 1});
      const bool is_asked = demand.page == asked.page;
      if (range) access.add(std::move(*range), demand.page, demand.access, is_asked);
      if (!range && is_asked) return tl::unexpected<Error>(range.error());
    }
    access.claim();
    SLUICE_ASSIGN(given, give_pages(event.device, access, reservation));
    if (given.done) {
      if (!together) {
        access.release();
        faults.answer_fault(event.fault, true);
      } else if (faults.answer_and_await(event.fault, device::Clock::now() + instruction_limit)) {
        stalled.retired();
      }
      return {};
    }
    access.release();
    if (given.shortage) {
      if (!stalled.narrow_to(asked)) return tl::unexpected<Error>(std::move(*given.shortage));
    } else if (given.obstacle) {
      // The wait is short: the kernel may wait for a launch that waits until this thread gives up a
      // lost device.
      const Result<void> ended =
          parts_.timelines.wait(given.obstacle->fence, {device::Clock::now() + turn});
      if (!ended && ended.error().code() == ErrorCode::timed_out)
        return fail(ErrorCode::busy, "a kernel on device %d uses the page",
                    given.obstacle->fence.device);
    } else {
      (void)reservation.wait({.contended = true});
    }
  }
}

void DeviceAnswers::forget(int device) {
  std::erase_if(stalled_, [device](const auto& each) { return each.first.first == device; });
}

// Chooses the means by which the device gets at the pages of each block.
Result<void> DeviceAnswers::choose_means(int device, DeviceNeed& need) {
  Block& block = *need.block;
  block.claim.assert_held();
  Range& range = *need.range;
  if (range.kind == Kind::device)
    return fail(ErrorCode::unknown_address, "it is memory of device %d", range.device);
  // Its page table cannot leave out a page of a granule.
  need.to_write = parts_.mover.widen(block, need.to_write, range.host_pages);
  need.to_read = parts_.mover.widen(block, need.to_read, range.host_pages) - need.to_write;
  const PageMask wanted = need.to_read | need.to_write;
  if (block.state().directory.lost().intersects(wanted))
    return fail(ErrorCode::data_lost,
                "it shares %zu bytes with bytes that existed only on a device that was lost",
                wanted.count() * page_size);
  block.admit(device);
  SLUICE_ASSIGN(demanded, means_under_leases(block, device, need.access()));
  need.must_fit = demanded || parts_.options.overflow == Overflow::refuse;
  need.means = demanded                   ? *demanded
               : range.kind == Kind::host ? plan::Means::host_mapped
                                          : plan::choose_means(block.state().directory, device,
                                                               range.advice_at(block.begin), true);
  return {};
}

Result<FaultOutcome> DeviceAnswers::give_pages(int device, DeviceAccess& access,
                                               Reservation& reservation) {
  std::vector<DeviceNeed*> own;
  std::vector<AllocationRequest> wanted;
  for (DeviceNeed& need : access.needs) {
    Result<void> chosen = choose_means(device, need);
    if (!chosen && need.asked) return tl::unexpected<Error>(chosen.error());
    need.left_out = !chosen;
    if (need.left_out || need.means != plan::Means::own) continue;
    own.push_back(&need);
    wanted.push_back({need.range.get(), need.block});
  }
  SLUICE_ASSIGN(provision, reservation.attempt(wanted, {&access, {}}));
  if (provision.count < own.size() && reservation.can_wait(provision))
    return FaultOutcome{.done = false, .obstacle = provision.obstacle};
  for (DeviceNeed* const need : std::span(own).subspan(provision.count)) {
    if (!need->must_fit) {
      need->means = plan::Means::host_mapped;
      continue;
    }
    if (!need->asked) {
      need->left_out = true;
      continue;
    }
    const Error shortage = parts_.residency.shortage(device, provision);
    if (own.size() == 1) return tl::unexpected<Error>(shortage);
    return FaultOutcome{.shortage = Error(shortage.code(),
                                          "one access needs memory of %zu blocks at once: %s",
                                          own.size(), std::string(shortage.detail()).c_str())};
  }
  for (const DeviceNeed& need : access.needs) {
    if (need.left_out) continue;
    SLUICE_ASSIGN(obstacle, bring(device, need));
    if (obstacle) return FaultOutcome{.done = false, .obstacle = obstacle};
  }
  return FaultOutcome{.done = true, .obstacle = std::nullopt};
}

Result<std::optional<ActiveUse>> DeviceAnswers::bring(int device, const DeviceNeed& need) {
  need.block->claim.assert_held();
  const Location to = Location::device(device);
  if (need.means == plan::Means::host_mapped) {
    SLUICE_ASSIGN(obstacle, parts_.mover.bring(*need.range, *need.block,
                                               {to, need.to_read | need.to_write, need.access(),
                                                need.means, need.to_read},
                                               Cause::device_access));
    // The block's allocation is of no use while the block is host-mapped.
    if (!obstacle) parts_.residency.release(*need.block, device);
    return obstacle;
  }
  if (!need.to_read.empty()) {
    SLUICE_ASSIGN(obstacle, parts_.mover.bring(*need.range, *need.block,
                                               {to, need.to_read, Access::read, need.means},
                                               Cause::device_access));
    if (obstacle) return obstacle;
  }
  if (need.to_write.empty()) return std::optional<ActiveUse>{};
  return parts_.mover.bring(*need.range, *need.block,
                            {to, need.to_write, Access::write, need.means}, Cause::device_access);
}

}  // namespace sluice::engine
