// Events: command types of the extension, and events of hints.
//
// A hint's event is a user event of the driver, so that any command can wait for it; queries of its
// queue and command are answered here. It has no profiling information. A table entry lives as long
// as the program holds references.
#include "entries.hpp"
#include "events.hpp"
#include "info.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

struct Event {
  cl_command_type type = 0;
  cl_command_queue queue = nullptr;  // of a hint: the driver does not know it
  std::atomic<std::uint32_t> references{1};
};

Table<cl_event, Event>& events() noexcept {
  static auto* const only = new Table<cl_event, Event>;
  return *only;
}

cl_int CL_API_CALL event_info(cl_event event, cl_event_info name, size_t size, void* value,
                              size_t* size_ret) {
  if (name == CL_EVENT_COMMAND_TYPE || name == CL_EVENT_COMMAND_QUEUE) {
    if (const auto known = events().find(event)) {
      if (name == CL_EVENT_COMMAND_TYPE) return give(known->type, size, value, size_ret);
      if (known->queue != nullptr) return give(known->queue, size, value, size_ret);
    }
  }
  return driver().clGetEventInfo(event, name, size, value, size_ret);
}

cl_int CL_API_CALL retain_event(cl_event event) {
  if (const auto known = events().find(event)) ++known->references;
  return driver().clRetainEvent(event);
}

cl_int CL_API_CALL release_event(cl_event event) {
  const auto known = events().find(event);
  if (known != nullptr && --known->references == 0) events().erase(event);
  return driver().clReleaseEvent(event);
}

}  // namespace

void note_event(cl_event event, cl_command_type type) {
  auto noted = std::make_shared<Event>();
  noted->type = type;
  events().insert(event, std::move(noted));
}

cl_event make_hint_event(const Queue& queue, cl_command_queue handle, cl_command_type type) {
  cl_int status = CL_SUCCESS;
  const cl_event event = driver().clCreateUserEvent(queue.context->handle(), &status);
  if (event == nullptr) return nullptr;
  auto noted = std::make_shared<Event>();
  noted->type = type;
  noted->queue = handle;
  events().insert(event, std::move(noted));
  driver().clRetainEvent(event);  // until complete_hint()
  return event;
}

void complete_hint(cl_event event) {
  driver().clSetUserEventStatus(event, CL_COMPLETE);
  driver().clReleaseEvent(event);
}

void wait_for_hints(cl_uint count, const cl_event* list) {
  for (cl_uint i = 0; i < count && list != nullptr; ++i) {
    const auto known = events().find(list[i]);
    if (known != nullptr && known->queue != nullptr) driver().clWaitForEvents(1, &list[i]);
  }
}

cl_int wait_for_list(cl_uint count, const cl_event* list) {
  if (count == 0) return CL_SUCCESS;
  bool failed = driver().clWaitForEvents(count, list) != CL_SUCCESS;
  for (cl_uint i = 0; i < count && !failed; ++i) {
    cl_int status = CL_COMPLETE;
    driver().clGetEventInfo(list[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                            nullptr);
    failed = status < 0;
  }
  return failed ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : CL_SUCCESS;
}

cl_int check_wait_list(const Queue& queue, cl_uint count, const cl_event* list) {
  if ((list == nullptr) != (count == 0)) return CL_INVALID_EVENT_WAIT_LIST;
  for (cl_uint i = 0; i < count; ++i) {
    cl_context context = nullptr;
    if (list[i] == nullptr || driver().clGetEventInfo(list[i], CL_EVENT_CONTEXT, sizeof(context),
                                                      &context, nullptr) != CL_SUCCESS)
      return CL_INVALID_EVENT_WAIT_LIST;
    if (context != queue.context->handle()) return CL_INVALID_CONTEXT;
  }
  return CL_SUCCESS;
}

void override_event_calls(Entries& entries) noexcept {
  entries.set<event_info>(&cl_icd_dispatch::clGetEventInfo);
  entries.set<retain_event>(&cl_icd_dispatch::clRetainEvent);
  entries.set<release_event>(&cl_icd_dispatch::clReleaseEvent);
}

}  // namespace sluice::opencl
