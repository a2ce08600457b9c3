// Every error that the extension documents and that a program can provoke, each by a call that has
// nothing else wrong; and what the queries answer. Ends with 0 and "errors: PASS".
//
// Cannot be provoked: CL_INVALID_OPERATION (every device has all kinds of allocations below the
// layer), CL_OUT_OF_HOST_MEMORY, and CL_OUT_OF_RESOURCES but by allocating. CL_INVALID_ARG_VALUE
// can be where a device has buffers only, and nowhere else: since version 1.1.0 of the extension
// any pointer is a valid argument.
#include <cstdint>
#include <cstring>

#include "usm.hpp"

namespace {

int failures = 0;
int checks = 0;

void expect(cl_int have, cl_int want, const char* what) {
  ++checks;
  if (have == want) return;
  ++failures;
  std::fprintf(stderr, "%s: %d instead of %d\n", what, have, want);
}

// Objects that do not exist.
cl_context no_context() { return reinterpret_cast<cl_context>(std::uintptr_t{64}); }
cl_device_id no_device() { return reinterpret_cast<cl_device_id>(std::uintptr_t{64}); }
cl_command_queue no_queue() { return reinterpret_cast<cl_command_queue>(std::uintptr_t{64}); }
cl_kernel no_kernel() { return reinterpret_cast<cl_kernel>(std::uintptr_t{64}); }

using Properties = std::vector<cl_mem_properties_intel>;

// One of the three functions, called in one way.
struct AllocationCall {
  const usm::World& world;
  char which;  // h, d, s

  cl_int operator()(cl_context context, cl_device_id device, const Properties& properties,
                    size_t size, cl_uint alignment) const {
    cl_int status = CL_SUCCESS;
    void* pointer = nullptr;
    const cl_mem_properties_intel* const list = properties.empty() ? nullptr : properties.data();
    if (which == 'h') pointer = world.host_alloc(context, list, size, alignment, &status);
    if (which == 'd') pointer = world.device_alloc(context, device, list, size, alignment, &status);
    if (which == 's') pointer = world.shared_alloc(context, device, list, size, alignment, &status);
    if ((pointer == nullptr) == (status == CL_SUCCESS)) status = 1;  // says one thing, does another
    if (pointer != nullptr && world.free(context, pointer) != CL_SUCCESS) status = 2;
    return status;
  }
};

void allocation(const usm::World& world, char which) {
  const AllocationCall call{world, which};
  const cl_context context = world.context;
  const cl_device_id device = world.device;
  const Properties wc{CL_MEM_ALLOC_FLAGS_INTEL, CL_MEM_ALLOC_WRITE_COMBINED_INTEL, 0};
  cl_ulong most = 0;
  MUST(clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most, nullptr));

  expect(call(context, device, {}, 100, 0), CL_SUCCESS, "a good call");
  expect(call(context, device, wc, 100, 2 << 20), CL_SUCCESS, "flags and the largest alignment");
  expect(call(no_context(), device, {}, 100, 0), CL_INVALID_CONTEXT, "context");
  expect(call(nullptr, device, {}, 100, 0), CL_INVALID_CONTEXT, "null context");
  expect(call(context, device, {}, 100, 3), CL_INVALID_VALUE, "alignment no power of two");
  expect(call(context, device, {}, 100, 4 << 20), CL_INVALID_VALUE, "alignment too large");
  expect(call(context, device, {}, 0, 0), CL_INVALID_BUFFER_SIZE, "size zero");
  expect(call(context, device, {}, most + 1, 0), CL_INVALID_BUFFER_SIZE, "size too large");
  expect(call(context, device, {0x1234, 0, 0}, 100, 0), CL_INVALID_PROPERTY, "property's name");
  expect(call(context, device, {CL_MEM_ALLOC_FLAGS_INTEL, 1 << 20, 0}, 100, 0), CL_INVALID_PROPERTY,
         "property's value");
  expect(
      call(context, device, {CL_MEM_ALLOC_FLAGS_INTEL, 1, CL_MEM_ALLOC_FLAGS_INTEL, 1, 0}, 100, 0),
      CL_INVALID_PROPERTY, "property twice");
  const cl_mem_properties_intel on_device = CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL;
  const cl_mem_properties_intel on_host = CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL;
  const cl_int placed = which == 's' ? CL_SUCCESS : CL_INVALID_PROPERTY;
  expect(call(context, device, {CL_MEM_ALLOC_FLAGS_INTEL, on_device, 0}, 100, 0), placed,
         "placement on the device");
  expect(call(context, device, {CL_MEM_ALLOC_FLAGS_INTEL, on_host, 0}, 100, 0), placed,
         "placement on the host");
  expect(call(context, device, {CL_MEM_ALLOC_FLAGS_INTEL, on_device | on_host, 0}, 100, 0),
         CL_INVALID_PROPERTY, "both placements");
  if (which == 'h') return;
  expect(call(context, no_device(), {}, 100, 0), CL_INVALID_DEVICE, "device");
  expect(call(context, nullptr, {}, 100, 0), which == 'd' ? CL_INVALID_DEVICE : CL_SUCCESS,
         "no device");
  if (which == 'd') return;
  expect(call(context, nullptr, {}, most + 1, 0), CL_INVALID_BUFFER_SIZE,
         "no device: size too large");
  expect(call(context, nullptr, {}, 100, 4 << 20), CL_INVALID_VALUE,
         "no device: alignment too large");
}

// The largest size, four times where the device's memory is not larger than that: a device may have
// it, and says what is documented if not. Where there is more, the second would show nothing new,
// and a driver that fills its buffers (rusticl) takes half a minute for all of them.
void exhausting(const usm::World& world) {
  cl_ulong most = 0;
  cl_ulong all = 0;
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most, nullptr));
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(all), &all, nullptr));
  std::vector<void*> taken;
  for (int i = 0; i < (all / 4 <= most ? 4 : 1); ++i) {
    cl_int status = CL_SUCCESS;
    void* const pointer =
        world.device_alloc(world.context, world.device, nullptr, most / 64 * 64, 0, &status);
    if (pointer != nullptr) {
      expect(status, CL_SUCCESS, "a large allocation");
      taken.push_back(pointer);
    } else {
      expect(status == CL_OUT_OF_HOST_MEMORY ? CL_OUT_OF_RESOURCES : status, CL_OUT_OF_RESOURCES,
             "no room");
    }
  }
  for (void* pointer : taken) MUST(world.free(world.context, pointer));
}

void freeing(const usm::World& world) {
  auto* const pointer = world.shared<char>(64);
  char plain = 0;
  for (const auto call : {world.free, world.blocking_free}) {
    expect(call(no_context(), pointer), CL_INVALID_CONTEXT, "free: context");
    expect(call(world.context, pointer + 1), CL_INVALID_VALUE, "free: inside an allocation");
    expect(call(world.context, &plain), CL_INVALID_VALUE, "free: plain memory");
    expect(call(world.context, nullptr), CL_SUCCESS, "free: null");
  }
  expect(world.blocking_free(world.context, pointer), CL_SUCCESS, "blocking free");
  expect(world.free(world.context, pointer), CL_INVALID_VALUE, "free: twice");
}

template <typename T>
T answer(const usm::World& world, const void* pointer, cl_mem_info_intel name) {
  T value{};
  size_t size = 0;
  MUST(world.info(world.context, pointer, name, sizeof(value), &value, &size));
  expect(static_cast<cl_int>(size), sizeof(T), "size of an answer");
  return value;
}

void asking(const usm::World& world) {
  cl_int status = CL_SUCCESS;
  char plain = 0;
  cl_ulong value = 0;
  size_t size = 0;
  auto* const shared = world.shared<char>(1000);
  const auto call = [&](cl_context context, cl_mem_info_intel name, size_t given, void* to) {
    return world.info(context, shared, name, given, to, &size);
  };
  expect(call(no_context(), CL_MEM_ALLOC_TYPE_INTEL, 8, &value), CL_INVALID_CONTEXT,
         "info: context");
  expect(call(world.context, 0x9999, 8, &value), CL_INVALID_VALUE, "info: name");
  expect(call(world.context, CL_MEM_ALLOC_BASE_PTR_INTEL, 4, &value), CL_INVALID_VALUE,
         "info: size");
  expect(call(world.context, CL_MEM_ALLOC_BASE_PTR_INTEL, 0, nullptr), CL_SUCCESS,
         "info: size only");

  void* const host = world.host_alloc(world.context, nullptr, 100, 0, &status);
  MUST(status);
  void* const device = world.device_alloc(world.context, world.device, nullptr, 100, 0, &status);
  MUST(status);
  const struct {
    const void* pointer;
    const void* base;
    cl_uint type;
    size_t size;
    cl_device_id device;
  } wanted[] = {{shared, shared, CL_MEM_TYPE_SHARED_INTEL, 1000, world.device},
                {shared + 999, shared, CL_MEM_TYPE_SHARED_INTEL, 1000, world.device},
                {host, host, CL_MEM_TYPE_HOST_INTEL, 100, nullptr},
                {device, device, CL_MEM_TYPE_DEVICE_INTEL, 100, world.device},
                {&plain, nullptr, CL_MEM_TYPE_UNKNOWN_INTEL, 0, nullptr}};
  for (const auto& want : wanted) {
    const auto is = [&](bool truth, const char* what) { expect(truth ? 0 : 1, 0, what); };
    const void* const p = want.pointer;
    is(answer<cl_uint>(world, p, CL_MEM_ALLOC_TYPE_INTEL) == want.type, "type");
    is(answer<const void*>(world, p, CL_MEM_ALLOC_BASE_PTR_INTEL) == want.base, "base");
    is(answer<size_t>(world, p, CL_MEM_ALLOC_SIZE_INTEL) == want.size, "size");
    is(answer<cl_device_id>(world, p, CL_MEM_ALLOC_DEVICE_INTEL) == want.device, "device");
    is(answer<cl_mem_alloc_flags_intel>(world, p, CL_MEM_ALLOC_FLAGS_INTEL) == 0, "flags");
  }
  for (void* one : {static_cast<void*>(shared), host, device}) MUST(world.free(world.context, one));
}

void kernels(const usm::World& world) {
  const cl_kernel kernel = world.kernel("kernel void k(global int* p, int n) { p[0] = n; }", "k");
  auto* const pointer = world.shared<int>(4);
  expect(world.set_pointer(no_kernel(), 0, pointer), CL_INVALID_KERNEL, "argument: kernel");
  expect(world.set_pointer(kernel, 2, pointer), CL_INVALID_ARG_INDEX, "argument: index");
  expect(world.set_pointer(kernel, 0, pointer), CL_SUCCESS, "argument");
  expect(world.set_pointer(kernel, 0, nullptr), CL_SUCCESS, "argument: null");
  static char plain[64];
  expect(world.set_pointer(kernel, 0, plain), CL_SUCCESS, "argument: plain memory");
  const cl_int odd = world.set_pointer(kernel, 0, pointer + 1);
  expect(odd == CL_INVALID_ARG_VALUE ? CL_SUCCESS : odd, CL_SUCCESS, "argument: an odd address");
  expect(world.set_pointer(kernel, 0, pointer), CL_SUCCESS, "argument, again");
  const cl_bool yes = CL_TRUE;
  for (const cl_kernel_exec_info name : {CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL,
                                         CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL}) {
    expect(clSetKernelExecInfo(kernel, name, sizeof(yes), &yes), CL_SUCCESS, "indirect");
    expect(clSetKernelExecInfo(no_kernel(), name, sizeof(yes), &yes), CL_INVALID_KERNEL,
           "indirect: kernel");
    expect(clSetKernelExecInfo(kernel, name, 1, &yes), CL_INVALID_VALUE, "indirect: size");
    expect(clSetKernelExecInfo(kernel, name, sizeof(yes), nullptr), CL_INVALID_VALUE,
           "indirect: null");
  }
  const void* list[] = {pointer};
  expect(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, sizeof(list), list),
         CL_SUCCESS, "pointers");
  expect(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, 3, list), CL_INVALID_VALUE,
         "pointers: size");
  expect(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, sizeof(list), nullptr),
         CL_INVALID_VALUE, "pointers: null");
  MUST(world.free(world.context, pointer));
  clReleaseKernel(kernel);
}

// A wait list of another context.
struct Foreign {
  cl_context context;
  cl_event event;
  explicit Foreign(cl_device_id device) {
    cl_int status = CL_SUCCESS;
    context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
    MUST(status);
    event = clCreateUserEvent(context, &status);
    MUST(status);
    MUST(clSetUserEventStatus(event, CL_COMPLETE));
  }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;
  ~Foreign() {
    clReleaseEvent(event);
    clReleaseContext(context);
  }
};

// Queue and wait list are checked alike by all commands.
template <typename Call>
void command(const usm::World& world, const Foreign& foreign, cl_command_type type, Call&& call) {
  cl_event event = nullptr;
  expect(call(no_queue(), 0, nullptr, nullptr), CL_INVALID_COMMAND_QUEUE, "command: queue");
  expect(call(world.queue, 1, nullptr, nullptr), CL_INVALID_EVENT_WAIT_LIST, "command: no list");
  expect(call(world.queue, 0, &foreign.event, nullptr), CL_INVALID_EVENT_WAIT_LIST,
         "command: empty list");
  expect(call(world.queue, 1, &foreign.event, nullptr), CL_INVALID_CONTEXT,
         "command: foreign event");
  cl_event null = nullptr;
  expect(call(world.queue, 1, &null, nullptr), CL_INVALID_EVENT_WAIT_LIST, "command: null event");
  expect(call(world.queue, 0, nullptr, &event), CL_SUCCESS, "command");
  cl_command_type have = 0;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(have), &have, nullptr));
  expect(static_cast<cl_int>(have), static_cast<cl_int>(type), "command: type");
  cl_command_queue queue = nullptr;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_QUEUE, sizeof(queue), &queue, nullptr));
  expect(queue == world.queue ? 0 : 1, 0, "command: the event's queue");
  expect(call(world.queue, 1, &event, nullptr), CL_SUCCESS, "command: waits for an event");
  MUST(clFinish(world.queue));
  MUST(clReleaseEvent(event));
}

void commands(const usm::World& world) {
  const Foreign foreign(world.device);
  auto* const to = world.shared<char>(4096);
  auto* const from = world.shared<char>(4096);
  const cl_uint pattern = 7;
  command(world, foreign, CL_COMMAND_MEMFILL_INTEL,
          [&](cl_command_queue q, cl_uint n, const cl_event* list, cl_event* event) {
            return world.fill(q, to, &pattern, 4, 64, n, list, event);
          });
  command(world, foreign, CL_COMMAND_MEMFILL_INTEL,
          [&](cl_command_queue q, cl_uint n, const cl_event* list, cl_event* event) {
            return world.set(q, to, 5, 64, n, list, event);
          });
  command(world, foreign, CL_COMMAND_MEMCPY_INTEL,
          [&](cl_command_queue q, cl_uint n, const cl_event* list, cl_event* event) {
            return world.copy(q, CL_FALSE, to, from, 64, n, list, event);
          });
  command(world, foreign, CL_COMMAND_MIGRATEMEM_INTEL,
          [&](cl_command_queue q, cl_uint n, const cl_event* list, cl_event* event) {
            return world.migrate(q, to, 64, 0, n, list, event);
          });
  command(world, foreign, CL_COMMAND_MEMADVISE_INTEL,
          [&](cl_command_queue q, cl_uint n, const cl_event* list, cl_event* event) {
            return world.advise(q, to, 64, 0x4208, n, list, event);
          });

  const auto fill = [&](void* p, const void* what, size_t length, size_t size) {
    return world.fill(world.queue, p, what, length, size, 0, nullptr, nullptr);
  };
  expect(fill(nullptr, &pattern, 4, 64), CL_INVALID_VALUE, "fill: null");
  expect(fill(to + 2, &pattern, 4, 64), CL_INVALID_VALUE, "fill: alignment");
  expect(fill(to, nullptr, 4, 64), CL_INVALID_VALUE, "fill: null pattern");
  expect(fill(to, &pattern, 3, 63), CL_INVALID_VALUE, "fill: pattern's size");
  expect(fill(to, &pattern, 0, 64), CL_INVALID_VALUE, "fill: no pattern");
  expect(fill(to, &pattern, 256, 256), CL_INVALID_VALUE, "fill: pattern too large");
  expect(fill(to, &pattern, 4, 63), CL_INVALID_VALUE, "fill: size");

  const auto copy = [&](void* a, const void* b, size_t size) {
    return world.copy(world.queue, CL_TRUE, a, b, size, 0, nullptr, nullptr);
  };
  expect(copy(nullptr, from, 64), CL_INVALID_VALUE, "copy: to null");
  expect(copy(to, nullptr, 64), CL_INVALID_VALUE, "copy: from null");
  expect(copy(to, to + 32, 64), CL_MEM_COPY_OVERLAP, "copy: overlap");
  expect(copy(to, to + 64, 64), CL_SUCCESS, "copy: neighbours");
  cl_int status = CL_SUCCESS;
  const cl_event failed = clCreateUserEvent(world.context, &status);
  MUST(status);
  MUST(clSetUserEventStatus(failed, -1));
  expect(world.copy(world.queue, CL_TRUE, to, from, 64, 1, &failed, nullptr),
         CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "copy: a failed event");
  MUST(clReleaseEvent(failed));

  const auto advise = [&](cl_mem_advice_intel advice) {
    return world.advise(world.queue, to, 64, advice, 0, nullptr, nullptr);
  };
  expect(advise(0), CL_SUCCESS, "advise: nothing");
  expect(advise(0x420F), CL_SUCCESS, "advise: the last of the reserved values");
  expect(advise(0x4210), CL_INVALID_VALUE, "advise: beyond them");
  expect(advise(1), CL_INVALID_VALUE, "advise: before them");

  expect(world.migrate(world.queue, to, 64, 1 << 10, 0, nullptr, nullptr), CL_INVALID_VALUE,
         "migrate: flags");
  expect(world.migrate(world.queue, to, 64, CL_MIGRATE_MEM_OBJECT_HOST, 0, nullptr, nullptr),
         CL_SUCCESS, "migrate: to the host");
  clFinish(world.queue);
  MUST(world.free(world.context, to));
  MUST(world.free(world.context, from));
}

void queries(const usm::World& world) {
  for (const cl_device_info name :
       {CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL, CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL,
        CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL,
        CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL,
        CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL}) {
    cl_ulong can = ~cl_ulong{0};
    expect(clGetDeviceInfo(world.device, name, sizeof(can), &can, nullptr), CL_SUCCESS,
           "capability");
    const bool system = name == CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL;
    if (!system) expect(static_cast<cl_int>(can & 1), 1, "access");
    expect(clGetDeviceInfo(world.device, name, 4, &can, nullptr), CL_INVALID_VALUE,
           "capability: size");
  }
  std::string text(65536, 0);
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_EXTENSIONS, text.size(), text.data(), nullptr));
  expect(std::strstr(text.c_str(), "cl_intel_unified_shared_memory") != nullptr ? 0 : 1, 0,
         "device");
  MUST(
      clGetPlatformInfo(world.platform, CL_PLATFORM_EXTENSIONS, text.size(), text.data(), nullptr));
  expect(std::strstr(text.c_str(), "cl_intel_unified_shared_memory") != nullptr ? 0 : 1, 0,
         "platform");
  expect(
      clGetExtensionFunctionAddressForPlatform(world.platform, "clNoSuchFunctionINTEL") == nullptr
          ? 0
          : 1,
      0, "an unknown function");
}

}  // namespace

int main() {
  const usm::World world;
  for (const char which : {'h', 'd', 's'}) allocation(world, which);
  exhausting(world);
  freeing(world);
  asking(world);
  kernels(world);
  commands(world);
  queries(world);
  std::printf("errors: %d checks, %d wrong: %s\n", checks, failures,
              failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
