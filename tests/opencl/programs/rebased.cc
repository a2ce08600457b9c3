// Kernels of SPIR-V that follow pointers to managed memory, also where the device has that memory
// somewhere else: in lists and tables, in structures by value, made of integers, stored by kernels,
// and to places where no buffer can begin.
//
//   rebased MODULE    il/followers.cl
//
// Ends with 0 and "rebased: PASS", or with 77 and the reason why it cannot tell.
#include <cstdint>
#include <fstream>
#include <iterator>

#include "usm.hpp"

namespace {

using usm::expect;
using usm::failures;

struct Node {
  Node* next;
  int value;
};
struct View {
  int* at;
  int count;
};

class Program {
 public:
  Program(const usm::World& world, const std::vector<char>& module) : world_(world) {
    cl_int status = CL_SUCCESS;
    program_ = clCreateProgramWithIL(world.context, module.data(), module.size(), &status);
    MUST(status);
    MUST(clBuildProgram(program_, 1, &world.device, "", nullptr, nullptr));
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { clReleaseProgram(program_); }

  // With every indirect flag, as runtimes set them.
  cl_kernel kernel(const char* name) const {
    cl_int status = CL_SUCCESS;
    const cl_kernel made = clCreateKernel(program_, name, &status);
    MUST(status);
    const cl_bool yes = CL_TRUE;
    for (const cl_kernel_exec_info one : {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
                                          CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
                                          CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL})
      MUST(clSetKernelExecInfo(made, one, sizeof(yes), &yes));
    return made;
  }
  cl_int run(cl_kernel kernel, std::size_t items) const {
    const cl_int status = clEnqueueNDRangeKernel(world_.queue, kernel, 1, nullptr, &items, &items,
                                                 0, nullptr, nullptr);
    MUST(clFinish(world_.queue));
    MUST(clReleaseKernel(kernel));
    return status;
  }
  const usm::World& world() const { return world_; }

 private:
  const usm::World& world_;
  cl_program program_ = nullptr;
};

constexpr int count = 16;

void list(const Program& program) {
  const usm::World& world = program.world();
  auto* const out = world.shared<int>(1);
  std::vector<Node*> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.push_back(world.shared<Node>(1));
    *nodes.back() = {i == 0 ? nullptr : nodes[i - 1], i};
  }
  for (int round = 1; round <= 3; ++round) {
    nodes[0]->value = round;
    const cl_kernel chase = program.kernel("chase");
    MUST(world.set_pointer(chase, 0, nodes.back()));
    MUST(world.set_pointer(chase, 1, out));
    MUST(program.run(chase, 1));
    expect(*out == count * (count - 1) / 2 + round, "the sum of a list");
  }
  for (Node* one : nodes) MUST(world.free(world.context, one));
  MUST(world.free(world.context, out));
}

void table(const Program& program) {
  const usm::World& world = program.world();
  auto* const places = world.shared<int*>(count);
  auto* const many = world.shared<int>(1 << 20);
  for (int i = 0; i < count; ++i) places[i] = many + i * 65535 + 1;
  const cl_kernel kernel = program.kernel("table");
  MUST(world.set_pointer(kernel, 0, places));
  MUST(program.run(kernel, count));
  for (int i = 0; i < count; ++i) expect(many[i * 65535 + 1] == i, "a table of pointers");
  auto* const numbers = reinterpret_cast<std::uint64_t*>(places);
  for (int i = 0; i < count; ++i) numbers[i] = reinterpret_cast<std::uint64_t>(many + i);
  for (int i = 0; i < count; ++i) many[i] = 100;
  const cl_kernel integers = program.kernel("from_integers");
  MUST(world.set_pointer(integers, 0, numbers));
  MUST(program.run(integers, count));
  for (int i = 0; i < count; ++i) expect(many[i] == 100 + i, "pointers made of integers");
  MUST(world.free(world.context, places));
  MUST(world.free(world.context, many));
}

void structures(const Program& program) {
  const usm::World& world = program.world();
  auto* const numbers = world.shared<int>(1000);
  auto* const out = world.shared<int>(1);
  for (int i = 0; i < 1000; ++i) numbers[i] = i;
  const View view{numbers + 7, 5};
  const cl_kernel by_value = program.kernel("by_value");
  MUST(clSetKernelArg(by_value, 0, sizeof(view), &view));
  MUST(world.set_pointer(by_value, 1, out));
  MUST(program.run(by_value, 1));
  expect(*out == 7 + 8 + 9 + 10 + 11, "a structure by value");

  auto* const views = world.shared<View>(2);
  views[0] = view;
  views[1] = {};
  const cl_kernel copied = program.kernel("copied");
  MUST(world.set_pointer(copied, 0, views));
  MUST(world.set_pointer(copied, 1, views + 1));
  MUST(program.run(copied, 1));
  expect(views[1].at == view.at && views[1].count == 5, "a structure that a kernel copies");
  MUST(world.free(world.context, views));
  MUST(world.free(world.context, numbers));
  MUST(world.free(world.context, out));
}

void stored(const Program& program) {
  const usm::World& world = program.world();
  auto* const numbers = world.shared<int>(1000);
  auto* const places = world.shared<int*>(count);
  const cl_kernel kept = program.kernel("kept");
  MUST(world.set_pointer(kept, 0, numbers + 3));
  MUST(world.set_pointer(kept, 1, places));
  MUST(program.run(kept, count));
  for (int i = 0; i < count; ++i)
    expect(places[i] == numbers + 3 + i, "pointers that a kernel stores are the host's");
  const cl_kernel kernel = program.kernel("table");
  MUST(world.set_pointer(kernel, 0, places));
  MUST(program.run(kernel, count));
  for (int i = 0; i < count; ++i) expect(numbers[3 + i] == i, "pointers that a kernel stored");
  MUST(world.free(world.context, places));
  MUST(world.free(world.context, numbers));
}

// Beside pointers: local memory, and a buffer that is no allocation.
void beside_others(const Program& program) {
  const usm::World& world = program.world();
  auto* const numbers = world.shared<int>(1000);
  std::vector<int> plain(count);
  for (int i = 0; i < count; ++i) plain[i] = 10 * i;
  cl_int status = CL_SUCCESS;
  const cl_mem buffer =
      clCreateBuffer(world.context, CL_MEM_READ_WRITE, count * sizeof(int), nullptr, &status);
  MUST(status);
  MUST(clEnqueueWriteBuffer(world.queue, buffer, CL_TRUE, 0, count * sizeof(int), plain.data(), 0,
                            nullptr, nullptr));
  const cl_kernel kernel = program.kernel("through_local");
  MUST(world.set_pointer(kernel, 0, numbers + 1));
  MUST(clSetKernelArg(kernel, 1, sizeof(buffer), &buffer));
  MUST(program.run(kernel, count));
  for (int i = 0; i < count; ++i) expect(numbers[1 + i] == 10 * i, "local memory and a buffer");
  MUST(clReleaseMemObject(buffer));
  MUST(world.free(world.context, numbers));
}

// Pointers to any byte, for a kernel that follows none.
void any_place(const Program& program) {
  const usm::World& world = program.world();
  auto* const numbers = world.shared<int>(1000);
  for (int at = 1; at < 40; at += 13) {
    for (int i = 0; i < 1000; ++i) numbers[i] = i;
    const int n = 10;
    const cl_kernel plain = program.kernel("plain");
    MUST(world.set_pointer(plain, 0, numbers + at));
    MUST(world.set_pointer(plain, 1, numbers + 500 + at));
    MUST(clSetKernelArg(plain, 2, sizeof(n), &n));
    MUST(program.run(plain, 10));
    expect(numbers[at] == 2 * (500 + at) + 1 && numbers[at + 10] == at + 10, "any place");
  }
  MUST(world.free(world.context, numbers));
}

// Too much for one buffer: refused, in words, and right again when it is freed.
void too_much(const Program& program) {
  const usm::World& world = program.world();
  auto* const nodes = world.shared<Node>(2);
  auto* const out = world.shared<int>(1);
  nodes[0] = {nodes + 1, 1};
  nodes[1] = {nullptr, 2};
  const auto run = [&] {
    *out = -1;
    const cl_kernel chase = program.kernel("chase");
    MUST(world.set_pointer(chase, 0, nodes));
    MUST(world.set_pointer(chase, 1, out));
    return program.run(chase, 1);
  };
  auto* const much = world.shared<char>(std::size_t{192} << 20);
  const cl_int status = run();
  expect(status == CL_SUCCESS ? *out == 3 : status == CL_INVALID_OPERATION && *out == -1,
         "more than one buffer has room for");
  MUST(world.free(world.context, much));
  MUST(run());
  expect(*out == 3, "a list after too much was freed");
  MUST(world.free(world.context, nodes));
  MUST(world.free(world.context, out));
}

}  // namespace

int main(int argc, char** argv) {
  const usm::World world;
  char version[256] = {};
  const cl_int status =
      clGetDeviceInfo(world.device, CL_DEVICE_IL_VERSION, sizeof(version), version, nullptr);
  if (status != CL_SUCCESS || std::strstr(version, "SPIR-V") == nullptr)
    usm::cannot_tell("this driver takes no SPIR-V");
  std::ifstream file(argc < 2 ? "" : argv[1], std::ios::binary);
  if (!file) usm::cannot_tell("the module is not there: spirv-as makes it (spirv-tools)");
  const Program program(world,
                        {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  list(program);
  table(program);
  structures(program);
  stored(program);
  beside_others(program);
  any_place(program);
  too_much(program);
  std::printf("rebased: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
