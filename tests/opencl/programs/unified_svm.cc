// cl_khr_unified_svm as programs use it: every type of SVM that the device tells of, and every
// capability of it that is told, used. Ends with 0 and "unified_svm: PASS".
#include "unified_svm.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

namespace {

using usm::expect;
using usm::failures;

constexpr const char* source = R"(
typedef struct Node { int value; int unused; global struct Node* next; } Node;
kernel void add(global int* data, int by) { data[get_global_id(0)] += by; }
kernel void store(global int* pointer, global ulong* to) { *to = (ulong)pointer; }
kernel void count(global int* data) { atomic_inc(data); }
kernel void every_other(global int* data) {
  if (get_global_id(0) % 2 == 0) data[get_global_id(0)] = get_global_id(0);
}
kernel void sum(global ulong* list, global int* out) {
  global Node* at = (global Node*)*list;
  int all = 0;
  for (int i = 0; at && i < 100; ++i) { all += at->value; at->value = i; at = at->next; }
  *out = all;
}
)";
constexpr std::size_t count = 5000;

struct Node {
  int value;
  int unused;
  Node* next;
};

void expect_of(cl_uint type, bool truth, const char* what) {
  if (truth) return;
  expect(false, what);
  std::fprintf(stderr, "  with type %u\n", type);
}

// As a program that heeds the capabilities reaches memory from the host.
template <typename T>
void write(const unified::World& world, cl_uint type, T* to, const T* from, std::size_t n) {
  const std::size_t bytes = n * sizeof(T);
  if (world.can(type, unified::host_write)) {
    std::memcpy(to, from, bytes);
  } else if (world.can(type, unified::host_map)) {
    MUST(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_WRITE, to, bytes, 0, nullptr, nullptr));
    std::memcpy(to, from, bytes);
    MUST(clEnqueueSVMUnmap(world.queue, to, 0, nullptr, nullptr));
  } else {
    MUST(clEnqueueSVMMemcpy(world.queue, CL_TRUE, to, from, bytes, 0, nullptr, nullptr));
  }
}

template <typename T>
void read(const unified::World& world, cl_uint type, T* to, const T* from, std::size_t n) {
  const std::size_t bytes = n * sizeof(T);
  if (world.can(type, unified::host_read)) {
    std::memcpy(to, from, bytes);
  } else if (world.can(type, unified::host_map)) {
    auto* const pointer = const_cast<T*>(from);
    MUST(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_READ, pointer, bytes, 0, nullptr, nullptr));
    std::memcpy(to, from, bytes);
    MUST(clEnqueueSVMUnmap(world.queue, pointer, 0, nullptr, nullptr));
  } else {
    MUST(clEnqueueSVMMemcpy(world.queue, CL_TRUE, to, from, bytes, 0, nullptr, nullptr));
  }
}

// Host, kernel, copy, fill and migration, in turns.
void in_turns(const unified::World& world, cl_uint type) {
  const cl_kernel add = world.kernel(source, "add");
  int* const data = world.allocate<int>(type, count);
  std::vector<int> values(count);
  std::iota(values.begin(), values.end(), 0);
  write(world, type, data, values.data(), count);
  const int by = 7;
  MUST(clSetKernelArgSVMPointer(add, 0, data));
  MUST(clSetKernelArg(add, 1, sizeof(by), &by));
  for (int round = 0; round < 3; ++round) {
    world.run(add, count);
    MUST(clFinish(world.queue));
    const void* migrated[] = {data};
    MUST(clEnqueueSVMMigrateMem(world.queue, 1, migrated, nullptr,
                                round == 1 ? CL_MIGRATE_MEM_OBJECT_HOST : 0, 0, nullptr, nullptr));
    MUST(clFinish(world.queue));
    std::vector<int> found(count);
    read(world, type, found.data(), data, count);
    for (int& one : values) one += by;
    expect_of(type, found == values, "a kernel's bytes are not what the host reads");
    write(world, type, data, values.data(), count);
  }
  const int pattern = 1234;
  MUST(clEnqueueSVMMemFill(world.queue, data + 1, &pattern, sizeof(pattern), 8, 0, nullptr,
                           nullptr));
  MUST(clFinish(world.queue));
  int filled[4] = {};
  read(world, type, filled, data, 4);
  expect_of(
      type,
      filled[0] == values[0] && filled[1] == 1234 && filled[2] == 1234 && filled[3] == values[3],
      "a fill");
  world.release(data);
  MUST(clReleaseKernel(add));
}

// Copies between all pairs of types, and from and to plain memory.
void copies(const unified::World& world) {
  const auto types = static_cast<cl_uint>(world.types.size());
  std::vector<int> values(count, 0);
  for (cl_uint from = 0; from < types; ++from)
    for (cl_uint to = 0; to < types; ++to) {
      if (world.types[from] == 0 || world.types[to] == 0) continue;
      int* const first = world.allocate<int>(from, count);
      int* const second = world.allocate<int>(to, count);
      std::iota(values.begin(), values.end(), static_cast<int>(100 * from + to));
      std::vector<int> found(count);
      const auto copy = [&](void* target, const void* origin) {
        MUST(clEnqueueSVMMemcpy(world.queue, CL_TRUE, target, origin, count * sizeof(int), 0,
                                nullptr, nullptr));
      };
      copy(first, values.data());
      copy(second, first);
      copy(found.data(), second);
      expect_of(from, found == values, "copies through two types");
      world.release(first);
      clSVMFree(world.context, second);
    }
}

void one_address(const unified::World& world, cl_uint type) {
  const cl_kernel store = world.kernel(source, "store");
  int* const data = world.allocate<int>(type, 16);
  cl_int status = CL_SUCCESS;
  const cl_mem to = clCreateBuffer(world.context, CL_MEM_READ_WRITE, 8, nullptr, &status);
  MUST(status);
  for (int* const pointer : {data, data + 3}) {
    MUST(clSetKernelArgSVMPointer(store, 0, pointer));
    MUST(clSetKernelArg(store, 1, sizeof(to), &to));
    world.run(store, 1);
    std::uint64_t found = 0;
    MUST(clEnqueueReadBuffer(world.queue, to, CL_TRUE, 0, sizeof(found), &found, 0, nullptr,
                             nullptr));
    expect_of(type, found == reinterpret_cast<std::uintptr_t>(pointer),
              "a single address space is told, and the kernel has another pointer");
  }
  MUST(clReleaseMemObject(to));
  world.release(data);
  MUST(clReleaseKernel(store));
}

// A list of allocations of the type, by the one flag.
// Written by a command: PoCL's remote devices forget the bytes that a buffer is created with.
cl_mem buffer_with(const unified::World& world, const void* pointer) {
  cl_int status = CL_SUCCESS;
  const cl_mem made =
      clCreateBuffer(world.context, CL_MEM_READ_WRITE, sizeof(pointer), nullptr, &status);
  MUST(status);
  MUST(clEnqueueWriteBuffer(world.queue, made, CL_TRUE, 0, sizeof(pointer), &pointer, 0, nullptr,
                            nullptr));
  return made;
}

void followed(const unified::World& world, cl_uint type) {
  const cl_kernel sum = world.kernel(source, "sum");
  Node* nodes[10] = {};
  for (Node*& node : nodes) node = world.allocate<Node>(type, 1);
  for (int i = 0; i < 10; ++i) {
    const Node node{i + 1, 0, i < 9 ? nodes[i + 1] : nullptr};
    write(world, type, nodes[i], &node, 1);
  }
  cl_int status = CL_SUCCESS;
  const cl_mem list = buffer_with(world, nodes[0]);
  const cl_mem out = clCreateBuffer(world.context, CL_MEM_READ_WRITE, 4, nullptr, &status);
  MUST(status);
  const cl_bool yes = CL_TRUE;
  MUST(clSetKernelExecInfo(sum, unified::indirect_access, sizeof(yes), &yes));
  MUST(clSetKernelArg(sum, 0, sizeof(list), &list));
  MUST(clSetKernelArg(sum, 1, sizeof(out), &out));
  world.run(sum, 1);
  int all = 0;
  MUST(clEnqueueReadBuffer(world.queue, out, CL_TRUE, 0, sizeof(all), &all, 0, nullptr, nullptr));
  expect_of(type, all == 55, "indirect access is told, and a kernel does not follow a list");
  Node last{};
  read(world, type, &last, nodes[9], 1);
  expect_of(type, last.value == 9, "a kernel's stores by a list are lost");
  for (Node* const node : nodes) world.release(node);
  MUST(clReleaseMemObject(list));
  MUST(clReleaseMemObject(out));
  MUST(clReleaseKernel(sum));
}

// Where indirect access is not told, a kernel that follows pointers is refused, or finds them.
void not_followed(const unified::World& world, cl_uint type) {
  const cl_kernel sum = world.kernel(source, "sum");
  auto* const node = world.allocate<Node>(type, 1);
  int* const out = world.allocate<int>(type, 1);
  const cl_mem list = buffer_with(world, node);
  cl_int status = CL_SUCCESS;
  const void* const listed[] = {node, nullptr, &status};
  MUST(clSetKernelExecInfo(sum, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(listed), listed));
  MUST(clSetKernelArg(sum, 0, sizeof(list), &list));
  MUST(clSetKernelArgSVMPointer(sum, 1, out));
  const std::size_t one = 1;
  status = clEnqueueNDRangeKernel(world.queue, sum, 1, nullptr, &one, nullptr, 0, nullptr, nullptr);
  expect_of(type, status == CL_INVALID_OPERATION, "a kernel that follows pointers is not refused");
  MUST(clFinish(world.queue));
  MUST(clReleaseKernel(sum));
  world.release(node);
  world.release(out);
  MUST(clReleaseMemObject(list));
}

void atomics(const unified::World& world, cl_uint type) {
  const cl_kernel add_up = world.kernel(source, "count");
  int* const data = world.allocate<int>(type, 1);
  const int zero = 0;
  write(world, type, data, &zero, 1);
  MUST(clSetKernelArgSVMPointer(add_up, 0, data));
  world.run(add_up, count);
  MUST(clFinish(world.queue));
  int found = 0;
  read(world, type, &found, data, 1);
  expect_of(type, found == static_cast<int>(count), "atomics of a kernel");
  world.release(data);
  MUST(clReleaseKernel(add_up));
}

// Neighbouring words, by a kernel and the host at the same time.
void at_once(const unified::World& world, cl_uint type) {
  std::size_t atom = 0;
  MUST(clGetDeviceInfo(world.device, unified::atom_size, sizeof(atom), &atom, nullptr));
  expect_of(type, atom != 0 && atom <= sizeof(int), "concurrent access in no unit of bytes");
  const cl_kernel every_other = world.kernel(source, "every_other");
  int* const data = world.allocate<int>(type, count);
  std::fill(data, data + count, -1);
  MUST(clSetKernelArgSVMPointer(every_other, 0, data));
  world.run(every_other, count);
  for (std::size_t i = 1; i < count; i += 2) data[i] = static_cast<int>(i);
  MUST(clFinish(world.queue));
  for (std::size_t i = 0; i < count; ++i)
    expect_of(type, data[i] == static_cast<int>(i), "bytes of concurrent access");
  world.release(data);
  MUST(clReleaseKernel(every_other));
}

void system_memory(const unified::World& world, cl_uint type) {
  const cl_kernel add = world.kernel(source, "add");
  std::vector<int> plain(count, 1);
  const int by = 41;
  MUST(clSetKernelArgSVMPointer(add, 0, plain.data()));
  MUST(clSetKernelArg(add, 1, sizeof(by), &by));
  world.run(add, count);
  MUST(clFinish(world.queue));
  expect_of(type, plain.front() == 42 && plain.back() == 42, "a kernel in system memory");
  MUST(clReleaseKernel(add));

  const int seven = 7;
  const cl_map_flags both = CL_MAP_READ | CL_MAP_WRITE;
  cl_event ends[3] = {};
  MUST(clEnqueueSVMMemFill(world.queue, &plain[1], &seven, sizeof(int), 8, 0, nullptr, &ends[0]));
  MUST(clEnqueueSVMMap(world.queue, CL_FALSE, both, &plain[1], 8, 1, &ends[0], &ends[1]));
  MUST(clWaitForEvents(1, &ends[1]));
  expect_of(type, plain[0] == 42 && plain[1] == 7 && plain[2] == 7 && plain[3] == 42,
            "a fill of system memory");
  MUST(clEnqueueSVMUnmap(world.queue, &plain[1], 0, nullptr, &ends[2]));
  MUST(clFinish(world.queue));
  const cl_command_type types[] = {CL_COMMAND_SVM_MEMFILL, CL_COMMAND_SVM_MAP,
                                   CL_COMMAND_SVM_UNMAP};
  for (int i = 0; i < 3; ++i) {
    cl_command_type of = 0;
    MUST(clGetEventInfo(ends[i], CL_EVENT_COMMAND_TYPE, sizeof(of), &of, nullptr));
    expect_of(type, of == types[i], "the event of a command on system memory");
    MUST(clReleaseEvent(ends[i]));
  }
  // More than one block of patterns.
  std::vector<int> large(700000, 1);
  MUST(clEnqueueSVMMemFill(world.queue, large.data(), &seven, sizeof(int),
                           large.size() * sizeof(int), 0, nullptr, nullptr));
  MUST(clFinish(world.queue));
  expect_of(type, std::count(large.begin(), large.end(), 7) == 700000, "a large fill");
}

void threads(const unified::World& world, cl_uint type) {
  std::vector<std::thread> all;
  for (int i = 0; i < 8; ++i)
    all.emplace_back([&world, type] {
      for (int round = 0; round < 20; ++round) world.release(world.allocate<int>(type, 100));
    });
  for (std::thread& one : all) one.join();
}

// In order of the queue, with types mixed and nulls among them.
void freed_by_the_queue(const unified::World& world) {
  std::vector<void*> list;
  for (cl_uint type = 0; type < world.types.size(); ++type) {
    if (world.types[type] == 0) continue;
    list.push_back(world.allocate<char>(type, 10000));
    list.push_back(nullptr);
  }
  MUST(clEnqueueSVMFree(world.queue, static_cast<cl_uint>(list.size()), list.data(), nullptr,
                        nullptr, 0, nullptr, nullptr));
  MUST(clEnqueueSVMFree(world.queue, 0, nullptr, nullptr, nullptr, 0, nullptr, nullptr));
  MUST(clFinish(world.queue));
}

}  // namespace

int main() {
  const unified::World world;
  for (cl_uint type = 0; type < world.types.size(); ++type) {
    if (world.types[type] == 0) continue;
    std::printf("type %u: %#llx\n", type, static_cast<unsigned long long>(world.types[type]));
    in_turns(world, type);
    if (world.can(type, unified::single_address_space)) one_address(world, type);
    if (world.can(type, unified::indirect))
      followed(world, type);
    else
      not_followed(world, type);
    if (world.can(type, unified::device_atomics)) atomics(world, type);
    if (world.can(type, unified::concurrent)) at_once(world, type);
    if (world.can(type, unified::system_allocated)) system_memory(world, type);
    threads(world, type);
  }
  copies(world);
  freed_by_the_queue(world);
  std::printf("unified_svm: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
