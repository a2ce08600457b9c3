// EventTimeline: commands of an OpenCL queue as points on a timeline.
//
// A point is reserved first and gets its event later, so that the engine can attach it to blocks
// before the driver is called. A point is complete when it and all before it are: a UseList needs
// this, and on an in-order queue it costs nothing.
//
// Thread-safe, and allocates nothing: copies for access faults pass here. A query costs an atomic
// load once a point is complete, and a call of the driver before. One waiting thread asks the
// driver, and the others look at the answer.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/ranked_mutex.hpp"
#include "device/device.hpp"
#include "device/opencl/driver.hpp"
#include "os/mapped_queue.hpp"

namespace sluice::device::opencl {

class EventTimeline {
 public:
  explicit EventTimeline(const Driver& driver) noexcept : driver_(driver) {}
  EventTimeline(const EventTimeline&) = delete;
  EventTimeline& operator=(const EventTimeline&) = delete;
  ~EventTimeline();

  // out_of_host_memory where Linux refuses memory for one point more.
  [[nodiscard]] Result<std::uint64_t> reserve();
  // Takes over a reference to the event. Null: nothing was submitted, and the point is complete as
  // soon as all before it are.
  void attach(std::uint64_t value, cl_event event);

  [[nodiscard]] FenceState poll(std::uint64_t value) const;
  // device_fault, with the driver's status, if the command failed.
  [[nodiscard]] Result<void> wait(std::uint64_t value, const Wait& how) const;

 private:
  struct Point {
    cl_event event = nullptr;
    bool attached = false;
  };
  struct Failure {
    std::uint64_t value = 0;  // 0: none
    cl_int status = CL_SUCCESS;
  };
  static constexpr std::size_t failures_kept = 64;
  // Takes complete points from the front. Mutable: a query is what moves the timeline on.
  void advance() const SLUICE_REQUIRES(mutex_);
  [[nodiscard]] cl_event front_event() const;  // with a reference of its own; null: not attached
  [[nodiscard]] Result<void> outcome(std::uint64_t value) const;
  // Waits until the first pending point is complete, or a millisecond if nothing is attached to it
  // yet.
  void wait_for_front(std::uint32_t heard) const;
  void ring() const noexcept;

  const Driver driver_;
  mutable RankedMutex mutex_{LockRank::request, "opencl timeline"};
  mutable os::MappedQueue<Point> pending_ SLUICE_GUARDED_BY(mutex_);  // the first is completed_ + 1
  // The latest ones; the next replaces the one at failures_ % failures_kept.
  mutable std::array<Failure, failures_kept> failed_ SLUICE_GUARDED_BY(mutex_){};
  mutable std::size_t failures_ SLUICE_GUARDED_BY(mutex_) = 0;
  mutable std::atomic<std::uint64_t> completed_{0};
  // Rings when a point is attached, and when some are complete.
  mutable std::atomic<std::uint32_t> bell_{0};
  mutable std::atomic<bool> asking_{false};  // a thread waits in the driver
};

}  // namespace sluice::device::opencl
