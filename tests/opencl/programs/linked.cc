// Programs that are linked, of source and of SPIR-V, and the binaries of those: kernels with every
// indirect flag run wherever they have nothing to follow, and one that follows pointers in its
// argument's memory either works or is refused.
//
//   linked           of source
//   linked MODULE    of SPIR-V, in a file: il/kernels.cl
//
// Ends with 0 and "linked: PASS", or with 77 and the reason why it cannot tell.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

#include "usm.hpp"

namespace {

struct Node {
  Node* next;
  int value;
};

int failures = 0;
void expect(bool truth, const char* what, const char* which) {
  if (truth) return;
  if (failures++ < 10) std::fprintf(stderr, "%s: %s\n", which, what);
}

void flag(cl_kernel kernel) {
  const cl_bool yes = CL_TRUE;
  for (const cl_kernel_exec_info one : {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
                                        CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
                                        CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL})
    MUST(clSetKernelExecInfo(kernel, one, sizeof(yes), &yes));
}

// out[i] = 2 * in[i] + 1, by a kernel that may follow anything and follows nothing.
void harmless(const usm::World& world, cl_kernel kernel, const char* which) {
  constexpr int count = 100;
  auto* const out = world.shared<int>(count);
  auto* const in = world.shared<int>(count);
  for (int i = 0; i < count; ++i) in[i] = i;
  flag(kernel);
  MUST(world.set_pointer(kernel, 0, out));
  MUST(world.set_pointer(kernel, 1, in));
  MUST(clSetKernelArg(kernel, 2, sizeof(count), &count));
  const std::size_t items = count;
  const cl_int status =
      clEnqueueNDRangeKernel(world.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr);
  expect(status == CL_SUCCESS, "a harmless kernel is refused", which);
  MUST(clFinish(world.queue));
  for (int i = 0; status == CL_SUCCESS && i < count; ++i)
    expect(out[i] == 2 * i + 1, "a harmless kernel's result", which);
  MUST(world.free(world.context, out));
  MUST(world.free(world.context, in));
}

// The sum of a list, which one that cannot reach it must not try: with flags or without.
void follows(const usm::World& world, cl_kernel kernel, const char* which) {
  auto* const nodes = world.shared<Node>(3);
  auto* const out = world.shared<int>(1);
  for (int i = 0; i < 3; ++i) nodes[i] = {i == 2 ? nullptr : nodes + i + 1, i + 1};
  for (const bool flagged : {false, true}) {
    if (flagged) flag(kernel);
    *out = -1;
    MUST(world.set_pointer(kernel, 0, nodes));
    MUST(world.set_pointer(kernel, 1, out));
    const std::size_t one = 1;
    const cl_int status =
        clEnqueueNDRangeKernel(world.queue, kernel, 1, nullptr, &one, nullptr, 0, nullptr, nullptr);
    MUST(clFinish(world.queue));
    if (status == CL_SUCCESS)
      expect(*out == 6, "the sum of a list", which);
    else
      expect(status == CL_INVALID_OPERATION && *out == -1, "how a kernel is refused", which);
  }
  MUST(world.free(world.context, nodes));
  MUST(world.free(world.context, out));
}

// Both kernels of a program, whose handle is gone before they run.
void kernels_of(const usm::World& world, cl_program program, const char* which) {
  cl_int status = CL_SUCCESS;
  const cl_kernel plain = clCreateKernel(program, "plain", &status);
  MUST(status);
  const cl_kernel chase = clCreateKernel(program, "chase", &status);
  MUST(status);
  MUST(clRetainProgram(program));
  MUST(clReleaseProgram(program));
  MUST(clReleaseProgram(program));
  harmless(world, plain, which);
  follows(world, chase, which);
  harmless(world, plain, which);
  MUST(clReleaseKernel(plain));
  MUST(clReleaseKernel(chase));
}

cl_program of_source(const usm::World& world, const char* text) {
  cl_int status = CL_SUCCESS;
  const cl_program program = clCreateProgramWithSource(world.context, 1, &text, nullptr, &status);
  MUST(status);
  return program;
}

cl_program link(const usm::World& world, const std::vector<cl_program>& parts) {
  for (cl_program part : parts)
    MUST(clCompileProgram(part, 1, &world.device, "", 0, nullptr, nullptr, nullptr, nullptr));
  cl_int status = CL_SUCCESS;
  const cl_program linked =
      clLinkProgram(world.context, 1, &world.device, "", static_cast<cl_uint>(parts.size()),
                    parts.data(), nullptr, nullptr, &status);
  MUST(status);
  for (cl_program part : parts) MUST(clReleaseProgram(part));
  return linked;
}

constexpr const char* helpers = R"(
#ifndef NODE
#define NODE
typedef struct Node { global struct Node* next; int value; } Node;
#endif
int twice(int x) { return 2 * x; }
int sum_of(global const Node* at) { int sum = 0; for (; at != 0; at = at->next) sum += at->value; return sum; }
)";
constexpr const char* callers = R"(
#ifndef NODE
#define NODE
typedef struct Node { global struct Node* next; int value; } Node;
#endif
int twice(int x);
int sum_of(global const Node* at);
kernel void plain(global int* out, global const int* in, int n) {
  int i = get_global_id(0);
  if (i < n) out[i] = twice(in[i]) + 1;
}
kernel void chase(global const Node* head, global int* out) { *out = sum_of(head); }
)";

cl_program of_il(const usm::World& world, const std::vector<char>& module) {
  cl_int status = CL_SUCCESS;
  const cl_program program =
      clCreateProgramWithIL(world.context, module.data(), module.size(), &status);
  MUST(status);
  return program;
}

// A driver may have none: empty.
std::vector<unsigned char> binary_of(cl_program program) {
  std::size_t size = 0;
  const cl_int status =
      clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(size), &size, nullptr);
  std::vector<unsigned char> binary(status == CL_SUCCESS ? size : 0);
  unsigned char* to = binary.data();
  if (!binary.empty())
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(to), &to, nullptr));
  return binary;
}

cl_program of_binary(const usm::World& world, const std::vector<unsigned char>& binary) {
  const unsigned char* from = binary.data();
  const std::size_t size = binary.size();
  cl_int taken = CL_INVALID_BINARY;
  cl_int status = CL_SUCCESS;
  const cl_program program =
      clCreateProgramWithBinary(world.context, 1, &world.device, &size, &from, &taken, &status);
  MUST(status);
  MUST(taken);
  MUST(clBuildProgram(program, 1, &world.device, "", nullptr, nullptr));
  return program;
}

// Of the program, of its binary as programs keep them, and of the binary of that.
void and_binaries(const usm::World& world, cl_program program, const char* which) {
  const std::vector<unsigned char> binary = binary_of(program);
  kernels_of(world, program, which);
  if (binary.empty()) return;
  const cl_program again = of_binary(world, binary);
  const std::vector<unsigned char> second = binary_of(again);
  kernels_of(world, again, "of a binary");
  if (!second.empty()) kernels_of(world, of_binary(world, second), "of a binary's binary");
}

bool takes_il(const usm::World& world) {
  char version[256] = {};
  const cl_int status =
      clGetDeviceInfo(world.device, CL_DEVICE_IL_VERSION, sizeof(version), version, nullptr);
  return status == CL_SUCCESS && std::strstr(version, "SPIR-V") != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const usm::World world;
  if (argc < 2) {
    and_binaries(world, link(world, {of_source(world, helpers), of_source(world, callers)}),
                 "linked of source");
  } else {
    if (!takes_il(world)) usm::cannot_tell("this driver takes no SPIR-V");
    std::ifstream file(argv[1], std::ios::binary);
    if (!file) usm::cannot_tell("the module is not there: spirv-as makes it (spirv-tools)");
    const std::vector<char> module{std::istreambuf_iterator<char>(file),
                                   std::istreambuf_iterator<char>()};
    const cl_program built = of_il(world, module);
    MUST(clBuildProgram(built, 1, &world.device, "", nullptr, nullptr));
    and_binaries(world, built, "built of SPIR-V");
    and_binaries(world, link(world, {of_il(world, module)}), "linked of SPIR-V");
  }
  std::printf("linked: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
