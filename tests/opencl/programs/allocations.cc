// Every way to allocate, each with many sizes, flags and alignments: one line for each call and its
// answer.
//
//   allocations            prints the answers to legal calls; a driver without the extension is asked for core SVM only
//   allocations --strict   makes illegal calls too, and expects what the layer promises: alignments up to 2 MiB are honoured, a
//                          kernel, a copy and the host reach the first and the last byte, and what is illegal is refused as documented
//
// allocations_support.py compares the answers of a driver with those of the layer above it.
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

int failures = 0;

void expect(bool truth, const std::string& call, const char* what) {
  if (truth) return;
  if (failures++ < 20) std::fprintf(stderr, "%s: %s\n", call.c_str(), what);
}

void must(cl_int status, const char* what) {
  if (status == CL_SUCCESS) return;
  std::fprintf(stderr, "%s: %d\n", what, status);
  std::exit(1);
}

const char* const source = R"(
kernel void mark(global uchar* bytes, ulong last) { bytes[0] = 3; bytes[last] = 5; }
)";

struct World {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;
  cl_kernel mark = nullptr;
  std::size_t most = 0;
  clHostMemAllocINTEL_fn host = nullptr;
  clDeviceMemAllocINTEL_fn on_device = nullptr;
  clSharedMemAllocINTEL_fn shared = nullptr;
  clMemFreeINTEL_fn free = nullptr;
  clEnqueueMemcpyINTEL_fn copy = nullptr;
  clEnqueueMemFillINTEL_fn fill = nullptr;

  World() {
    must(clGetPlatformIDs(1, &platform, nullptr), "clGetPlatformIDs");
    must(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr), "clGetDeviceIDs");
    cl_int status = CL_SUCCESS;
    context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
    must(status, "clCreateContext");
    queue = clCreateCommandQueueWithProperties(context, device, nullptr, &status);
    must(status, "clCreateCommandQueueWithProperties");
    cl_ulong size = 0;
    must(clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(size), &size, nullptr),
         "size");
    most = size;
    load(host, "clHostMemAllocINTEL");
    load(on_device, "clDeviceMemAllocINTEL");
    load(shared, "clSharedMemAllocINTEL");
    load(free, "clMemFreeINTEL");
    load(copy, "clEnqueueMemcpyINTEL");
    load(fill, "clEnqueueMemFillINTEL");
  }
  void build() {
    cl_int status = CL_SUCCESS;
    const char* text = source;
    const cl_program program = clCreateProgramWithSource(context, 1, &text, nullptr, &status);
    must(status, "clCreateProgramWithSource");
    must(clBuildProgram(program, 1, &device, nullptr, nullptr, nullptr), "clBuildProgram");
    mark = clCreateKernel(program, "mark", &status);
    must(status, "clCreateKernel");
  }

 private:
  template <typename Function>
  void load(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(clGetExtensionFunctionAddressForPlatform(platform, name));
  }
};

enum class Kind { host, device, shared, svm };
constexpr const char* names[] = {"host", "device", "shared", "svm"};

struct Call {
  Kind kind;
  std::size_t size;
  cl_bitfield flags;
  cl_uint alignment;

  [[nodiscard]] std::string text() const {
    return std::string(names[static_cast<int>(kind)]) + " size " + std::to_string(size) +
           " flags " + std::to_string(flags) + " alignment " + std::to_string(alignment);
  }
};

void* allocate(const World& world, const Call& call, cl_int& status) {
  const cl_mem_properties_intel list[] = {CL_MEM_ALLOC_FLAGS_INTEL, call.flags, 0};
  const cl_mem_properties_intel* const properties = call.flags == 0 ? nullptr : list;
  switch (call.kind) {
    case Kind::host:
      return world.host(world.context, properties, call.size, call.alignment, &status);
    case Kind::device:
      return world.on_device(world.context, world.device, properties, call.size, call.alignment,
                             &status);
    case Kind::shared:
      return world.shared(world.context, world.device, properties, call.size, call.alignment,
                          &status);
    case Kind::svm:
      break;
  }
  void* const pointer = clSVMAlloc(world.context, call.flags, call.size, call.alignment);
  status = pointer == nullptr ? CL_INVALID_VALUE : CL_SUCCESS;  // it has no status of its own
  return pointer;
}

void release(const World& world, const Call& call, void* pointer) {
  if (call.kind == Kind::svm)
    clSVMFree(world.context, pointer);
  else
    expect(world.free(world.context, pointer) == CL_SUCCESS, call.text(),
           "clMemFreeINTEL refuses it");
}

// A kernel and a copy from the very first to the very last byte.
void use(const World& world, const Call& call, void* pointer) {
  auto* const bytes = static_cast<unsigned char*>(pointer);
  const cl_ulong last = call.size - 1;
  const std::size_t one = 1;
  must(clSetKernelArgSVMPointer(world.mark, 0, pointer), "clSetKernelArgSVMPointer");
  must(clSetKernelArg(world.mark, 1, sizeof(last), &last), "clSetKernelArg");
  must(clEnqueueNDRangeKernel(world.queue, world.mark, 1, nullptr, &one, nullptr, 0, nullptr,
                              nullptr),
       "clEnqueueNDRangeKernel");
  unsigned char ends[2] = {};
  must(world.copy(world.queue, CL_TRUE, ends, bytes, 1, 0, nullptr, nullptr), "the first byte");
  must(world.copy(world.queue, CL_TRUE, ends + 1, bytes + last, 1, 0, nullptr, nullptr),
       "the last byte");
  expect(ends[1] == 5 && ends[0] == (last == 0 ? 5 : 3), call.text(), "the kernel's bytes");
  if (call.kind == Kind::device) return;
  bytes[0] = 7;
  bytes[last] = 9;
  expect(bytes[last] == 9 && bytes[0] == (last == 0 ? 9 : 7), call.text(), "the host's bytes");
}

// What documents say: the status of a call that is illegal, else CL_SUCCESS.
cl_int documented(const World& world, const Call& call) {
  const auto refused = [&](cl_int status) {
    return call.kind == Kind::svm ? CL_INVALID_VALUE : status;
  };
  if ((call.alignment & (call.alignment - 1)) != 0 || call.alignment > 2 * mib)
    return CL_INVALID_VALUE;
  if (call.kind == Kind::svm) {
    // One of the three kinds of access at most; fine grain and atomics are the driver's to give.
    if (call.flags != 0 && call.flags != CL_MEM_READ_WRITE && call.flags != CL_MEM_WRITE_ONLY &&
        call.flags != CL_MEM_READ_ONLY)
      return CL_INVALID_VALUE;
  } else {
    const cl_bitfield placement =
        CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL | CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL;
    const cl_bitfield known =
        CL_MEM_ALLOC_WRITE_COMBINED_INTEL | (call.kind == Kind::shared ? placement : 0);
    if ((call.flags & ~known) != 0 || (call.flags & placement) == placement)
      return CL_INVALID_PROPERTY;
  }
  if (call.size == 0 || call.size > world.most) return refused(CL_INVALID_BUFFER_SIZE);
  return CL_SUCCESS;
}

void make(const World& world, const Call& call, bool strict) {
  const cl_int legal = documented(world, call);
  if (legal != CL_SUCCESS && !strict) return;
  cl_int status = CL_SUCCESS;
  void* const pointer = allocate(world, call, status);
  const auto at = reinterpret_cast<std::uintptr_t>(pointer);
  const bool aligned = at % (call.alignment == 0 ? 1 : call.alignment) == 0;
  const char* const good = aligned ? "aligned" : "not aligned";
  std::printf("%s: %s\n", call.text().c_str(),
              pointer == nullptr ? std::to_string(status).c_str() : good);
  expect((pointer == nullptr) == (status != CL_SUCCESS), call.text(), "pointer and status differ");
  // Where the layer hands out memory of the driver, that may take flags of core SVM that the layer
  // would not.
  if (strict && (call.kind != Kind::svm || legal == CL_SUCCESS || pointer == nullptr))
    expect(status == legal, call.text(), "is not what is documented");
  if (pointer == nullptr) return;
  if (strict && legal == CL_SUCCESS) {
    expect(aligned, call.text(), "is not aligned");
    use(world, call, pointer);
  }
  release(world, call, pointer);
}

// Many at once: a piece that is aligned by luck, or that lies in its neighbour, shows here.
void together(const World& world, Kind kind) {
  std::vector<std::pair<Call, unsigned char*>> made;
  for (int round = 0; round < 3; ++round)
    for (cl_uint alignment = 1; alignment <= 2 * mib; alignment *= 4)
      for (const std::size_t size : {std::size_t{1}, 100 * kib}) {
        const Call call{kind, size, 0, alignment};
        cl_int status = CL_SUCCESS;
        auto* const bytes = static_cast<unsigned char*>(allocate(world, call, status));
        must(status, call.text().c_str());
        expect(reinterpret_cast<std::uintptr_t>(bytes) % alignment == 0, call.text(),
               "is not aligned among others");
        std::memset(bytes, static_cast<int>(made.size()), size);
        made.emplace_back(call, bytes);
      }
  for (std::size_t i = 0; i < made.size(); ++i) {
    const auto& [call, bytes] = made[i];
    expect(bytes[0] == i && bytes[call.size - 1] == i, call.text(), "lies in another allocation");
    release(world, call, bytes);
  }
}

// Threads make allocations in the place of those just freed: each keeps its own bytes.
void churn(const World& world) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int number = 1; number <= 4; ++number)
    threads.emplace_back([&, number] {
      for (int round = 0; round < 60; ++round) {
        const Call call{Kind::shared, 3 * mib, 0, 0};
        cl_int status = CL_SUCCESS;
        auto* const bytes = static_cast<unsigned char*>(allocate(world, call, status));
        must(status, call.text().c_str());
        const auto value = static_cast<unsigned char>(number);
        must(world.fill(world.queue, bytes, &value, 1, call.size, 0, nullptr, nullptr), "fill");
        must(clFinish(world.queue), "clFinish");
        if (bytes[0] != value || bytes[call.size - 1] != value) ++wrong;
        release(world, call, bytes);
      }
    });
  for (std::thread& thread : threads) thread.join();
  expect(wrong == 0, std::to_string(wrong), "times another thread's bytes");
}

}  // namespace

int main(int count, char** words) {
  const bool strict = count > 1 && std::strcmp(words[1], "--strict") == 0;
  World world;
  if (strict) world.build();
  for (const Kind kind : {Kind::host, Kind::device, Kind::shared, Kind::svm}) {
    if (kind != Kind::svm && world.host == nullptr) continue;
    for (std::size_t alignment = 1; alignment <= 2 * mib; alignment *= 2)
      for (const std::size_t size : {std::size_t{1}, 4 * kib, 300 * kib, 3 * mib + 1})
        make(world, {kind, size, 0, static_cast<cl_uint>(alignment)}, strict);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{4097}, world.most + 1, ~std::size_t{0}})
      make(world, {kind, size, 0, 0}, strict);
    for (const cl_uint alignment : {3U, 96U, 4095U, 4U << 20, 1U << 31, ~0U})
      make(world, {kind, 4 * kib, 0, alignment}, strict);
    for (cl_bitfield flags = 1; flags < (1U << 13); ++flags)
      if (flags < 8 || (flags & (flags - 1)) == 0)
        make(world, {kind, 4 * kib, flags, 4096}, strict);
    if (strict && kind != Kind::device) together(world, kind);
  }
  if (!strict) return 0;
  churn(world);
  std::printf("allocations: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
