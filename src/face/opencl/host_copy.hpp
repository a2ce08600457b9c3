// Copies between two places that the host alone has.
#pragma once

#include "objects.hpp"

namespace sluice::opencl {

// A command that copies on the host when its turn comes; neither place is managed for the queue's
// context. The driver's status; `event` as the program gave it.
[[nodiscard]] cl_int copy_on_host(const Queue& known, cl_command_queue queue, cl_bool blocking,
                                  void* to, const void* from, std::size_t size, cl_uint count,
                                  const cl_event* wait_list, cl_event* event, cl_command_type type);

}  // namespace sluice::opencl
