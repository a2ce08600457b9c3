// DeviceAccess: the pages that one stalled access of a kernel needs, with the claims on them.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/claim.hpp"
#include "engine/device_event_queue.hpp"
#include "engine/range_table.hpp"
#include "engine/reservation.hpp"
#include "engine/residency_manager.hpp"
#include "observe/observe.hpp"
#include "plan/planner.hpp"
#include "plan/stalled_access.hpp"

namespace sluice::engine {

// The pages of one access in one block.
struct DeviceNeed {
  Pin range;
  Block* block = nullptr;
  PageMask to_read{};
  PageMask to_write{};
  bool asked =
      false;  // the page that the access stalls at is one of them; the others were asked for before
  bool left_out =
      // it cannot be had now. If it is needed, the access stalls at it next and fails then
      false;
  bool must_fit = false;  // in the device's own memory
  plan::Means means = plan::Means::own;

  [[nodiscard]] Access access() const noexcept {
    return to_write.empty() ? Access::read : Access::write;
  }
};

class DeviceAccess {
 public:
  DeviceAccess() noexcept = default;
  ~DeviceAccess() { release(); }
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

  void add(Pin range, Address page, Access access, bool asked);
  // Takes the claims in the order of addresses.
  void claim();
  void release() noexcept;

  std::vector<DeviceNeed> needs;

 private:
  std::vector<Claim> claims_;
};

// The parts of an engine that page faults are answered with.
struct DeviceAnswersParts {
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ResidencyManager& residency;
  BlockMover& mover;
  DeviceEventQueue& events;
  observe::Observer& observer;
};

// Answers page faults. Only the one thread that receives them may call it.
class DeviceAnswers {
 public:
  explicit DeviceAnswers(const DeviceAnswersParts& parts) noexcept : parts_(parts) {}

  // Gives the page and lets the access go on, or ends the kernel. An access that has to wait is put
  // back into the queue of events.
  void answer(const DeviceEvent& event) noexcept;
  // The device is lost, and so are its kernels.
  void forget(int device);

 private:
  // busy: a lease or a kernel keeps the bytes elsewhere.
  [[nodiscard]] Result<void> try_answer(const DeviceEvent& event);
  [[nodiscard]] Result<void> choose_means(int device, DeviceNeed& need);
  [[nodiscard]] Result<FaultOutcome> give_pages(int device, DeviceAccess& access,
                                                Reservation& reservation);
  [[nodiscard]] Result<std::optional<ActiveUse>> bring(int device, const DeviceNeed& need);

  const DeviceAnswersParts parts_;
  std::map<std::pair<int, std::uint32_t>, plan::StalledAccess> stalled_;  // by device and queue
};

}  // namespace sluice::engine
