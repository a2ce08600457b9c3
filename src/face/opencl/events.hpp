// Events of which the layer keeps more than the driver: their command's type, and the events of
// hints, which no queue of the driver made.
#pragma once

#include "objects.hpp"

namespace sluice::opencl {

// The driver's event stands for a command of this type.
void note_event(cl_event event, cl_command_type type);
// An event for a hint of a queue: not complete until complete_hint(). Null when the driver has no
// room.
[[nodiscard]] cl_event make_hint_event(const Queue& queue, cl_command_queue handle,
                                       cl_command_type type);
void complete_hint(cl_event event);
// Waits for the hints among the events: their moves must not conflict with those of the command
// that waits for them.
void wait_for_hints(cl_uint count, const cl_event* list);

// Waits for the events. CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST if one of them failed, also
// where the driver's own wait does not say so (NVIDIA's does not for user events).
[[nodiscard]] cl_int wait_for_list(cl_uint count, const cl_event* list);

// CL_SUCCESS if a wait list makes sense for the queue: CL_INVALID_EVENT_WAIT_LIST,
// CL_INVALID_CONTEXT.
[[nodiscard]] cl_int check_wait_list(const Queue& queue, cl_uint count, const cl_event* list);

}  // namespace sluice::opencl
