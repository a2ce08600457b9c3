// What platform and device say that they can do, each tried: system memory in kernels, fine-grain
// SVM, pointers in coarse-grain SVM, and the extensions' names, once. What is not told must fail
// with an error and never hang. Ends with 0 and "capabilities: PASS".
#include <cstdint>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
typedef struct Node { int value; int unused; global struct Node* next; } Node;
kernel void set(global int* to) { *to = 42; }
kernel void sum(global Node* at, global int* out) {
  int all = 0;
  for (int i = 0; at && i < 100; ++i) { all += at->value; at = at->next; }
  *out = all;
}
)";

struct Node {
  int value;
  int unused;
  Node* next;
};

using usm::expect;
using usm::failures;

template <typename T>
T device_says(const usm::World& world, cl_device_info name) {
  T value{};
  MUST(clGetDeviceInfo(world.device, name, sizeof(value), &value, nullptr));
  return value;
}

cl_int launch(const usm::World& world, cl_kernel kernel) {
  const std::size_t one = 1;
  const cl_int status =
      clEnqueueNDRangeKernel(world.queue, kernel, 1, nullptr, &one, nullptr, 0, nullptr, nullptr);
  MUST(clFinish(world.queue));
  return status;
}

void names(const usm::World& world, const char* extension) {
  const auto versions = usm::versions_of(world.device, extension);
  if (!versions) return;
  expect(versions->size() == 1, "the list with versions does not name the extension once");
  for (const cl_version version : *versions)
    expect(version >= CL_MAKE_VERSION(0, 9, 0), "the extension has no version");
}

// Where pages move, no extension may be told of with commands that the layer does not see, and
// nobody gets their functions: a kernel of theirs would use stale bytes.
void command_buffers(const usm::World& world) {
  std::string text(65536, 0);
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_EXTENSIONS, text.size(), text.data(), nullptr));
  const bool told = text.find("cl_khr_command_buffer") != std::string::npos;
  if (!world.shares_at_once()) expect(!told, "command buffers are told of");
  for (const char* name : {"clCreateCommandBufferKHR", "clCommandNDRangeKernelKHR"}) {
    const bool given = clGetExtensionFunctionAddressForPlatform(world.platform, name) != nullptr;
    expect(given == told, "a function of command buffers is given and not told of, or vice versa");
  }
}

void system_memory(const usm::World& world) {
  if (device_says<cl_bitfield>(world, CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL) == 0) return;
  const cl_kernel set = world.kernel(source, "set");
  auto* const plain = static_cast<int*>(std::calloc(1024, sizeof(int)));
  MUST(world.set_pointer(set, 0, plain));
  expect(launch(world, set) == CL_SUCCESS && *plain == 42, "a kernel does not reach system memory");
  std::free(plain);
  MUST(clReleaseKernel(set));
}

// Without a map: host and device use the same bytes.
void fine_grain(const usm::World& world, cl_device_svm_capabilities svm) {
  auto* const fine = static_cast<int*>(
      clSVMAlloc(world.context, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER, 4096, 0));
  const bool told = (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0;
  expect(told == (fine != nullptr),
         "fine-grain SVM is told and not served, or served and not told");
  if (fine == nullptr) return;
  const cl_kernel set = world.kernel(source, "set");
  *fine = 7;
  MUST(clSetKernelArgSVMPointer(set, 0, fine));
  expect(launch(world, set) == CL_SUCCESS && *fine == 42, "fine-grain SVM is not shared");
  clSVMFree(world.context, fine);
  MUST(clReleaseKernel(set));
}

// A list inside one argument's allocation, for which OpenCL wants no exec info.
void list(const usm::World& world, bool promised, Node* nodes, int* out) {
  const cl_kernel sum = world.kernel(source, "sum");
  MUST(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_WRITE, nodes, 4096, 0, nullptr, nullptr));
  for (int i = 0; i < 10; ++i) nodes[i] = {i + 1, 0, i < 9 ? nodes + i + 1 : nullptr};
  MUST(clEnqueueSVMUnmap(world.queue, nodes, 0, nullptr, nullptr));
  MUST(clSetKernelArgSVMPointer(sum, 0, nodes));
  MUST(clSetKernelArgSVMPointer(sum, 1, out));
  const cl_int status = launch(world, sum);
  MUST(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_READ, out, 4096, 0, nullptr, nullptr));
  if (promised || status == CL_SUCCESS)
    expect(status == CL_SUCCESS && *out == 55, "a kernel does not follow a list");
  else
    expect(status == CL_INVALID_OPERATION, "a list is refused by another error");
  MUST(clEnqueueSVMUnmap(world.queue, out, 0, nullptr, nullptr));
  MUST(clReleaseKernel(sum));
}

// A kernel of the same program that follows nothing.
void beside_the_list(const usm::World& world) {
  const cl_kernel set = world.kernel(source, "set");
  int* const to = world.shared<int>(1);
  *to = 0;
  for (const cl_kernel_exec_info name : {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL}) {
    const cl_bool yes = CL_TRUE;
    MUST(clSetKernelExecInfo(set, name, sizeof(yes), &yes));
  }
  MUST(world.set_pointer(set, 0, to));
  expect(launch(world, set) == CL_SUCCESS && *to == 42,
         "a harmless kernel of the program is refused");
  MUST(world.free(world.context, to));
  MUST(clReleaseKernel(set));
}

}  // namespace

int main() {
  const usm::World world;
  names(world, "cl_intel_unified_shared_memory");
  names(world, "cl_khr_unified_svm");
  command_buffers(world);
  system_memory(world);
  const auto svm = device_says<cl_device_svm_capabilities>(world, CL_DEVICE_SVM_CAPABILITIES);
  fine_grain(world, svm);
  const bool coarse = (svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0;
  auto* const nodes = static_cast<Node*>(clSVMAlloc(world.context, CL_MEM_READ_WRITE, 4096, 0));
  auto* const out = static_cast<int*>(clSVMAlloc(world.context, CL_MEM_READ_WRITE, 4096, 0));
  expect(nodes != nullptr && out != nullptr, "clSVMAlloc does not work");
  list(world, coarse, nodes, out);
  list(world, coarse, world.shared<Node>(256), world.shared<int>(1024));
  beside_the_list(world);
  std::printf("capabilities: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
