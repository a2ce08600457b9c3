// The interface of the guard's stand-in driver on OpenCL's shared allocations; see level_zero.cc
// beside it.
#include "guard/stand_in/stand_in.h"
#include "intel/managed/sizes.hpp"
#include "opencl/programs/usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void add(global int* data, int value) { data[get_global_id(0)] += value; }
)";

struct Device {
  usm::World world;
  cl_kernel add = world.kernel(source, "add");
};
Device& device() {
  static auto* const only = new Device;  // as long as the process: drivers end with it
  return *only;
}
managed::Sizes sizes;

void launch(void* allocation) {
  const cl_int value = 0;
  MUST(device().world.set_pointer(device().add, 0, allocation));
  MUST(clSetKernelArg(device().add, 1, sizeof value, &value));
  device().world.run(device().add, sizes.ints_of(allocation));
  MUST(clFinish(device().world.queue));
}

}  // namespace

void* stand_in_allocate(size_t size) {
  return sizes.remember(device().world.shared<char>(size), size);
}
void stand_in_to_device(void* allocation) { launch(allocation); }
void stand_in_add(void* allocation, int value) {
  sizes.add_on_host(allocation, value);
  launch(allocation);
}
unsigned stand_in_migrations(void) { return 0; }  // the driver does not tell
