// Every error that cl_khr_unified_svm documents and that a program can provoke, each by a call that
// has nothing else wrong, and what its queries answer. Ends with 0 and "unified_svm_errors: PASS".
//
//   unified_svm_errors [without_kernels]   for drivers whose kernels do not run
//
// Cannot be provoked: CL_INVALID_OPERATION of clSetKernelExecInfo, and CL_OUT_OF_HOST_MEMORY.
#include <cstring>

#include "unified_svm.hpp"

namespace {

using unified::Properties;
using usm::failures;

int checks = 0;

void expect(cl_int have, cl_int want, const char* what) {
  ++checks;
  if (have == want) return;
  ++failures;
  std::fprintf(stderr, "%s: %d instead of %d\n", what, have, want);
}
void is(bool truth, const char* what) {
  ++checks;
  usm::expect(truth, what);
}

// Objects that do not exist.
cl_context no_context() { return reinterpret_cast<cl_context>(std::uintptr_t{64}); }
cl_device_id no_device() { return reinterpret_cast<cl_device_id>(std::uintptr_t{64}); }

cl_properties word(const void* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

cl_uint number(const std::vector<cl_bitfield>& types) { return static_cast<cl_uint>(types.size()); }

// --- lists ---------------------------------------------------------------------------------------

// Each device's list is as long as the platform's, which has what the devices have in common.
void lists(const unified::World& world) {
  cl_uint count = 0;
  MUST(clGetDeviceIDs(world.platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count));
  std::vector<cl_device_id> devices(count);
  MUST(clGetDeviceIDs(world.platform, CL_DEVICE_TYPE_ALL, count, devices.data(), nullptr));
  std::vector<cl_bitfield> common(world.of_platform.size(), ~cl_bitfield{0});
  for (cl_device_id device : devices) {
    const std::vector<cl_bitfield> types = world.types_of(device);
    is(types.size() == common.size(), "a device's list is longer or shorter than the platform's");
    for (std::size_t i = 0; i < common.size() && i < types.size(); ++i)
      if (types[i] != 0) common[i] &= types[i];
  }
  is(common == world.of_platform, "the platform's list is not what its devices have in common");
  is(!common.empty(), "the platform has no types");
  std::size_t atom = 7;
  expect(clGetDeviceInfo(world.device, unified::atom_size, sizeof(atom), &atom, nullptr),
         CL_SUCCESS, "atom size");
  is((atom & (atom - 1)) == 0, "the atom size is no power of two");
  is((atom != 0) == world.shares_at_once(), "the two extensions disagree on concurrent access");
  cl_device_svm_capabilities svm = 0;
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_SVM_CAPABILITIES, sizeof(svm), &svm, nullptr));
  constexpr cl_bitfield fine = CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_SYSTEM;
  is((svm & fine) == 0 || atom == 1, "fine grain, and not to the byte");
  cl_bitfield one = 0;
  expect(clGetDeviceInfo(world.device, unified::device_types, 4, &one, nullptr), CL_INVALID_VALUE,
         "a device's list: size");
  expect(clGetPlatformInfo(world.platform, unified::platform_types, 4, &one, nullptr),
         CL_INVALID_VALUE, "a platform's list: size");
}

void names(const unified::World& world) {
  std::string text(65536, 0);
  const auto has_it_once = [&](const char* what) {
    const std::string all = " " + std::string(text.c_str()) + " ";
    const std::size_t at = all.find(" cl_khr_unified_svm ");
    is(at != std::string::npos, what);
    is(at == std::string::npos || all.find(" cl_khr_unified_svm ", at + 1) == std::string::npos,
       what);
  };
  MUST(clGetDeviceInfo(world.device, CL_DEVICE_EXTENSIONS, text.size(), text.data(), nullptr));
  has_it_once("the device does not name the extension once");
  is(text.find("cl_img_unified_svm") == std::string::npos,
     "an extension of functions that are not the driver's any more is told of");
  MUST(
      clGetPlatformInfo(world.platform, CL_PLATFORM_EXTENSIONS, text.size(), text.data(), nullptr));
  has_it_once("the platform does not name the extension once");
  if (const auto versions = usm::versions_of(world.device, "cl_khr_unified_svm"))
    is(*versions == std::vector<cl_version>{CL_MAKE_VERSION(0, 9, 0)},
       "the list with versions does not name the extension once, as 0.9.0");
}

// --- allocating and freeing ----------------------------------------------------------------------

cl_int allocate(const unified::World& world, cl_context context, const Properties& properties,
                cl_uint type, size_t size) {
  cl_int status = 1;
  const cl_properties* const list = properties.empty() ? nullptr : properties.data();
  void* const pointer = world.svm_alloc(context, list, type, size, &status);
  is((pointer == nullptr) == (status != CL_SUCCESS || size == 0),
     "a pointer and a status that disagree");
  if (pointer != nullptr) world.release(pointer);
  return status;
}

void allocation(const unified::World& world, cl_uint type) {
  const Properties none = world.with_device(type);
  const auto with = [&](Properties more) { return world.with_device(type, std::move(more)); };
  const auto call = [&](const Properties& list, size_t size = 100) {
    return allocate(world, world.context, list, type, size);
  };
  expect(call(none), CL_SUCCESS, "a good call");
  expect(call(none, 0), CL_SUCCESS, "size zero");
  is(world.svm_alloc(world.context, none.empty() ? nullptr : none.data(), type, 0, nullptr) ==
         nullptr,
     "size zero without a status");
  for (const cl_properties one : {0, 1, 64, 128, 4096, 2 << 20})
    expect(call(with({unified::alignment, one})), CL_SUCCESS, "alignment");
  for (const cl_properties flags : {0x0, 0x1, 0x2, 0x100, 0x200, 0x303})
    expect(call(with({unified::access_flags, flags})), CL_SUCCESS, "access flags");
  expect(call({unified::access_flags, 0, unified::alignment, 0, unified::associated_device,
               word(world.device), 0}),
         CL_SUCCESS, "all properties");

  expect(allocate(world, no_context(), none, type, 100), CL_INVALID_CONTEXT, "context");
  expect(allocate(world, nullptr, none, type, 100), CL_INVALID_CONTEXT, "null context");
  expect(call(with({0x1234, 0})), CL_INVALID_PROPERTY, "a property's name");
  expect(call(with({CL_MEM_ALLOC_FLAGS_INTEL, 0})), CL_INVALID_PROPERTY,
         "a property of the other extension");
  expect(call(with({unified::alignment, 3})), CL_INVALID_PROPERTY, "alignment no power of two");
  expect(call(with({unified::alignment, 4 << 20})), CL_INVALID_PROPERTY, "alignment too large");
  expect(call(with({unified::alignment, (cl_properties{1} << 32) + 64})), CL_INVALID_PROPERTY,
         "alignment beyond 32 bits");
  expect(call(with({unified::access_flags, 1 << 2})), CL_INVALID_PROPERTY, "access flags unknown");
  expect(call(with({unified::alignment, 64, unified::alignment, 64})), CL_INVALID_PROPERTY,
         "a property twice");
  expect(call({unified::associated_device, word(no_device()), 0}), CL_INVALID_PROPERTY, "device");
  const cl_int without =
      world.can(type, unified::device_unassociated) ? CL_SUCCESS : CL_INVALID_PROPERTY;
  expect(call({}), without, "no device");
  expect(call({unified::associated_device, 0, 0}), without, "null device");
  expect(call({0}), without, "an empty list");
}

void indexes(const unified::World& world) {
  const cl_uint end = number(world.types);
  for (const cl_uint index : {end, end + 1, CL_UINT_MAX}) {
    expect(allocate(world, world.context, {}, index, 100), CL_INVALID_VALUE, "index");
    expect(allocate(world, world.context, {0x1234, 0, 0}, index, 100), CL_INVALID_PROPERTY,
           "index and property");
  }
  // A type that another device of the platform serves.
  for (cl_uint type = 0; type < end; ++type) {
    if (world.types[type] != 0) continue;
    expect(allocate(world, world.context, {}, type, 100), CL_INVALID_OPERATION,
           "a type of no device of the context");
    expect(allocate(world, world.context, {unified::associated_device, word(world.device), 0}, type,
                    100),
           CL_INVALID_OPERATION, "a type that the device does not serve");
  }
}

void freeing(const unified::World& world, cl_uint type) {
  auto* const pointer = world.allocate<char>(type, 64);
  char plain = 0;
  const cl_properties empty[] = {0};
  const cl_properties unknown[] = {unified::alignment, 64, 0};
  const auto call = [&](cl_context context, const cl_properties* list, cl_bitfield flags,
                        void* what) { return world.svm_free(context, list, flags, what); };
  expect(call(no_context(), nullptr, 0, pointer), CL_INVALID_CONTEXT, "free: context");
  expect(call(world.context, unknown, 0, pointer), CL_INVALID_PROPERTY, "free: property");
  expect(call(world.context, unknown, 1, pointer), CL_INVALID_PROPERTY, "free: property first");
  expect(call(world.context, nullptr, 1, pointer), CL_INVALID_VALUE, "free: flags");
  expect(call(world.context, nullptr, 0, pointer + 1), CL_INVALID_VALUE, "free: inside");
  expect(call(world.context, nullptr, 0, &plain), CL_INVALID_VALUE, "free: plain memory");
  expect(world.free(world.context, pointer), CL_INVALID_VALUE, "free: by the other extension");
  expect(call(world.context, empty, 0, nullptr), CL_SUCCESS, "free: null");
  expect(call(world.context, empty, 0, pointer), CL_SUCCESS, "free");
  expect(call(world.context, nullptr, 0, pointer), CL_INVALID_VALUE, "free: twice");
  void* const others = world.shared<char>(64);
  expect(call(world.context, nullptr, 0, others), CL_INVALID_VALUE, "free: the other extension's");
  MUST(world.free(world.context, others));
  void* const core = clSVMAlloc(world.context, CL_MEM_READ_WRITE, 64, 0);
  expect(call(world.context, nullptr, 0, core), CL_SUCCESS, "free: of clSVMAlloc");
}

// --- queries of pointers -------------------------------------------------------------------------

struct Answers {
  cl_uint type;
  cl_bitfield capabilities;
  cl_bitfield access;
  const void* base;
  size_t size;
  cl_device_id device;
  Properties properties;
};

void answers(const unified::World& world, const void* pointer, const Answers& want,
             const char* what) {
  for (const cl_device_id about : {static_cast<cl_device_id>(nullptr), world.device}) {
    const auto ask = [&](auto like, cl_uint name) {
      return world.answer<decltype(like)>(about, pointer, name);
    };
    is(ask(cl_uint{}, unified::info_type_index) == want.type, what);
    is(ask(cl_bitfield{}, unified::info_capabilities) == want.capabilities, what);
    is(ask(cl_bitfield{}, unified::info_access_flags) == want.access, what);
    is(ask(static_cast<void*>(nullptr), unified::info_base) == want.base, what);
    is(ask(size_t{}, unified::info_size) == want.size, what);
    is(ask(cl_device_id{}, unified::info_device) == want.device, what);
    size_t size = 1;
    MUST(
        world.svm_info(world.context, about, pointer, unified::info_properties, 0, nullptr, &size));
    Properties list(size / sizeof(cl_properties));
    MUST(world.svm_info(world.context, about, pointer, unified::info_properties, size, list.data(),
                        nullptr));
    is(list == want.properties, what);
  }
}

void asking(const unified::World& world, cl_uint type) {
  const bool needs_device = !world.can(type, unified::device_unassociated);
  const Properties few = world.with_device(type);
  const Properties many{unified::alignment,
                        64,
                        unified::associated_device,
                        word(world.device),
                        unified::access_flags,
                        0x102,
                        0};
  const cl_bitfield can = world.types[type];
  cl_int status = CL_SUCCESS;
  const auto make = [&](const Properties& list) {
    void* const made =
        world.svm_alloc(world.context, list.empty() ? nullptr : list.data(), type, 1000, &status);
    MUST(status);
    return static_cast<char*>(made);
  };
  char* const plain = make(few);
  char* const rich = make(many);
  const cl_device_id device = needs_device ? world.device : nullptr;
  for (const std::size_t at : {0, 1, 999}) {
    answers(world, plain + at, {type, can, 0, plain, 1000, device, few}, "of few properties");
    answers(world, rich + at, {type, can, 0x102, rich, 1000, world.device, many},
            "of many properties");
  }
  // The other extension does not know them.
  cl_uint usm_type = 0;
  MUST(world.info(world.context, plain, CL_MEM_ALLOC_TYPE_INTEL, sizeof(usm_type), &usm_type,
                  nullptr));
  is(usm_type == CL_MEM_TYPE_UNKNOWN_INTEL, "the other extension takes an allocation for its own");

  cl_ulong value = 0;
  const auto call = [&](cl_context context, cl_device_id about, cl_uint name, size_t size) {
    return world.svm_info(context, about, plain, name, size, &value, nullptr);
  };
  constexpr cl_uint name = unified::info_size;
  expect(call(no_context(), nullptr, name, 8), CL_INVALID_CONTEXT, "info: context");
  expect(call(world.context, no_device(), name, 8), CL_INVALID_DEVICE, "info: device");
  expect(call(world.context, nullptr, 0x9999, 8), CL_INVALID_VALUE, "info: name");
  expect(call(world.context, nullptr, name, 4), CL_INVALID_VALUE, "info: size");
  world.release(plain);
  world.release(rich);
}

void asking_about_others(const unified::World& world) {
  char plain = 0;
  const Answers nothing{CL_UINT_MAX, 0, 0, nullptr, 0, nullptr, {}};
  answers(world, &plain, nothing, "of plain memory");
  answers(world, nullptr, nothing, "of null");
  auto* const others = world.shared<char>(64);
  answers(world, others, nothing, "of the other extension");
  MUST(world.free(world.context, others));
  auto* const core = static_cast<char*>(clSVMAlloc(world.context, CL_MEM_READ_WRITE, 100, 0));
  const auto index = world.answer<cl_uint>(nullptr, core, unified::info_type_index);
  is(index < world.types.size() && world.can(index, unified::host_map), "of clSVMAlloc");
  answers(world, core + 99, {index, world.types[index], 0, core, 100, nullptr, {}},
          "of clSVMAlloc");
  clSVMFree(world.context, core);
}

// --- suggestions ---------------------------------------------------------------------------------

void suggestions(const unified::World& world) {
  cl_uint index = 0;
  const auto call = [&](cl_context context, cl_bitfield required, const Properties& list,
                        cl_uint* to) {
    return world.suggest(context, required, 0, list.empty() ? nullptr : list.data(), 4096, to);
  };
  const Properties device{unified::associated_device, word(world.device), 0};
  cl_bitfield all = 0;
  for (const cl_bitfield type : world.types) {
    if (type == 0) continue;
    all |= type;
    for (const Properties& list : {Properties{}, device}) {
      expect(call(world.context, type, list, &index), CL_SUCCESS, "suggest");
      is(index < world.types.size() && (world.types[index] & type) == type,
         "a type lacks what was required");
    }
  }
  for (int bit = 0; bit < 64; ++bit) {
    const cl_bitfield required = cl_bitfield{1} << bit;
    expect(call(world.context, required, {}, &index), CL_SUCCESS, "suggest");
    is((index != CL_UINT_MAX) == ((all & required) != 0), "a suggestion for one capability");
  }
  expect(world.suggest(world.context, 0, ~cl_bitfield{0}, nullptr, 0, &index), CL_SUCCESS,
         "suggest: desires");
  is(index < world.types.size(), "unknown desires are obeyed");
  expect(call(no_context(), 0, {}, &index), CL_INVALID_CONTEXT, "suggest: context");
  expect(call(world.context, 0, {0x1234, 0, 0}, &index), CL_INVALID_PROPERTY, "suggest: property");
  expect(call(world.context, 0, {0x1234, 0, 0}, nullptr), CL_INVALID_PROPERTY,
         "suggest: property first");
  expect(call(world.context, 0, {unified::alignment, 3, 0}, &index), CL_INVALID_PROPERTY,
         "suggest: value");
  expect(call(world.context, 0, {}, nullptr), CL_INVALID_VALUE, "suggest: nowhere");
}

// --- several devices -----------------------------------------------------------------------------

// A context of all devices may serve less than each of them alone, and then says so.
void in_one_context(const unified::World& world) {
  cl_device_id devices[8] = {};
  cl_uint count = 0;
  MUST(clGetDeviceIDs(world.platform, CL_DEVICE_TYPE_ALL, 8, devices, &count));
  cl_int status = CL_SUCCESS;
  const cl_context all = clCreateContext(nullptr, count, devices, nullptr, nullptr, &status);
  MUST(status);
  for (cl_uint type = 0; type < number(world.of_platform); ++type) {
    const cl_properties list[] = {unified::associated_device, word(devices[count - 1]), 0};
    void* const pointer = world.svm_alloc(all, list, type, 100, &status);
    if (status == CL_INVALID_OPERATION) continue;
    MUST(status);
    cl_bitfield of_last = 0;
    for (cl_uint i = 0; i < count; ++i) {
      MUST(world.svm_info(all, devices[i], pointer, unified::info_capabilities, sizeof(of_last),
                          &of_last, nullptr));
      is(of_last != 0 && (of_last & ~world.types_of(devices[i])[type]) == 0,
         "an allocation of a context has more capabilities than the device");
    }
    cl_bitfield by_default = 0;
    MUST(world.svm_info(all, nullptr, pointer, unified::info_capabilities, sizeof(by_default),
                        &by_default, nullptr));
    is(by_default == of_last, "the default is not the associated device");
    cl_uint index = CL_UINT_MAX;
    MUST(world.suggest(all, of_last, 0, list, 100, &index));
    is(index < world.of_platform.size(), "nothing is suggested for a type that there is");
    MUST(world.svm_free(all, nullptr, 0, pointer));
  }
  MUST(clReleaseContext(all));
}

// --- calls of core SVM ---------------------------------------------------------------------------

template <typename Call>
void command(const unified::World& world, cl_command_type type, const char* what, Call&& call) {
  cl_event event = nullptr;
  expect(call(&event), CL_SUCCESS, what);
  if (event == nullptr) return is(false, what);
  cl_command_type have = 0;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(have), &have, nullptr));
  expect(static_cast<cl_int>(have), static_cast<cl_int>(type), what);
  MUST(clFinish(world.queue));
  MUST(clReleaseEvent(event));
}

// No bytes at no address are nothing to do.
void nothing_to_do(const unified::World& world) {
  const cl_command_queue queue = world.queue;
  int plain = 0;
  void* const bogus = reinterpret_cast<void*>(std::uintptr_t{0xBEEF0000});
  for (void* const pointer : {static_cast<void*>(nullptr), bogus}) {
    command(world, CL_COMMAND_SVM_MEMCPY, "copy nothing to it", [&](cl_event* event) {
      return clEnqueueSVMMemcpy(queue, CL_TRUE, pointer, &plain, 0, 0, nullptr, event);
    });
    command(world, CL_COMMAND_SVM_MEMCPY, "copy nothing from it", [&](cl_event* event) {
      return clEnqueueSVMMemcpy(queue, CL_TRUE, &plain, pointer, 0, 0, nullptr, event);
    });
    command(world, CL_COMMAND_SVM_MEMFILL, "fill nothing", [&](cl_event* event) {
      return clEnqueueSVMMemFill(queue, pointer, &plain, 4, 0, 0, nullptr, event);
    });
  }
  const void* none = nullptr;
  const size_t zero = 0;
  const size_t some = 64;
  for (const size_t* const sizes : {static_cast<const size_t*>(nullptr), &zero})
    command(world, CL_COMMAND_SVM_MIGRATE_MEM, "migrate nothing", [&](cl_event* event) {
      return clEnqueueSVMMigrateMem(queue, 1, &none, sizes, 0, 0, nullptr, event);
    });
  expect(clEnqueueSVMMigrateMem(queue, 1, &none, &some, 0, 0, nullptr, nullptr), CL_INVALID_VALUE,
         "migrate bytes at null");
  expect(clEnqueueSVMMemcpy(queue, CL_TRUE, nullptr, &plain, 4, 0, nullptr, nullptr),
         CL_INVALID_VALUE, "copy bytes to null");
  expect(clEnqueueSVMMemcpy(queue, CL_TRUE, &plain, nullptr, 4, 0, nullptr, nullptr),
         CL_INVALID_VALUE, "copy bytes from null");
  expect(clEnqueueSVMMemFill(queue, nullptr, &plain, 4, 4, 0, nullptr, nullptr), CL_INVALID_VALUE,
         "fill bytes at null");
  command(world, CL_COMMAND_SVM_FREE, "free nothing", [&](cl_event* event) {
    return clEnqueueSVMFree(queue, 0, nullptr, nullptr, nullptr, 0, nullptr, event);
  });
  void* null = nullptr;
  command(world, CL_COMMAND_SVM_FREE, "free null", [&](cl_event* event) {
    return clEnqueueSVMFree(queue, 1, &null, nullptr, nullptr, 0, nullptr, event);
  });
}

void maps(const unified::World& world, cl_uint type) {
  auto* const pointer = world.allocate<char>(type, 4096);
  const cl_int want = world.can(type, unified::host_map) ? CL_SUCCESS : CL_INVALID_VALUE;
  expect(clEnqueueSVMMap(world.queue, CL_TRUE, CL_MAP_WRITE, pointer + 8, 64, 0, nullptr, nullptr),
         want, "map");
  expect(clEnqueueSVMUnmap(world.queue, pointer + 8, 0, nullptr, nullptr), want, "unmap");
  MUST(clFinish(world.queue));
  world.release(pointer);
}

// Any pointer is accepted; it need not mean anything.
void kernels(const unified::World& world) {
  const cl_kernel kernel = world.kernel("kernel void k(global int* p, int n) { p[0] = n; }", "k");
  const void* const bogus = reinterpret_cast<void*>(std::uintptr_t{0xDEADBEEF});
  for (const void* const pointer : {static_cast<const void*>(nullptr), bogus}) {
    expect(clSetKernelArgSVMPointer(kernel, 0, pointer), CL_SUCCESS, "argument");
    expect(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(pointer), &pointer),
           CL_SUCCESS, "list");
  }
  expect(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, 0, nullptr), CL_SUCCESS,
         "an empty list");
  const cl_bool on = CL_TRUE;
  const cl_bool off = CL_FALSE;
  const auto flag = [&](size_t size, const void* value) {
    return clSetKernelExecInfo(kernel, unified::indirect_access, size, value);
  };
  expect(flag(sizeof(on), &on), CL_SUCCESS, "the flag");
  expect(flag(sizeof(off), &off), CL_SUCCESS, "the flag, taken back");
  expect(flag(1, &on), CL_INVALID_VALUE, "the flag: size");
  expect(flag(sizeof(on), nullptr), CL_INVALID_VALUE, "the flag: null");
  clReleaseKernel(kernel);
}

}  // namespace

int main(int count, char** words) {
  const bool with_kernels = count < 2 || std::strcmp(words[1], "without_kernels") != 0;
  const unified::World world;
  names(world);
  lists(world);
  indexes(world);
  for (cl_uint type = 0; type < world.types.size(); ++type) {
    if (world.types[type] == 0) continue;
    allocation(world, type);
    freeing(world, type);
    asking(world, type);
    maps(world, type);
  }
  asking_about_others(world);
  suggestions(world);
  in_one_context(world);
  nothing_to_do(world);
  if (with_kernels) kernels(world);
  std::printf("unified_svm_errors: %d checks, %d wrong: %s\n", checks, failures,
              failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
