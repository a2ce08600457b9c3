// Pointers to device allocations where kernels find them: in device memory, in shared memory,
// inside a structure, as an argument from the middle of an allocation on. The host never touches
// what they point to, but by copies and fills.
//
//   device_pointers [apart]
//
// apart: the device's addresses are none of the host's, so that what would touch them there is
// refused, and so are kernels that may follow pointers to shared allocations; and the program and
// the driver never have the same address. Ends with 0 and "device pointers: PASS".
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "usm.hpp"

namespace {

struct Node {
  Node* next;
  std::int64_t value;
};

constexpr const char* source = R"(
struct node { global struct node* next; long value; };

kernel void walk(global struct node* head, global long* sum) {
  long total = 0;
  for (global struct node* at = head; at != 0; at = at->next) {
    total += at->value;
    at->value = 3 * at->value + 1;
  }
  *sum = total;
}

kernel void gather(global ulong* places, global long* sums, int count) {
  for (int i = 0; i < count; ++i) {
    sums[i] = *(global long*)places[i];
    *(global long*)places[i] = -i;
  }
}

struct parcel { ulong place; long amount; };
kernel void add(struct parcel parcel) { *(global long*)parcel.place += parcel.amount; }

kernel void around(global int* middle) { middle[0] = middle[-1] + middle[1]; }
)";

int failures = 0;
void expect(bool truth, const char* what) {
  if (truth) return;
  if (failures++ < 10) std::fprintf(stderr, "%s\n", what);
}

template <typename T>
T* on_device(const usm::World& world, std::size_t count) {
  cl_int status = CL_SUCCESS;
  void* const pointer =
      world.device_alloc(world.context, world.device, nullptr, count * sizeof(T), 0, &status);
  MUST(status);
  return static_cast<T*>(pointer);
}

// One value there and back again.
template <typename T>
void put(const usm::World& world, T* to, const T& value) {
  MUST(world.copy(world.queue, CL_TRUE, to, &value, sizeof(T), 0, nullptr, nullptr));
}
template <typename T>
T get(const usm::World& world, const T* from) {
  T value{};
  MUST(world.copy(world.queue, CL_TRUE, &value, from, sizeof(T), 0, nullptr, nullptr));
  return value;
}

void allow(cl_kernel kernel, std::initializer_list<cl_kernel_exec_info> flags) {
  const cl_bool yes = CL_TRUE;
  for (const cl_kernel_exec_info flag : flags)
    MUST(clSetKernelExecInfo(kernel, flag, sizeof(yes), &yes));
}

// Many small nodes, and large ones that are buffers of their own. No other allocation lives, so
// every flag may be set.
void list(const usm::World& world) {
  const cl_kernel walk = world.kernel(source, "walk");
  allow(walk, {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
               CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
               CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL});
  std::vector<Node*> nodes;
  auto* const sum = on_device<std::int64_t>(world, 1);
  for (int round = 0; round < 3; ++round) {
    Node* head = nullptr;
    for (int i = 0; i < 200; ++i) {
      auto* const node = on_device<Node>(world, i % 50 == 7 ? 100000 : 1);
      put(world, node, Node{head, i});
      nodes.push_back(node);
      head = node;
    }
    MUST(world.set_pointer(walk, 0, head));
    MUST(world.set_pointer(walk, 1, sum));
    world.run(walk, 1);
    expect(get(world, sum) == 199 * 100, "sum of the list");
    for (std::size_t i = 0; i < nodes.size(); ++i)
      expect(get(world, nodes[i]).value == 3 * static_cast<std::int64_t>(i) + 1, "node");
    // The driver is told of others the next time.
    for (Node* node : nodes) MUST(world.free(world.context, node));
    nodes.clear();
  }
  MUST(world.free(world.context, sum));
  clReleaseKernel(walk);
}

// Device pointers in shared memory, which itself is an argument.
void table(const usm::World& world, bool named) {
  constexpr int count = 100;
  const cl_kernel gather = world.kernel(source, "gather");
  auto* const places = world.shared<std::uint64_t>(count);
  auto* const sums = world.shared<std::int64_t>(count);
  std::vector<std::int64_t*> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(on_device<std::int64_t>(world, 1 + i % 3 * 50000));
    put(world, values.back(), std::int64_t{1000} + i);
    places[i] = reinterpret_cast<std::uint64_t>(values.back());
  }
  if (named)
    MUST(clSetKernelExecInfo(gather, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL,
                             values.size() * sizeof(void*), values.data()));
  else
    allow(gather, {CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL});
  MUST(world.set_pointer(gather, 0, places));
  MUST(world.set_pointer(gather, 1, sums));
  MUST(clSetKernelArg(gather, 2, sizeof(count), &count));
  world.run(gather, 1);
  MUST(clFinish(world.queue));
  for (int i = 0; i < count; ++i) {
    expect(sums[i] == 1000 + i, "value that a pointer in shared memory leads to");
    expect(get(world, values[i]) == -i, "value written through it");
  }
  for (std::int64_t* value : values) MUST(world.free(world.context, value));
  MUST(world.free(world.context, places));
  MUST(world.free(world.context, sums));
  clReleaseKernel(gather);
}

void structure(const usm::World& world) {
  const cl_kernel add = world.kernel(source, "add");
  allow(add, {CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL});
  auto* const value = on_device<std::int64_t>(world, 1);
  put(world, value, std::int64_t{40});
  const struct {
    std::uint64_t place;
    std::int64_t amount;
  } parcel{reinterpret_cast<std::uint64_t>(value), 2};
  MUST(clSetKernelArg(add, 0, sizeof(parcel), &parcel));
  world.run(add, 1);
  expect(get(world, value) == 42, "value that a structure leads to");
  MUST(world.free(world.context, value));
  clReleaseKernel(add);
}

void arguments_and_copies(const usm::World& world) {
  constexpr std::size_t count = 100000;
  const cl_kernel around = world.kernel(source, "around");
  auto* const data = on_device<int>(world, count);
  auto* const other = on_device<int>(world, count);
  auto* const shared = world.shared<int>(count);
  const int pattern = 5;
  MUST(world.fill(world.queue, data, &pattern, sizeof(pattern), count * sizeof(int), 0, nullptr,
                  nullptr));
  MUST(world.set(world.queue, data + 2, 1, 3 * sizeof(int), 0, nullptr, nullptr));
  MUST(world.set_pointer(around, 0, data + 5));
  world.run(around, 1);
  MUST(world.copy(world.queue, CL_FALSE, other + 1, data, (count - 1) * sizeof(int), 0, nullptr,
                  nullptr));
  MUST(world.copy(world.queue, CL_FALSE, shared, other + 1, (count - 1) * sizeof(int), 0, nullptr,
                  nullptr));
  MUST(clFinish(world.queue));
  expect(shared[1] == 5 && shared[2] == 0x01010101 && shared[6] == 5, "filled, set and copied");
  expect(shared[5] == 0x01010101 + 5, "a kernel from the middle of an allocation");
  shared[7] = 77;
  MUST(world.copy(world.queue, CL_TRUE, data, shared, 8 * sizeof(int), 0, nullptr, nullptr));
  expect(get(world, data + 7) == 77, "copied from shared memory");
  // One past the end, and null, are values as any other.
  MUST(world.set_pointer(around, 0, data + count));
  MUST(world.set_pointer(around, 0, nullptr));
  for (void* one : {data, other, shared}) MUST(world.free(world.context, one));
  clReleaseKernel(around);
}

// Takes addresses for the program if nothing is there.
void* have_at(const void* address, std::size_t size) {
  return mmap(const_cast<void*>(address), size, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

// The driver takes addresses upwards, so the program can have the next ones. An allocation may hold
// some more than it was asked for.
void addresses(const usm::World& world) {
  constexpr std::size_t size = std::size_t{4} << 20;
  constexpr std::size_t much = std::size_t{1} << 30;
  auto* const first = on_device<char>(world, size);
  expect(have_at(first, 4096) == MAP_FAILED, "the program gets no address of the device's");
  char* const next = first + size + (std::size_t{64} << 10);
  void* const above = have_at(next, much);
  expect(above == next, "and the others");
  cl_int status = CL_SUCCESS;
  expect(world.device_alloc(world.context, world.device, nullptr, size, 0, &status) == nullptr &&
             status == CL_OUT_OF_RESOURCES,
         "no pointer that the program has already");
  munmap(above, much);
  MUST(world.free(world.context, on_device<char>(world, size)));
  MUST(world.free(world.context, first));
  expect(have_at(first, size) == first, "a freed one is free");
  munmap(first, size);
}

void refusals(const usm::World& world) {
  auto* const data = on_device<int>(world, 100);
  cl_int status = CL_SUCCESS;
  const cl_mem buffer = clCreateBuffer(world.context, CL_MEM_READ_WRITE, 400, nullptr, &status);
  MUST(status);
  expect(clEnqueueReadBuffer(world.queue, buffer, CL_TRUE, 0, 400, data, 0, nullptr, nullptr) ==
             CL_INVALID_VALUE,
         "a device pointer is no host pointer");
  MUST(clReleaseMemObject(buffer));
  const cl_kernel walk = world.kernel(source, "walk");
  allow(walk, {CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL});
  auto* const shared = world.shared<int>(1);
  MUST(world.set_pointer(walk, 0, nullptr));
  MUST(world.set_pointer(walk, 1, data));
  const std::size_t one = 1;
  const auto enqueue = [&] {
    return clEnqueueNDRangeKernel(world.queue, walk, 1, nullptr, &one, nullptr, 0, nullptr,
                                  nullptr);
  };
  expect(enqueue() == CL_INVALID_OPERATION, "shared allocations have no device address");
  MUST(world.free(world.context, shared));
  expect(enqueue() == CL_SUCCESS, "with none there is nothing to refuse");
  MUST(clFinish(world.queue));
  MUST(world.free(world.context, data));
  clReleaseKernel(walk);
}

}  // namespace

int main(int argc, char** argv) {
  const usm::World world;
  list(world);
  table(world, false);
  table(world, true);
  structure(world);
  arguments_and_copies(world);
  if (argc > 1 && std::strcmp(argv[1], "apart") == 0) {
    refusals(world);
    addresses(world);
  }
  std::printf("device pointers: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
