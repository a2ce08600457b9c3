// Admission: a command enters every arena that it uses as a launch.
//
// Arenas are entered in the order in which they were made, so that two commands that wait for each
// other's kernels never deadlock. From its admission on the command counts as using the bytes, and
// host accesses to bytes that it may write wait for it, even while it waits for its own events. A
// program that enqueues behind an event which it sets after touching those bytes would wait for
// itself.
#include "admission.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "events.hpp"
#include "home.hpp"
#include "layer.hpp"
#include "os/report.hpp"

namespace sluice::opencl {

using namespace std::chrono_literals;

cl_int status_of(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::out_of_device_memory:
      return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    case ErrorCode::out_of_host_memory:
      return CL_OUT_OF_HOST_MEMORY;
    case ErrorCode::invalid_argument:
    case ErrorCode::unknown_address:
      return CL_INVALID_VALUE;
    default:
      return CL_OUT_OF_RESOURCES;
  }
}

Admission::~Admission() {
  for (const Entry& entered : entered_) entered.arena->device().nothing_submitted(entered.fence);
}

void Admission::use(const Allocation& allocation, AddressSpan span, Access access) {
  if (allocation.arena == nullptr || span.size == 0) return;
  const auto same = [&](const NamedUse& named) {
    return named.arena == allocation.arena && named.use.span == span;
  };
  const auto found = std::find_if(uses_.begin(), uses_.end(), same);
  if (found == uses_.end())
    uses_.push_back({allocation.arena, {span, access}});
  else if (access == Access::write)
    found->use.access = access;
}

cl_int Admission::admit(cl_uint count, const cl_event* wait_list) {
  wait_for_hints(count, wait_list);
  for (Arena* arena : queue_.context->arenas()) {
    std::vector<engine::Use> uses;
    for (const NamedUse& named : uses_)
      if (named.arena == arena) uses.push_back(named.use);
    if (uses.empty() && !everything_) continue;
    const cl_int status = enter(*arena, uses);
    if (status != CL_SUCCESS) return status;
  }
  return CL_SUCCESS;
}

cl_int Admission::enter(Arena& arena, std::span<const engine::Use> uses) {
  engine::LaunchRequest request;
  request.external = queue_.timeline;
  request.uses = uses;
  request.every_shared_range = everything_;
  Result<device::Fence> fence = arena.engine().launch(request);
  // Bytes that are lent to the driver for a moment (host_pointer_calls.cc).
  while (!fence && fence.error().code() == ErrorCode::busy) {
    std::this_thread::sleep_for(100us);
    fence = arena.engine().launch(request);
  }
  if (!fence) {
    os::report("a command is refused: %s", fence.error().detail().data());
    return status_of(fence.error());
  }
  entered_.push_back({&arena, *fence});
  return CL_SUCCESS;
}

void Admission::enqueued(cl_command_queue queue, cl_event event) {
  for (const Entry& entered : entered_) {
    driver().clRetainEvent(event);
    (void)entered.arena->device().submitted(entered.fence,
                                            {reinterpret_cast<std::uintptr_t>(event)});
  }
  entered_.clear();
  driver().clFlush(queue);
}

}  // namespace sluice::opencl
