// Waits for the fence of each launch, on a thread for each device.
//
// The end of a kernel is when that thread has woken up, so some 50 us late on a busy machine. Its
// beginning is not seen: it is the launch, or the end of the kernel before it in its queue.
//
// Cost: a wake-up for each kernel. Looking at what a kernel used reads 8 bytes for each page that
// its launch names; it takes at most one part in twenty of the thread's time.
// What it does not do: ask a driver for times, which differ in what they measure.
#include "engine/kernel_watch.hpp"

#include <algorithm>

namespace sluice::engine {

Result<void> KernelWatch::start() {
  for (int device = 0; device < devices_.count(); ++device) {
    Watcher& watcher = watchers_.emplace_back();
    SLUICE_TRY(watcher.thread.start(
        "sluice-kernels", [this, &watcher](const KernelRun& run) { watch(watcher, run); }));
  }
  return {};
}

void KernelWatch::stop() noexcept {
  for (Watcher& watcher : watchers_) watcher.thread.stop();
}

void KernelWatch::forget() noexcept {
  for (Watcher& watcher : watchers_) watcher.thread.forget();
}

void KernelWatch::add(const LaunchState& launch, std::uint32_t place,
                      std::uint64_t began) noexcept {
  KernelRun run{.fence = *launch.fence, .launched = began, .link = launch.link, .place = place};
  for (std::size_t i = 0; i < std::min(launch.named, KernelRun::most_uses); ++i)
    run.uses[run.count++] = launch.uses[i].span;
  const auto number = static_cast<std::size_t>(launch.request.device);
  if (!watchers_[number].thread.add([&] { return run; })) ++left_out_;
}

void KernelWatch::watch(Watcher& watcher, const KernelRun& run) noexcept {
  // A kernel that failed has ended, too.
  (void)timelines_.wait(run.fence, {});
  std::uint64_t& ended = watcher.ended[run.fence.timeline % watcher.ended.size()];
  const Location device = Location::device(run.fence.device);
  observer_.record(EventKind::kernel, {}, device, device, std::max(run.launched, ended), 0,
                   {.cause = Cause::launch, .link = run.link, .place = run.place});
  ended = observe::now();
  if (ended >= watcher.next_look) look(watcher, run);
}

void KernelWatch::look(Watcher& watcher, const KernelRun& run) noexcept {
  constexpr std::uint64_t part_of_time = 20;
  const std::uint64_t began = observe::now();
  const Location device = Location::device(run.fence.device);
  for (const AddressSpan& use : std::span(run.uses).first(run.count))
    if (const auto touched = devices_[run.fence.device].touched(use))
      observer_.record(EventKind::kernel_touch, {use.begin, *touched}, device, device, 0, 0,
                       {.cause = Cause::launch, .link = run.link});
  const std::uint64_t now = observe::now();
  watcher.next_look = now + part_of_time * (now - began);
}

}  // namespace sluice::engine
