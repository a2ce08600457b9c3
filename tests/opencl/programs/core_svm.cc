// Core SVM as runtimes use it: freeing in order of a queue, with a callback and without, and lists
// of pointers that are given to a kernel and taken back, again and again; copies from host to host.
// Ends with 0 and "core_svm: PASS".
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>

#include "usm.hpp"

namespace {

using usm::expect;
using usm::failures;

template <typename Truth>
bool becomes(Truth&& truth) {
  for (int i = 0; i < 30000 && !truth(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return truth();
}

void* allocate(const usm::World& world, std::size_t size) {
  void* const pointer = clSVMAlloc(world.context, CL_MEM_READ_WRITE, size, 0);
  if (pointer == nullptr) {
    std::fprintf(stderr, "clSVMAlloc has no %zu bytes\n", size);
    std::exit(1);
  }
  return pointer;
}

void write(const usm::World& world, void* to, int value, std::size_t size) {
  MUST(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_WRITE, to, size, 0, nullptr, nullptr));
  std::memset(to, value, size);
  MUST(clEnqueueSVMUnmap(world.queue, to, 0, nullptr, nullptr));
}

long resident_mib() {
  long pages = 0;
  long resident = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &pages, &resident) != 2) std::exit(1);
  std::fclose(file);
  return resident * sysconf(_SC_PAGESIZE) >> 20;
}

// --- clEnqueueSVMFree ----------------------------------------------------------------------------

struct FreeNotice {
  const usm::World& world;
  std::vector<void*> given;
  std::atomic<int> calls{0};
};

void CL_CALLBACK on_free(cl_command_queue queue, cl_uint count, void** pointers, void* data) {
  FreeNotice& freed = *static_cast<FreeNotice*>(data);
  const bool right = queue == freed.world.queue && count == freed.given.size() &&
                     std::equal(pointers, pointers + count, freed.given.begin());
  expect(right, "the callback got other pointers than were given");
  if (right)
    for (cl_uint i = 0; i < count; ++i) clSVMFree(freed.world.context, pointers[i]);
  ++freed.calls;
}

void free_with_callback(const usm::World& world, std::size_t count, bool behind_an_event) {
  FreeNotice freed{world, {}};
  for (std::size_t i = 0; i < count; ++i) freed.given.push_back(allocate(world, 4096 << i));
  std::vector<void*> list = freed.given;
  cl_int status = CL_SUCCESS;
  const cl_event gate = clCreateUserEvent(world.context, &status);
  MUST(status);
  cl_event event = nullptr;
  MUST(clEnqueueSVMFree(world.queue, static_cast<cl_uint>(count), list.data(), on_free, &freed,
                        behind_an_event ? 1 : 0, behind_an_event ? &gate : nullptr, &event));
  // The command has its own list.
  std::fill(list.begin(), list.end(), nullptr);
  cl_command_type type = 0;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, nullptr));
  expect(type == CL_COMMAND_SVM_FREE, "the event of clEnqueueSVMFree has another type");
  if (behind_an_event) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    expect(freed.calls == 0, "the callback came before its command's turn");
  }
  MUST(clSetUserEventStatus(gate, CL_COMPLETE));
  MUST(clWaitForEvents(1, &event));
  expect(becomes([&] { return freed.calls == 1; }), "the callback does not come");
  MUST(clReleaseEvent(event));
  MUST(clReleaseEvent(gate));
}

// What is freed is given back: 64 times 16 MiB were much more than the process keeps.
void free_without_callback(const usm::World& world) {
  constexpr std::size_t size = std::size_t{8} << 20;
  const cl_command_queue other = world.make_queue();
  const cl_kernel twice =
      world.kernel("kernel void twice(global int* data) { data[get_global_id(0)] *= 2; }", "twice");
  const long before = resident_mib();
  for (int i = 0; i < 64; ++i) {
    void* two[] = {allocate(world, size), allocate(world, size)};
    for (void* one : two) write(world, one, 1, size);
    // A kernel of another queue is not held up by any of this.
    int* const apart = world.shared<int>(1024);
    MUST(world.set_pointer(twice, 0, apart));
    world.run(twice, 1024, other);
    MUST(clEnqueueSVMFree(world.queue, 2, two, nullptr, nullptr, 0, nullptr, nullptr));
    MUST(clFinish(world.queue));
    MUST(clFinish(other));
    MUST(world.free(world.context, apart));
  }
  expect(becomes([&] { return resident_mib() - before < 300; }),
         "freed memory stays in the process");
  MUST(clReleaseKernel(twice));
  MUST(clReleaseCommandQueue(other));
}

void free_nothing(const usm::World& world) {
  void* none = nullptr;
  expect(
      clEnqueueSVMFree(world.queue, 1, &none, nullptr, nullptr, 0, nullptr, nullptr) == CL_SUCCESS,
      "freeing null is refused");
  expect(clEnqueueSVMFree(world.queue, 1, nullptr, nullptr, nullptr, 0, nullptr, nullptr) ==
             CL_INVALID_VALUE,
         "a list that is missing is accepted");
  expect(clEnqueueSVMFree(world.queue, 0, &none, nullptr, nullptr, 0, nullptr, nullptr) ==
             CL_INVALID_VALUE,
         "an empty list that is there is accepted");
}

// --- lists of pointers ---------------------------------------------------------------------------

// One kernel for everything, as runtimes keep it: each launch lists what it needs and takes the
// list back.
void lists(const usm::World& world, cl_kernel_exec_info name) {
  const cl_kernel add =
      world.kernel("kernel void add(global int* to) { to[get_global_id(0)] += 1; }", "add");
  int* const to = world.shared<int>(1024);
  std::memset(to, 0, 4096);
  for (int round = 1; round <= 5; ++round) {
    void* const listed[] = {allocate(world, 8192), world.shared<char>(100)};
    MUST(world.set_pointer(add, 0, to));
    expect(clSetKernelExecInfo(add, name, sizeof(listed), listed) == CL_SUCCESS,
           "a list is refused");
    world.run(add, 1024);
    expect(clSetKernelExecInfo(add, name, 0, round % 2 == 0 ? nullptr : listed) == CL_SUCCESS,
           "a list is not taken back");
    MUST(clFinish(world.queue));
    // What was listed is gone, and the kernel must not ask for it.
    clSVMFree(world.context, listed[0]);
    MUST(world.free(world.context, listed[1]));
    world.run(add, 1024);
    MUST(clFinish(world.queue));
    expect(to[1023] == 2 * round, "the kernel did not run twice");
  }
  MUST(world.free(world.context, to));
  MUST(clReleaseKernel(add));
}

// A list that was taken back has no effect: over buffers it was what a kernel is refused for. The
// kernel runs again then, with nothing to follow.
void list_taken_back(const usm::World& world, cl_kernel_exec_info name) {
  const cl_kernel follow = world.kernel(
      "kernel void follow(global ulong* from) {"
      "  if (*from != 0) *(global int*)*from = 42; else *from = 7; }",
      "follow");
  auto* const from = world.shared<std::uint64_t>(1);
  auto* const to = world.shared<int>(1);
  *from = 0;
  *to = 0;
  MUST(world.set_pointer(follow, 0, from));
  const void* const listed[] = {to};
  const std::size_t one = 1;
  const auto launch = [&] {
    return clEnqueueNDRangeKernel(world.queue, follow, 1, nullptr, &one, nullptr, 0, nullptr,
                                  nullptr);
  };
  MUST(clSetKernelExecInfo(follow, name, sizeof(listed), listed));
  *from = reinterpret_cast<std::uintptr_t>(to);
  const cl_int status = launch();
  expect(status == CL_SUCCESS || status == CL_INVALID_OPERATION, "a list has an unknown outcome");
  MUST(clFinish(world.queue));
  expect(status != CL_SUCCESS || *to == 42, "the kernel did not follow its pointer");
  MUST(clSetKernelExecInfo(follow, name, 0, nullptr));
  *from = 0;
  expect(launch() == CL_SUCCESS, "a kernel is refused for a list that was taken back");
  MUST(clFinish(world.queue));
  expect(*from == 7, "the kernel did not run after its list was taken back");
  MUST(world.free(world.context, to));
  MUST(world.free(world.context, from));
  MUST(clReleaseKernel(follow));
}

// --- copies between two places of the host's -----------------------------------------------------

// A copy from host to host is a command like others: it waits for its turn, and those behind it in
// the queue wait for it.
void host_to_host(const usm::World& world, bool behind_an_event) {
  constexpr std::size_t words = 10000;
  std::vector<int> from(words, 7);
  std::vector<int> to(words, 0);
  std::vector<int> back(words, 0);
  int* const managed = world.shared<int>(words);
  std::memset(managed, 0, words * sizeof(int));
  const cl_kernel twice =
      world.kernel("kernel void twice(global int* data) { data[get_global_id(0)] *= 2; }", "twice");
  MUST(world.set_pointer(twice, 0, managed));
  cl_int status = CL_SUCCESS;
  const cl_event gate = clCreateUserEvent(world.context, &status);
  MUST(status);
  const std::size_t size = words * sizeof(int);
  const auto copy = [&](void* target, const void* source, cl_event* event, bool waits) {
    MUST(clEnqueueSVMMemcpy(world.queue, CL_FALSE, target, source, size, waits ? 1 : 0,
                            waits ? &gate : nullptr, event));
  };
  cl_event event = nullptr;
  copy(to.data(), from.data(), &event, behind_an_event);
  cl_command_type type = 0;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, nullptr));
  expect(type == CL_COMMAND_SVM_MEMCPY, "the event of a copy has another type");
  if (behind_an_event) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    cl_int state = CL_COMPLETE;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state), &state, nullptr));
    expect(state > CL_COMPLETE, "a copy is complete before its turn");
    expect(to[0] == 0 && to[words - 1] == 0, "a copy was made before its turn");
  }
  MUST(clSetUserEventStatus(gate, CL_COMPLETE));
  copy(managed, to.data(), nullptr, false);
  world.run(twice, words);
  copy(back.data(), managed, nullptr, false);
  copy(from.data(), back.data(), nullptr, false);
  MUST(clWaitForEvents(1, &event));
  expect(to == std::vector<int>(words, 7), "a complete copy is not there");
  MUST(clFinish(world.queue));
  expect(from == std::vector<int>(words, 14), "commands did not wait for a copy before them");
  std::fill(back.begin(), back.end(), 3);
  MUST(clEnqueueSVMMemcpy(world.queue, CL_TRUE, to.data(), back.data(), size, 0, nullptr, nullptr));
  expect(to == back, "a blocking copy is not there");
  MUST(clReleaseEvent(event));
  MUST(clReleaseEvent(gate));
  MUST(clReleaseKernel(twice));
  MUST(world.free(world.context, managed));
}

// Many under way at once, each between places of its own, and in a chain.
void many_host_copies(const usm::World& world) {
  constexpr int links = 400;
  std::vector<std::vector<int>> places(links + 1, std::vector<int>(100));
  std::fill(places[0].begin(), places[0].end(), 5);
  for (int i = 0; i < links; ++i)
    MUST(clEnqueueSVMMemcpy(world.queue, CL_FALSE, places[i + 1].data(), places[i].data(),
                            100 * sizeof(int), 0, nullptr, nullptr));
  MUST(clFinish(world.queue));
  expect(places[links] == places[0], "a chain of copies lost its bytes");
}

}  // namespace

int main() {
  const usm::World world;
  for (const std::size_t count : {1, 2, 3, 7}) free_with_callback(world, count, false);
  free_with_callback(world, 3, true);
  free_without_callback(world);
  free_nothing(world);
  lists(world, CL_KERNEL_EXEC_INFO_SVM_PTRS);
  lists(world, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL);
  list_taken_back(world, CL_KERNEL_EXEC_INFO_SVM_PTRS);
  list_taken_back(world, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL);
  host_to_host(world, false);
  host_to_host(world, true);
  many_host_copies(world);
  std::printf("core_svm: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
