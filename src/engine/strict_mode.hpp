// StrictMode: the memory that launches name, for as long as their kernels may run, and the
// findings. Exists only where strict mode is on.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/by_device.hpp"
#include "engine/undeclared.hpp"
#include "transfer/transfer.hpp"

namespace sluice::engine {

// A launch that is limited to what it names.
struct LimitedLaunch {
  device::Fence fence;
  std::uint64_t link = 0;  // as traces tell it
  device::QueueId queue;
  std::string kernel;
  std::vector<Use> named;  // as the program wrote it
  const void* caller = nullptr;
  SourcePlace source;
  // Pages beyond those, and the blocks in which there are many, that accesses were answered with.
  // Used only by the answering thread.
  std::map<Address, Access> answered;
  struct InBlock {
    std::uint32_t pages = 0;
    Rights whole = Rights::none;  // the launch counts as a user of the whole block
  };
  std::map<Address, InBlock> answered_in_block;

  [[nodiscard]] LaunchSite site() const noexcept {
    return {caller, source.line == 0 ? nullptr : &source};
  }
};

class StrictMode {
 public:
  // The mode asked for by the options or else by SLUICE_STRICT. invalid_argument: the variable has
  // another value.
  [[nodiscard]] static Result<Strict> wanted(Strict option);

  StrictMode(Strict mode, const transfer::Timelines& timelines, const transfer::Devices& devices);

  [[nodiscard]] bool stops() const noexcept { return mode_ == Strict::stop; }
  // "device 0 (NVIDIA H200)": those that cannot limit launches.
  [[nodiscard]] const std::string& exempt_devices() const noexcept { return exempt_; }
  void name_kernel(int device, device::KernelId kernel, std::string_view name);

  // Makes a launch's record before it enters, because entering must not fail half way.
  [[nodiscard]] std::list<std::shared_ptr<LimitedLaunch>> prepare(const LaunchRequest& request)
      SLUICE_EXCLUDES(mutex_);
  // Call with the tracker's mutex held, as the launch enters: an access of its kernel that comes at
  // once is looked up after that.
  void add(device::Fence fence, std::list<std::shared_ptr<LimitedLaunch>>& prepared) noexcept
      SLUICE_EXCLUDES(mutex_);
  // The launch, while it is known: until a later launch of its queue comes after its end. Null if
  // it was not limited.
  [[nodiscard]] std::shared_ptr<LimitedLaunch> find(device::Fence fence) const
      SLUICE_EXCLUDES(mutex_);

  // Counts an access; one that is the first of its kernel, range and kind is printed. `range`: its
  // number.
  void found(const Finding& finding, std::uint64_t range, device::Fence launch)
      SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Finding> findings() const SLUICE_EXCLUDES(mutex_);
  // Prints a summary of the findings.
  void summarize() const SLUICE_EXCLUDES(mutex_);

  // Only the answering thread may call these. They record which device's kernel the stalled one of
  // `device` waits for (-1: none), and detect a cycle of such waits.
  void note_stall(int device, int holder) noexcept { stalled_for_[device] = holder; }
  [[nodiscard]] bool waits_for_itself(int device) const noexcept;

 private:
  static constexpr std::size_t most_findings = 256;
  struct Kept {
    Finding finding;
    std::uint64_t range;
    device::Fence last;  // launch
  };
  using QueueKey = std::pair<int, int>;  // device, queue

  const Strict mode_;
  const transfer::Timelines& timelines_;
  std::string exempt_;
  ByDevice<int> stalled_for_;
  mutable RankedMutex mutex_{LockRank::strict, "strict"};
  std::map<std::pair<int, std::uint64_t>, std::string> kernels_ SLUICE_GUARDED_BY(mutex_);
  std::map<QueueKey, std::list<std::shared_ptr<LimitedLaunch>>> launches_ SLUICE_GUARDED_BY(mutex_);
  std::deque<Kept> findings_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t not_kept_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::engine
