// Strict mode: a kernel touched memory that its launch was not granted, and stalls until it is
// answered here.
//
// A page that the launch does not name is a finding. Then the kernel is ended, or the page is
// brought as if it had been named, and is from then on: the launch's fence is attached to it, so
// that it is not taken away while the kernel runs, and a host access to what it writes waits.
// Kernels of one device run one after another in strict mode, and the one that faulted stalls, so
// no other launch of that device is ever waited for. A launch of another device may be; that is
// done by asking again later, because its kernel may be waiting for this thread, too.
//
// Cost: 30 to 60 us a page, on the engine's thread for devices.
// What it does not do: bring more than the page that was touched, so that every page that is
// missing is seen.
#include "engine/limited_access.hpp"

#include <new>
#include <thread>

#include "device/recoverable_faults.hpp"
#include "engine/contention.hpp"
#include "engine/lease_rules.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

constexpr auto pause_for_kernels = std::chrono::microseconds(200);
// From this many pages of a block on, the launch counts as a user of the whole block: the list of
// uses stays short.
constexpr std::uint32_t many_pages = 16;

Address page_of(Address address) noexcept { return Address{round_down(address.value, page_size)}; }

bool is_mapped(Block& block, int device, Access access) {
  const MutexLock lock(block.mutex);
  return allows(block.locked_state().mapped().rights(device), access);
}

}  // namespace

void LimitedAccesses::answer(const DeviceEvent& event) noexcept try {
  device::Device& device = parts_.devices[event.device];
  device::RecoverableFaults& faults = *device.recoverable_faults();
  // The kernel may run before its launch has noted itself.
  parts_.readiness.await_entry();
  const std::shared_ptr<LimitedLaunch> launch = parts_.strict.find(event.launch);
  const auto answer = [&](bool resolved) {
    parts_.strict.note_stall(event.device, -1);
    faults.answer_fault(event.fault, resolved);
    if (resolved)
      parts_.observer.record(EventKind::gpu_fault_replay, {event.address, page_size},
                             Location::device(event.device), Location::device(event.device));
  };
  const auto ask_again = [&](std::chrono::microseconds later) {
    std::this_thread::sleep_for(later);
    DeviceEvent again = event;
    if (again.put_off == contention::Clock::time_point{}) again.put_off = contention::Clock::now();
    if (!parts_.events.add(again)) answer(true);  // the access is retried, and faults again
  };

  const Result<Pin> range = parts_.ranges.find_whole({event.address, 1});
  if (!range) return answer(false);
  Block& block = (*range)->block_of(event.address);
  if (launch != nullptr && !is_mapped(block, event.device, event.access) &&
      note_undeclared(**range, event, *launch) && parts_.strict.stops())
    return answer(false);

  // A device with recoverable faults gives up pages under a running kernel, so one access may need
  // help to get all of its pages together. Ranges of the other kinds stay where they are.
  if (device.traits().recoverable_faults && (*range)->kind == Kind::shared) {
    parts_.strict.note_stall(event.device, -1);
    parts_.answers.answer(event);
    return;
  }
  const Result<FaultOutcome> given = give_limited_page(**range, block, event, launch.get());
  if (!given) {
    if (given.error().code() == ErrorCode::busy && !parts_.events.is_closing())
      return ask_again(std::chrono::milliseconds(1));
    if (given.error().code() != ErrorCode::device_lost)
      os::report("device %d: the access to %#lx cannot be answered: %s", event.device,
                 event.address.value, given.error().detail().data());
    return answer(false);
  }
  if (given->done) return answer(true);
  if (!given->obstacle) return ask_again(contention::moment);
  // Two kernels that stall on each other's pages would wait for each other for ever.
  const int holder = given->obstacle->fence.device;
  parts_.strict.note_stall(event.device, holder);
  if (!parts_.strict.waits_for_itself(event.device)) return ask_again(pause_for_kernels);
  os::report(
      "device %d: the access to %#lx waits for a kernel of device %d, which waits for this one: "
      "launches that use the same bytes must name them",
      event.device, event.address.value, holder);
  answer(false);
} catch (const std::bad_alloc&) {
  // Memory may be available soon, and the kernel stalls until then.
  parts_.strict.note_stall(event.device, -1);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (parts_.events.is_closing() || !parts_.events.add(event))
    parts_.devices[event.device].recoverable_faults()->answer_fault(event.fault,
                                                                    !parts_.events.is_closing());
}

// Returns true if the launch does not name the page. Each launch and access is reported once.
bool LimitedAccesses::note_undeclared(Range& range, const DeviceEvent& event,
                                      LimitedLaunch& launch) {
  const KernelAccess access{
      launch.kernel, event.device, event.address, event.access, {range.pages.begin, range.size},
      range.kind,    range.name};
  const auto kind = judge(access, launch.named);
  if (!kind) return false;
  const auto known = launch.answered.find(page_of(event.address));
  if (known != launch.answered.end() &&
      (known->second == Access::write || event.access == Access::read))
    return true;
  // Where memory is short the access comes again: it counts as reported once the finding is kept.
  std::map<Address, Access> record;
  record.emplace(page_of(event.address), event.access);
  parts_.strict.found(find(*kind, access, launch.named, launch.site()), range.number, launch.fence);
  if (known != launch.answered.end())
    known->second = event.access;
  else
    launch.answered.insert(record.extract(record.begin()));
  parts_.observer.count(observe::Counter::undeclared_accesses);
  parts_.observer.record(
      EventKind::undeclared_access, {page_of(event.address), page_size},
      Location::device(event.device), Location::device(event.device), 0, 0,
      {.cause = Cause::launch, .writes = event.access == Access::write, .link = launch.link});
  return true;
}

Result<FaultOutcome> LimitedAccesses::give_limited_page(Range& range, Block& block,
                                                        const DeviceEvent& event,
                                                        LimitedLaunch* launch) {
  const device::Device& device = parts_.devices[event.device];
  const ScopedClaim claim(block.claim);
  if (range.kind == Kind::device && range.device != event.device &&
      block.state().mapped().rights(event.device) == Rights::none)
    return fail(ErrorCode::unknown_address, "it is memory of device %d", range.device);
  const auto index = static_cast<std::uint32_t>((event.address - block.begin) / page_size);
  const PageMask wanted = parts_.mover.widen(block, PageMask(PageSpan{index, 1}), range.host_pages);
  if (block.state().directory.lost().intersects(wanted))
    return fail(ErrorCode::data_lost,
                "it shares %zu bytes with bytes that existed only on a device that was lost",
                wanted.count() * page_size);
  if (range.kind != Kind::device) {
    SLUICE_ASSIGN(given, bring_limited_page(range, block, wanted, event));
    if (!given.done) return given;
  }
  if (launch == nullptr) return FaultOutcome{.done = true, .obstacle = {}};
  // From here on, treat the page as if the launch had named it.
  LimitedLaunch::InBlock& answered = launch->answered_in_block[block.begin];
  if (allows(answered.whole, event.access)) return FaultOutcome{.done = true, .obstacle = {}};
  const bool many = answered.pages + 1 >= many_pages;
  const AddressSpan used = many ? block.span() : AddressSpan{page_of(event.address), page_size};
  parts_.readiness.note_use(range, {used, launch->fence, event.access == Access::write,
                                    device.traits().recoverable_faults});
  ++answered.pages;
  if (many) answered.whole = rights_for(event.access);
  return FaultOutcome{.done = true, .obstacle = {}};
}

Result<FaultOutcome> LimitedAccesses::bring_limited_page(Range& range, Block& block,
                                                         const PageMask& pages,
                                                         const DeviceEvent& event) {
  block.admit(event.device);
  plan::Request request{Location::device(event.device), pages, event.access};
  SLUICE_ASSIGN(demanded, means_under_leases(block, event.device, event.access));
  const directory::Mapping mapping = block.state().directory.mapping(event.device);
  const bool host_mapped =
      mapping == directory::Mapping::host || mapping == directory::Mapping::peer;
  request.means = demanded ? *demanded
                  : host_mapped || range.kind == Kind::host
                      ? plan::Means::host_mapped
                      : plan::choose_means(block.state().directory, event.device,
                                           range.advice_at(block.begin), true);
  if (request.means == plan::Means::own) {
    const AllocationRequest wanted{&range, &block};
    SLUICE_ASSIGN(provision, parts_.residency.provide(event.device, {&wanted, 1}));
    // Uses by kernels of this device stay until they end, and that is after this answer.
    const bool others = provision.obstacle && provision.obstacle->fence.device != event.device;
    if (provision.count == 0 && others)
      return FaultOutcome{.done = false, .obstacle = provision.obstacle};
    const bool is_late = event.put_off != contention::Clock::time_point{} &&
                         contention::Clock::now() >= event.put_off + contention::patience;
    if (provision.count == 0 && provision.contended && !is_late)
      return FaultOutcome{.done = false, .obstacle = {}};
    if (provision.count == 0 && (demanded || parts_.options.overflow == Overflow::refuse))
      return tl::unexpected<Error>(parts_.residency.shortage(event.device, provision));
    if (provision.count == 0) request.means = plan::Means::host_mapped;
  }
  const Task task{&range,
                  &block,
                  plan::acquire(block.state().directory, request, parts_.abilities),
                  {.cause = Cause::device_access}};
  if (task.plan.empty()) return FaultOutcome{.done = true, .obstacle = {}};
  RevokeRequest revoke = parts_.mover.revoke_request_for(request, task);
  revoke.unmapped.erase(event.device);
  revoke.overwritten = {};
  if (const auto obstacle = parts_.readiness.take(range, block, revoke))
    return FaultOutcome{.done = false, .obstacle = obstacle};
  const Result<void> done = parts_.stages.run({&task, 1});
  parts_.readiness.refresh(range, block);
  if (!done) return tl::unexpected<Error>(done.error());
  if (request.means == plan::Means::host_mapped) parts_.residency.release(block, event.device);
  return FaultOutcome{.done = true, .obstacle = {}};
}

}  // namespace sluice::engine
