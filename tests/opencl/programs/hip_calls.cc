// The calls that a HIP runtime over OpenCL makes (as chipStar does) for managed and pinned host
// memory, prefetches, launches with the flags of indirect access and kernels that are used again,
// under Catch2 and its handlers of signals.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <thread>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void saxpy(global float* y, global const float* x, float a, uint n) {
  const size_t i = get_global_id(0);
  if (i < n) y[i] += a * x[i];
}
)";

const usm::World& world() {
  static const usm::World only;
  return only;
}

// hipMallocManaged: host memory of the driver since December 2025, shared memory before that.
float* managed(std::size_t count, bool as_host) {
  cl_int status = CL_SUCCESS;
  void* const pointer =
      as_host ? world().host_alloc(world().context, nullptr, count * sizeof(float), 0, &status)
              : world().shared_alloc(world().context, world().device, nullptr,
                                     count * sizeof(float), 0, &status);
  REQUIRE(status == CL_SUCCESS);
  return static_cast<float*>(pointer);
}

// hipHostMalloc asks for a page's alignment.
float* pinned(std::size_t count) {
  cl_int status = CL_SUCCESS;
  void* const pointer =
      world().host_alloc(world().context, nullptr, count * sizeof(float), 0x1000, &status);
  REQUIRE(status == CL_SUCCESS);
  REQUIRE(reinterpret_cast<std::uintptr_t>(pointer) % 0x1000 == 0);
  return static_cast<float*>(pointer);
}

// hipMemPrefetchAsync to a device, or to the host.
void prefetch(const void* pointer, std::size_t size, bool to_host) {
  const cl_mem_migration_flags flags = to_host ? CL_MIGRATE_MEM_OBJECT_HOST : 0;
  REQUIRE(world().migrate(world().queue, pointer, size, flags, 0, nullptr, nullptr) == CL_SUCCESS);
  REQUIRE(clEnqueueSVMMigrateMem(world().queue, 1, &pointer, &size, flags, 0, nullptr, nullptr) ==
          CL_SUCCESS);
}

// Every launch takes back the list of the one before, says that all may be reached, and names
// allocations that are no arguments.
void launch(cl_kernel kernel, float* y, const float* x, float a, cl_uint n, const void* listed) {
  REQUIRE(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, 0, nullptr) == CL_SUCCESS);
  const cl_bool yes = CL_TRUE;
  for (const cl_kernel_exec_info name : {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL})
    REQUIRE(clSetKernelExecInfo(kernel, name, sizeof(yes), &yes) == CL_SUCCESS);
  REQUIRE(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(listed), &listed) ==
          CL_SUCCESS);
  REQUIRE(world().set_pointer(kernel, 0, y) == CL_SUCCESS);
  REQUIRE(clSetKernelArgSVMPointer(kernel, 1, x) == CL_SUCCESS);
  REQUIRE(clSetKernelArg(kernel, 2, sizeof(a), &a) == CL_SUCCESS);
  REQUIRE(clSetKernelArg(kernel, 3, sizeof(n), &n) == CL_SUCCESS);
  const std::size_t items = (n + 63) / 64 * 64;
  const std::size_t group = 64;
  cl_event event = nullptr;
  REQUIRE(clEnqueueNDRangeKernel(world().queue, kernel, 1, nullptr, &items, &group, 0, nullptr,
                                 &event) == CL_SUCCESS);
  REQUIRE(clReleaseEvent(event) == CL_SUCCESS);
}

// Allocates, fills, prefetches, runs one kernel five times and reads, between launches too.
void saxpy(float* x, float* y, cl_uint n) {
  const cl_kernel kernel = world().kernel(source, "saxpy");
  std::iota(x, x + n, 0.0F);
  std::fill_n(y, n, 1.0F);
  for (int round = 1; round <= 5; ++round) {
    // What this launch lists is gone at the next.
    void* const listed = managed(16, round % 2 == 0);
    prefetch(x, n * sizeof(float), false);
    prefetch(y, n * sizeof(float), false);
    launch(kernel, y, x, 2, n, listed);
    if (round % 2 == 0) prefetch(y, n * sizeof(float), true);
    REQUIRE(clFinish(world().queue) == CL_SUCCESS);
    REQUIRE(y[n - 1] == 1.0F + 2.0F * static_cast<float>(round) * static_cast<float>(n - 1));
    REQUIRE(world().blocking_free(world().context, listed) == CL_SUCCESS);
  }
  std::size_t wrong = 0;
  for (cl_uint i = 0; i < n; ++i) wrong += y[i] != 1.0F + 10.0F * static_cast<float>(i) ? 1 : 0;
  CHECK(wrong == 0);
  for (float* one : {x, y}) REQUIRE(world().free(world().context, one) == CL_SUCCESS);
  REQUIRE(clReleaseKernel(kernel) == CL_SUCCESS);
}

}  // namespace

TEST_CASE("managed memory as host memory") {
  saxpy(managed(5000, true), managed(5000, true), 5000);
}
TEST_CASE("managed memory as shared memory") {
  saxpy(managed(300000, false), managed(300000, false), 300000);
}
TEST_CASE("pinned host memory") { saxpy(pinned(5000), pinned(5000), 5000); }
TEST_CASE("all kinds in one launch") { saxpy(managed(70000, false), pinned(70000), 70000); }

TEST_CASE("copies and fills between device memory and managed memory") {
  constexpr std::size_t count = 100000;
  cl_int status = CL_SUCCESS;
  void* const device = world().device_alloc(world().context, world().device, nullptr,
                                            count * sizeof(float), 0, &status);
  REQUIRE(status == CL_SUCCESS);
  float* const from = managed(count, true);
  float* const to = pinned(count);
  std::iota(from, from + count, 0.0F);
  const float zero = 0;
  const cl_command_queue queue = world().queue;
  MUST(clEnqueueSVMMemFill(queue, to, &zero, sizeof(zero), count * 4, 0, nullptr, nullptr));
  MUST(clEnqueueSVMMemcpy(queue, CL_FALSE, device, from, count * 4, 0, nullptr, nullptr));
  MUST(world().copy(queue, CL_TRUE, to, device, count * 4, 0, nullptr, nullptr));
  CHECK(std::memcmp(to, from, count * sizeof(float)) == 0);
  // hipMemAdvise, hipPointerGetAttributes
  MUST(world().advise(queue, to, count * 4, 0, 0, nullptr, nullptr));
  const void* base = nullptr;
  MUST(world().info(world().context, to + 77, CL_MEM_ALLOC_BASE_PTR_INTEL, sizeof(base), &base,
                    nullptr));
  CHECK(base == to);
  for (void* one : {device, static_cast<void*>(from), static_cast<void*>(to)})
    MUST(world().free(world().context, one));
}

namespace {

// What hangs on the end of a launch: memory that is kept until then, and a marker that the callback
// itself enqueues, on which the next commands wait (hipStreamAddCallback).
struct AtEnd {
  std::vector<void*> kept;
  cl_event marker = nullptr;
  std::atomic<bool> is_done{false};
};

void CL_CALLBACK end_launch(cl_event, cl_int, void* user_data) {
  auto* const end = static_cast<AtEnd*>(user_data);
  for (void* one : end->kept) MUST(world().free(world().context, one));
  MUST(clEnqueueMarkerWithWaitList(world().queue, 0, nullptr, &end->marker));
  end->is_done = true;
}

}  // namespace

TEST_CASE("every launch names all that lives, and its end frees what was kept for it") {
  constexpr cl_uint count = 20000;
  float* const y = managed(count, true);
  float* const x = pinned(count);
  std::fill_n(y, count, 0.0F);
  std::fill_n(x, count, 1.0F);
  const cl_kernel kernel = world().kernel(source, "saxpy");
  for (int round = 1; round <= 20; ++round) {
    // A spill buffer for large arguments, and memory that the program freed meanwhile.
    AtEnd end;
    cl_int status = CL_SUCCESS;
    end.kept = {managed(64, false), world().device_alloc(world().context, world().device, nullptr,
                                                         4096, 0x1000, &status)};
    MUST(status);
    const void* const living[] = {y, x, end.kept[0], end.kept[1]};
    MUST(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, sizeof(living), living));
    MUST(clSetKernelArgSVMPointer(kernel, 0, y));
    MUST(clSetKernelArgSVMPointer(kernel, 1, x));
    const float a = 1;
    MUST(clSetKernelArg(kernel, 2, sizeof(a), &a));
    MUST(clSetKernelArg(kernel, 3, sizeof(count), &count));
    const std::size_t items = count;
    cl_event launched = nullptr;
    MUST(clEnqueueNDRangeKernel(world().queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr,
                                &launched));
    MUST(clSetEventCallback(launched, CL_COMPLETE, end_launch, &end));
    MUST(clFlush(world().queue));
    while (!end.is_done) std::this_thread::sleep_for(std::chrono::microseconds(100));
    MUST(clEnqueueMarkerWithWaitList(world().queue, 1, &end.marker, nullptr));
    MUST(clFinish(world().queue));
    MUST(clReleaseEvent(end.marker));
    MUST(clReleaseEvent(launched));
    REQUIRE(y[count - 1] == static_cast<float>(round));
  }
  MUST(clReleaseKernel(kernel));
  for (float* one : {y, x}) MUST(world().free(world().context, one));
}
