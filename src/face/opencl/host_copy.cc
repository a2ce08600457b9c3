// A copy between two places of the host's, as a command of a queue.
//
// Where pages move, memory of no allocation is the host's alone. A driver without SVM has no call
// for such a copy, and PoCL's remote devices accept one that they never end. So the host makes it
// between two markers: the first is the command's turn, the second waits for an event of ours that
// says that the bytes are there, and later commands of the queue wait for that. The copy is made on
// a thread of the context and not on the driver's, because the bytes may be managed for another
// context, whose faults may need that thread. A blocking copy is made by the caller. Costs two
// markers and a thread's turn.
#include "host_copy.hpp"

#include <cstring>
#include <functional>
#include <memory>

#include "events.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

struct HostCopy {
  std::shared_ptr<Context> context;
  void* to;
  const void* from;
  std::size_t size;
  cl_event done;  // a user event, owned
};

void finish(const HostCopy& copy, cl_int turn) {
  if (turn >= 0) std::memmove(copy.to, copy.from, copy.size);
  driver().clSetUserEventStatus(copy.done, turn < 0 ? turn : CL_COMPLETE);
  driver().clReleaseEvent(copy.done);
}

void CL_CALLBACK copy_now(cl_event turn, cl_int status, void* user_data) {
  const std::unique_ptr<HostCopy> copy(static_cast<HostCopy*>(user_data));
  const std::shared_ptr<Context> context = std::move(copy->context);
  // Without the context, which must not end on a thread of its own.
  const auto job = [held = *copy, status] { finish(held, status); };
  if (!context->host_copies().add(job)) job();
  driver().clReleaseEvent(turn);
}

cl_int copy_blocking(cl_command_queue queue, void* to, const void* from, std::size_t size,
                     cl_uint count, const cl_event* wait_list, cl_event* event) {
  const cl_int status = driver().clEnqueueMarkerWithWaitList(queue, count, wait_list, event);
  if (status != CL_SUCCESS) return status;
  const cl_int waited = driver().clWaitForEvents(1, event);
  if (waited == CL_SUCCESS) std::memmove(to, from, size);
  return waited;
}

cl_int copy_later(const Queue& known, cl_command_queue queue, HostCopy copy, cl_uint count,
                  const cl_event* wait_list, cl_event* event) {
  cl_int status = CL_SUCCESS;
  copy.done = driver().clCreateUserEvent(known.context->handle(), &status);
  if (copy.done == nullptr) return status;
  cl_event turn = nullptr;
  status = driver().clEnqueueMarkerWithWaitList(queue, count, wait_list, &turn);
  // Mesa's rusticl ends the commands that it got at once together: the turn would never come.
  driver().clFlush(queue);
  if (status == CL_SUCCESS)
    status = driver().clEnqueueMarkerWithWaitList(queue, 1, &copy.done, event);
  if (status != CL_SUCCESS) {
    if (turn != nullptr) driver().clReleaseEvent(turn);
    driver().clReleaseEvent(copy.done);
    return status;
  }
  auto held = std::make_unique<HostCopy>(std::move(copy));
  status = driver().clSetEventCallback(turn, CL_COMPLETE, copy_now, held.get());
  if (status == CL_SUCCESS) {
    (void)held.release();
  } else {
    driver().clReleaseEvent(turn);
    finish(*held, status);
  }
  return status;
}

}  // namespace

cl_int copy_on_host(const Queue& known, cl_command_queue queue, cl_bool blocking, void* to,
                    const void* from, std::size_t size, cl_uint count, const cl_event* wait_list,
                    cl_event* event, cl_command_type type) {
  cl_event own = nullptr;
  const cl_int status = blocking != CL_FALSE
                            ? copy_blocking(queue, to, from, size, count, wait_list, &own)
                            : copy_later(known, queue, {known.context, to, from, size, nullptr},
                                         count, wait_list, &own);
  if (status == CL_SUCCESS && event != nullptr) {
    note_event(own, type);
    *event = own;
  } else if (own != nullptr) {
    driver().clReleaseEvent(own);
  }
  return status;
}

}  // namespace sluice::opencl
