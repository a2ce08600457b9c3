// EventTimeline: waits use the driver's own wait; none of our code runs in its callbacks.
//
// Eight threads that move blocks for a reader wait for eight copies at once. One of them at a time
// waits in the driver, for the copy that is next to complete: a driver in which all of them wait is
// slow to enqueue commands. The others spin on a word for the time of a copy, and then sleep. What
// it does not do: wake for a signal (no wait here is interruptible), or notice an event that the
// driver never completes. With a deadline it looks every 50 us, because clWaitForEvents has none.
#include "device/opencl/event_timeline.hpp"

#include <algorithm>
#include <thread>

#include "os/futex.hpp"

namespace sluice::device::opencl {

using namespace std::chrono_literals;

namespace {
constexpr auto look_for = 120us;  // a copy of 2 MiB takes 45 us
}  // namespace

tl::unexpected<Error> driver_failed(cl_int status, const char* what) noexcept {
  switch (status) {
    case CL_OUT_OF_HOST_MEMORY:
      return fail(ErrorCode::out_of_host_memory, "%s: the driver is out of host memory", what);
    case CL_OUT_OF_RESOURCES:
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
      return fail(ErrorCode::out_of_device_memory, "%s: the driver answers %d", what, status);
    default:
      return fail(ErrorCode::device_fault, "%s: the driver answers %d", what, status);
  }
}

EventTimeline::~EventTimeline() {
  for (; !pending_.empty(); pending_.pop())
    if (pending_[0].event != nullptr) driver_.calls->clReleaseEvent(pending_[0].event);
}

Result<std::uint64_t> EventTimeline::reserve() {
  MutexLock lock(mutex_);
  if (!pending_.push({}))
    return fail(ErrorCode::out_of_host_memory, "no memory for one more than %zu pending commands",
                pending_.size());
  return completed_.load(std::memory_order_relaxed) + pending_.size();
}

void EventTimeline::attach(std::uint64_t value, cl_event event) {
  {
    MutexLock lock(mutex_);
    Point& point = pending_[value - completed_.load(std::memory_order_relaxed) - 1];
    point = {event, true};
  }
  ring();
}

void EventTimeline::ring() const noexcept {
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(bell_);
}

void EventTimeline::advance() const {
  while (!pending_.empty() && pending_[0].attached) {
    cl_int status = CL_COMPLETE;
    const cl_event event = pending_[0].event;
    if (event != nullptr) {
      const cl_int asked = driver_.calls->clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                         sizeof(status), &status, nullptr);
      if (asked != CL_SUCCESS) status = asked;
      if (status > CL_COMPLETE) return;
      driver_.calls->clReleaseEvent(event);
    }
    pending_.pop();
    const std::uint64_t value = completed_.load(std::memory_order_relaxed) + 1;
    if (status < 0) failed_[failures_++ % failures_kept] = {value, status};
    completed_.store(value, std::memory_order_release);
  }
}

FenceState EventTimeline::poll(std::uint64_t value) const {
  if (completed_.load(std::memory_order_acquire) < value) {
    MutexLock lock(mutex_);
    advance();
    if (completed_.load(std::memory_order_relaxed) < value) return FenceState::pending;
  }
  return outcome(value) ? FenceState::complete : FenceState::failed;
}

Result<void> EventTimeline::outcome(std::uint64_t value) const {
  MutexLock lock(mutex_);
  const auto found = std::find_if(failed_.begin(), failed_.end(),
                                  [&](const Failure& each) { return each.value == value; });
  if (found == failed_.end()) return {};
  return driver_failed(found->status, "a command");
}

cl_event EventTimeline::front_event() const {
  MutexLock lock(mutex_);
  if (pending_.empty() || pending_[0].event == nullptr) return nullptr;
  driver_.calls->clRetainEvent(pending_[0].event);
  return pending_[0].event;
}

void EventTimeline::wait_for_front(std::uint32_t heard) const {
  if (const cl_event event = front_event(); event != nullptr) {
    driver_.calls->clWaitForEvents(1, &event);
    driver_.calls->clReleaseEvent(event);
  } else {
    // Its submitter is between reserving and attaching.
    os::futex_wait(bell_, heard, Clock::now() + 1ms);
  }
}

Result<void> EventTimeline::wait(std::uint64_t value, const Wait& how) const {
  const Clock::time_point began = Clock::now();
  while (true) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    if (completed_.load(std::memory_order_acquire) >= value) return outcome(value);
    if (how.deadline != Clock::time_point::max()) {
      if (poll(value) != FenceState::pending) return outcome(value);
      if (Clock::now() >= how.deadline)
        return fail(ErrorCode::timed_out, "command %llu is still under way",
                    static_cast<unsigned long long>(value));
      std::this_thread::sleep_for(50us);
    } else if (!asking_.exchange(true, std::memory_order_acquire)) {
      if (poll(value) == FenceState::pending) wait_for_front(heard);
      (void)poll(value);
      asking_.store(false, std::memory_order_release);
      ring();
    } else if (Clock::now() - began < look_for) {
      std::this_thread::yield();
    } else {
      os::futex_wait(bell_, heard, Clock::now() + 1ms);
    }
  }
}

}  // namespace sluice::device::opencl
