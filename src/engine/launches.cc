// Journey 2: finds what a launch names, and decides if it may enter. launch_preparation.cc makes
// its blocks ready.
//
// Entering is short and happens under the tracker; making ready takes as long as its copies, with
// only claims on the changed blocks held. A launch with nothing to move costs a mutex and a few
// comparisons more than the bare submission. What it does not do: wait on the device for another
// device's kernel. Such a launch waits here, on its thread.
#include "engine/launches.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "engine/undeclared.hpp"

namespace sluice::engine {
namespace {

void note_use(const NamedUse& use, std::uint64_t launch) noexcept {
  if (use.span.size == use.range->pages.size) {
    use.range->stamps.note(launch);
    return;
  }
  const std::size_t last = use.range->index_of(use.span.end() - 1);
  for (std::size_t i = use.range->index_of(use.span.begin); i <= last; ++i)
    use.range->blocks[i].stamps.note(launch);
}

bool is_mapped_on(Range& range, const Use& use, int device) {
  for (std::size_t i = range.index_of(use.span.begin); i <= range.index_of(use.span.end() - 1);
       ++i) {
    const MutexLock lock(range.blocks[i].mutex);
    if (!allows(range.blocks[i].locked_state().mapped().rights(device), use.access)) return false;
  }
  return true;
}

}  // namespace

// --- the journey ---------------------------------------------------------------------------------

Result<device::Fence> Launches::launch(const LaunchRequest& request) {
  const std::uint64_t began = parts_.observer.clock();

  // Find the blocks that it touches.
  LaunchState launch(request);
  launch.link = parts_.observer.new_link();
  SLUICE_TRY(name_ranges(launch));

  // Rights that a failed launch took from the host for leased bytes go back at once.
  const auto give_back = [&] {
    launch.release_claims();
    parts_.owed.note(launch.owed, {});
    parts_.owed.pay_due();
  };
  try {
    if (Result<void> in = get_in(launch); !in) {
      give_back();
      return tl::unexpected<Error>(parts_.losses.tell(in).error());
    }
  } catch (const std::bad_alloc&) {
    give_back();
    throw;
  }
  parts_.observer.count(observe::Counter::launches);
  if (parts_.observer.recording()) [[unlikely]]
    record(launch, began);
  return *launch.fence;
}

void Launches::record(const LaunchState& launch, std::uint64_t began) const try {
  const LaunchRequest& request = launch.request;
  const SourcePlace* const source = request.site.source;
  const bool has_source = source != nullptr && source->line != 0;
  const observe::LaunchPlaces::Site site{has_source ? source->file : request.site.caller,
                                         has_source ? source->line : 0};
  const int queue =
      request.external ? -1 : parts_.devices[request.device].queue_number(*launch.fence);
  const std::uint32_t place = parts_.observer.launch_places().number(
      request.device, request.external ? ~std::uint64_t{0} : request.kernel.value, queue, site,
      [&] { return site.code == nullptr ? std::string() : describe(request.site); });
  const Location device = Location::device(request.device);
  const observe::Details details{.cause = Cause::launch, .link = launch.link, .place = place};
  parts_.observer.record(EventKind::launch, {}, Location::host(), device, began, 0, details);
  for (std::size_t i = 0; i < launch.named; ++i) {
    const NamedUse& use = launch.uses[i];
    const AddressSpan named = i < request.uses.size() ? request.uses[i].span : use.span;
    parts_.observer.record(
        EventKind::launch_use, named, device, device, 0, 0,
        {.cause = Cause::launch, .writes = use.access == Access::write, .link = launch.link});
  }
  if (parts_.kernels != nullptr) parts_.kernels->add(launch, place, began);
} catch (const std::bad_alloc&) {
  // The trace lacks a launch; the program goes on.
}

Result<void> Launches::get_in(LaunchState& launch) {
  while (true) {
    // If everything named is there, the launch enters: its fence is attached to what it may write.
    SLUICE_TRY(enter(launch));
    if (launch.fence) return {};

    // Otherwise rights are taken from the host, stale pages copied, blocks mapped, the directory
    // published.
    if (!launch.obstacle && !launch.queue_is_full) {
      if (const Result<void> ready = parts_.preparation.make_ready(launch); !ready) {
        launch.release_claims();
        const Location here = Location::device(launch.request.device);
        SLUICE_TRY(parts_.losses.outlive(ready.error(), here, launch.losses));
        continue;
      }
    }

    // A kernel in the way is waited for without claims. Its launcher gets its failure.
    if (const auto obstacle = std::exchange(launch.obstacle, std::nullopt)) {
      launch.release_claims();
      (void)parts_.timelines.wait(obstacle->fence, {});
    }
    if (std::exchange(launch.queue_is_full, false)) {
      launch.release_claims();
      parts_.devices[launch.request.device].wait_for_room(launch.request.queue, launch.command({}));
    }
  }
}

// --- its steps -----------------------------------------------------------------------------------

Result<void> Launches::name_ranges(LaunchState& launch) const {
  const LaunchRequest& request = launch.request;
  const device::Traits& traits = parts_.devices[request.device].traits();
  if (request.external && parts_.devices[request.device].external_work() == nullptr)
    return fail(ErrorCode::unsupported,
                "device %d is a %s, a kind of device that has no streams but its queues",
                request.device, traits.name.c_str());
  if (request.arguments.size() > traits.argument_limit)
    return fail(ErrorCode::invalid_argument, "%zu bytes of arguments; device %d carries %zu",
                request.arguments.size(), request.device, traits.argument_limit);
  launch.uses.reserve(request.uses.size());
  for (const Use& use : request.uses) {
    SLUICE_ASSIGN(range, parts_.ranges.find_whole(use.span));
    if (range->kind == Kind::device && range->device != request.device &&
        !is_mapped_on(*range, use, request.device))
      return fail(ErrorCode::unknown_address,
                  "%#lx is memory of device %d; the launch is on device %d", use.span.begin.value,
                  range->device, request.device);
    const Address begin{round_down(use.span.begin.value, page_size)};
    const Address end{round_up(use.span.end().value, page_size)};
    launch.uses.push_back({std::move(range), {begin, end - begin}, use.access});
  }
  if (request.every_shared_range && !request.writes_every_range()) name_every_range(launch);
  launch.named = launch.uses.size();
  limit(launch);
  // Fences of this device become part of the launch, as many as it carries; all others are waited
  // for here.
  for (const device::Fence& fence : request.wait_for) {
    SLUICE_TRY(parts_.timelines.check(fence));
    if (fence.device == request.device && launch.wait_for.size() < LaunchState::most_fences)
      launch.wait_for.push_back(fence);
    else
      SLUICE_TRY(parts_.timelines.wait(fence, {}));
  }
  return {};
}

// A launch that only reads names every shared range as if the program had: each has to have a valid
// copy on the device, and keeps its others. A launch that may write has no such list, because it
// enters as soon as a count says that the device has all of them
// (ReadinessTracker::every_range_is_ready()).
void Launches::name_every_range(LaunchState& launch) const {
  for (Pin& range : parts_.ranges.all()) {
    if (range->kind != Kind::shared) continue;
    const AddressSpan whole = range->pages;
    launch.uses.push_back({std::move(range), whole, Access::read});
  }
}

// The memory that the launch names, and memory that needs no naming because it stays mapped on the
// device until it is unmapped.
void Launches::limit(LaunchState& launch) const {
  const int device = launch.request.device;
  if (parts_.strict == nullptr || launch.request.writes_every_range() || launch.request.external ||
      !parts_.devices[device].traits().limits_launches)
    return;
  launch.limited = parts_.strict->prepare(launch.request);
  launch.limited.front()->link = launch.link;
  auto& named = launch.limited.front()->named;
  for (std::size_t i = named.size(); i < launch.uses.size(); ++i)  // name_every_range()
    named.push_back({launch.uses[i].span, launch.uses[i].access});
  auto& granted = launch.granted.emplace();
  for (const NamedUse& use : launch.uses) granted.push_back({use.span, use.access});
  for (const Pin& range : parts_.ranges.all())
    for (Block& block : range->blocks) {
      const MutexLock lock(block.mutex);
      const Rights rights = block.locked_state().mapped().rights(device);
      if (rights != Rights::none)
        granted.push_back({block.span(), rights == Rights::write ? Access::write : Access::read});
    }
}

Result<void> Launches::enter(LaunchState& launch) {
  const LaunchRequest& request = launch.request;
  const int number = request.device;
  device::Device& device = parts_.devices[number];
  device::ExternalWork* const external = device.external_work();
  const bool recoverable = device.traits().recoverable_faults;
  std::array<device::Fence, 16> wait_for{};
  std::size_t waits = 0;
  for (const device::Fence& fence : launch.wait_for) wait_for[waits++] = fence;
  const std::size_t given = waits;
  // Adds one fence for each timeline, the latest; returns false if there is no place left.
  const auto waits_for = [&](const device::Fence& fence) {
    for (device::Fence& known : std::span(wait_for).first(waits).subspan(given))
      if (known.timeline == fence.timeline) {
        known.value = std::max(known.value, fence.value);
        return true;
      }
    if (waits == wait_for.size()) return false;
    wait_for[waits++] = fence;
    return true;
  };
  const auto stands_in_the_way = [&](const ActiveUse& use) {
    const bool own = use.fence.device == number;
    if (own && request.external && request.external->ordered_by_program) return false;
    // A kernel on a device with recoverable faults loses its rights when others need them; no
    // launch waits for it.
    if (use.recoverable && (!own || use.span == everywhere)) return false;
    const bool orders = own && (external == nullptr || external->orders(use.fence));
    if (orders && waits_for(use.fence)) return false;
    if (!parts_.timelines.is_pending(use.fence)) return false;
    launch.obstacle = use;
    return true;
  };

  const ReadinessTracker::Entry entry(parts_.readiness);
  for (const NamedUse& use : launch.uses) {
    // Launches that name the same bytes run in the order of submission, unless both only read them.
    const auto conflicts = [&](const ActiveUse& other) {
      return (use.access == Access::write || other.writes) && stands_in_the_way(other);
    };
    if (parts_.readiness.find_use(*use.range, use.span, Interest::all, conflicts)) return {};
    if (!recoverable && parts_.readiness.find_unready(*use.range, use.span, number, use.access,
                                                      &launch, [](Block&) { return true; }))
      return {};
  }
  if (request.writes_every_range()) {
    for (const ActiveUse& use : parts_.readiness.latest())
      if (!recoverable && !use.recoverable && parts_.timelines.may_be_pending(use.fence) &&
          stands_in_the_way(use))
        return {};
    if (!recoverable && launch.claimed.empty() && !parts_.readiness.every_range_is_ready(number))
      return {};
  }

  // No wait for room happens under the tracker: the kernels that must end for it may need the
  // tracker.
  const device::LaunchCommand command = launch.command(std::span(wait_for).first(waits));
  launch.queue_is_full = !request.external && !device.has_room(request.queue, command);
  if (launch.queue_is_full) return {};

  // Memory for the notes comes first: a kernel without a note would run unseen.
  const std::span<const NamedUse> named = std::span(launch.uses).first(launch.named);
  parts_.readiness.reserve(1);
  const std::size_t most = std::min(named.size(), request.uses.size() + 1);  // of one range
  for (const NamedUse& use : named) parts_.readiness.reserve(*use.range, most);
  auto fence = request.external ? external->begin(*request.external, command.wait_for)
                                : device.launch(request.queue, command);
  if (!fence) return tl::unexpected<Error>(fence.error());
  if (launch.granted) [[unlikely]]
    parts_.strict->add(*fence, launch.limited);
  const std::uint64_t count = parts_.count.fetch_add(1, std::memory_order_relaxed) + 1;
  for (const NamedUse& use : named) {
    parts_.readiness.add_use(*use.range,
                             {use.span, *fence, use.access == Access::write, recoverable});
    note_use(use, count);
  }
  parts_.readiness.add_launch(
      {request.writes_every_range() ? everywhere : AddressSpan{}, *fence, true, recoverable});
  launch.fence = *fence;
  parts_.owed.note(launch.owed, *fence);
  return {};
}

}  // namespace sluice::engine
