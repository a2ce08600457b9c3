// Platform, device and context, and the process behind them.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "driver.hpp"

extern char** environ;

namespace coarse {

cl_icd_dispatch table{};
_cl_platform_id platform;
_cl_device_id devices[2];

namespace {

// The process is started by the first call that needs it, and ends when this one does.
struct Process {
  int socket = -1;
  int memory = -1;
  char* view = nullptr;
  std::mutex mutex;

  Process() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    memory = memfd_create("coarse device memory", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, memory_size) != 0) std::abort();
    view = static_cast<char*>(
        mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory, 0));
    if (view == MAP_FAILED) std::abort();
    socket = ends[0];
    start(ends[1]);
    close(ends[1]);
  }
  void start(int other_end) const {
    const char* const program = std::getenv("COARSE_DEVICE");
    if (program == nullptr) {
      std::fprintf(stderr, "coarse: COARSE_DEVICE does not name the device's process\n");
      std::abort();
    }
    // Descriptors 3 and 4; and drivers of its own: PoCL, without a layer.
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, other_end, 103);
    posix_spawn_file_actions_adddup2(&actions, memory, 104);
    std::vector<std::string> kept;
    for (char** one = environ; *one != nullptr; ++one)
      if (std::strncmp(*one, "OPENCL_LAYERS=", 14) != 0 &&
          std::strncmp(*one, "OCL_ICD_VENDORS=", 16) != 0 &&
          std::strncmp(*one, "LD_PRELOAD=", 11) != 0)
        kept.emplace_back(*one);
    kept.emplace_back("OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd");
    std::vector<char*> environment;
    for (std::string& one : kept) environment.push_back(one.data());
    environment.push_back(nullptr);
    std::string words[] = {program, "103", "104"};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    pid_t child = 0;
    if (posix_spawn(&child, program, &actions, nullptr, arguments, environment.data()) != 0)
      std::abort();
    posix_spawn_file_actions_destroy(&actions);
  }
};

Process& process() {
  static auto* const only = new Process;
  return *only;
}

// --- queries -------------------------------------------------------------------------------------

cl_int platform_ids(cl_uint count, cl_platform_id* found, cl_uint* count_ret) {
  if (count != 0 && found != nullptr) *found = &platform;
  if (count_ret != nullptr) *count_ret = 1;
  return CL_SUCCESS;
}

cl_int platform_info(cl_platform_id, cl_platform_info name, size_t size, void* value,
                     size_t* size_ret) {
  switch (name) {
    case CL_PLATFORM_PROFILE:
      return give(std::string("FULL_PROFILE"), size, value, size_ret);
    case CL_PLATFORM_VERSION:
      return give(std::string("OpenCL 3.0 coarse"), size, value, size_ret);
    case CL_PLATFORM_EXTENSIONS:
      return give(std::string("cl_khr_icd"), size, value, size_ret);
    case CL_PLATFORM_ICD_SUFFIX_KHR:
      return give(std::string("COARSE"), size, value, size_ret);
    case CL_PLATFORM_NAME:
    case CL_PLATFORM_VENDOR:
      return give(std::string("coarse"), size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

bool says_more() { return std::getenv("COARSE_FINE") != nullptr; }

// With their versions. The layer's own are among them with COARSE_FINE, and one that extends them.
std::vector<cl_name_version> own_extensions() {
  if (has_addresses()) return {{CL_MAKE_VERSION(1, 0, 2), "cl_ext_buffer_device_address"}};
  if (!says_more()) return {};
  return {{CL_MAKE_VERSION(1, 0, 0), "cl_intel_unified_shared_memory"},
          {CL_MAKE_VERSION(0, 1, 0), "cl_khr_unified_svm"},
          {CL_MAKE_VERSION(1, 1, 0), "cl_img_unified_svm_external_memory_dma_buf"}};
}

std::string names_of_own_extensions() {
  std::string names;
  for (const cl_name_version& one : own_extensions())
    names += (names.empty() ? "" : " ") + std::string(one.name);
  return names;
}

cl_device_type own_type() {
  return std::getenv("COARSE_TYPE") == nullptr ? CL_DEVICE_TYPE_GPU : CL_DEVICE_TYPE_CPU;
}

cl_int device_ids(cl_platform_id, cl_device_type type, cl_uint count, cl_device_id* found,
                  cl_uint* count_ret) {
  if ((type & (own_type() | CL_DEVICE_TYPE_DEFAULT)) == 0) return CL_DEVICE_NOT_FOUND;
  const cl_uint there = std::getenv("COARSE_SECOND") == nullptr ? 1 : 2;
  for (cl_uint i = 0; found != nullptr && i < std::min(count, there); ++i) found[i] = devices + i;
  if (count_ret != nullptr) *count_ret = there;
  return CL_SUCCESS;
}

bool is_second(cl_device_id which, const char* what) {
  return which == devices + 1 && second_is(what);
}

cl_int device_info(cl_device_id which, cl_device_info name, size_t size, void* value,
                   size_t* size_ret) {
  if (which != devices && which != devices + 1) return CL_INVALID_DEVICE;
  switch (name) {
    case CL_DEVICE_TYPE:
      return give(own_type(), size, value, size_ret);
    case CL_DEVICE_NAME:
    case CL_DEVICE_VENDOR:
      return give(std::string("coarse"), size, value, size_ret);
    case CL_DEVICE_VERSION:
      return give(std::string("OpenCL 3.0 coarse"), size, value, size_ret);
    case CL_DRIVER_VERSION:
      return give(std::string("1"), size, value, size_ret);
    case CL_DEVICE_EXTENSIONS:
      return give(names_of_own_extensions(), size, value, size_ret);
    case CL_DEVICE_EXTENSIONS_WITH_VERSION: {
      const std::vector<cl_name_version> all = own_extensions();
      if (all.empty()) return CL_INVALID_VALUE;
      const size_t needed = all.size() * sizeof(cl_name_version);
      if (value != nullptr && size < needed) return CL_INVALID_VALUE;
      if (value != nullptr) std::memcpy(value, all.data(), needed);
      if (size_ret != nullptr) *size_ret = needed;
      return CL_SUCCESS;
    }
    case CL_DEVICE_PLATFORM:
      return give(static_cast<cl_platform_id>(&platform), size, value, size_ret);
    case CL_DEVICE_SVM_CAPABILITIES: {
      cl_device_svm_capabilities svm = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
      if (says_more()) svm |= CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_SYSTEM;
      if (is_second(which, "shares")) svm |= CL_DEVICE_SVM_FINE_GRAIN_BUFFER;
      if (has_addresses() || is_second(which, "none")) svm = 0;
      return give(svm, size, value, size_ret);
    }
    case CL_DEVICE_IL_VERSION:
      return give(std::string("SPIR-V_1.4"), size, value, size_ret);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
      return give(static_cast<cl_ulong>(memory_size), size, value, size_ret);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
      return give(static_cast<cl_ulong>(memory_size / 2), size, value, size_ret);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
      return give(base_alignment, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_context create_context(const cl_context_properties*, cl_uint count, const cl_device_id* list,
                          void (*)(const char*, const void*, size_t, void*), void*, cl_int* error) {
  Message question;
  question.put(Ask::info);
  const cl_int status = ask(question).get<cl_int>();
  if (error != nullptr) *error = status;
  if (status != CL_SUCCESS) return nullptr;
  auto* const made = new _cl_context;
  made->devices.assign(list, list + count);
  return made;
}

cl_int context_info(cl_context context, cl_context_info name, size_t size, void* value,
                    size_t* size_ret) {
  const auto count = static_cast<cl_uint>(context->devices.size());
  if (name == CL_CONTEXT_NUM_DEVICES) return give(count, size, value, size_ret);
  if (name != CL_CONTEXT_DEVICES) return CL_INVALID_VALUE;
  const size_t needed = count * sizeof(cl_device_id);
  if (value != nullptr && size < needed) return CL_INVALID_VALUE;
  const cl_device_id whole = devices;
  const bool is_part = context->devices.size() == 1 && is_second(context->devices[0], "part");
  if (value != nullptr) std::memcpy(value, is_part ? &whole : context->devices.data(), needed);
  if (size_ret != nullptr) *size_ret = needed;
  return CL_SUCCESS;
}

void* extension(const char* name);

void* extension_for_platform(cl_platform_id, const char* name) { return extension(name); }

void fill_table() {
  table.clGetPlatformIDs = platform_ids;
  table.clGetPlatformInfo = platform_info;
  table.clGetDeviceIDs = device_ids;
  table.clGetDeviceInfo = device_info;
  table.clRetainDevice = retain<cl_device_id>;
  table.clReleaseDevice = [](cl_device_id) -> cl_int { return CL_SUCCESS; };
  table.clCreateContext = create_context;
  table.clGetContextInfo = context_info;
  table.clRetainContext = retain<cl_context>;
  table.clReleaseContext = release<cl_context>;
  table.clGetExtensionFunctionAddress = extension;
  table.clGetExtensionFunctionAddressForPlatform = extension_for_platform;
  fill_memory_table(table);
  fill_program_table(table);
  fill_queue_table(table);
  if (!has_addresses()) return;
  // Without SVM a call of it is the caller's end.
  table.clSVMAlloc = nullptr;
  table.clSVMFree = nullptr;
  table.clSetKernelArgSVMPointer = nullptr;
  table.clEnqueueSVMMemcpy = nullptr;
  table.clEnqueueSVMMemFill = nullptr;
  table.clEnqueueSVMMap = nullptr;
}

cl_int icd_platform_ids(cl_uint count, cl_platform_id* found, cl_uint* count_ret) {
  fill_table();
  return platform_ids(count, found, count_ret);
}

void* extension(const char* name) {
  if (has_addresses() && std::strcmp(name, "clSetKernelArgDevicePointerEXT") == 0)
    return device_pointer_setter();
  return std::strcmp(name, "clIcdGetPlatformIDsKHR") == 0
             ? reinterpret_cast<void*>(icd_platform_ids)
             : nullptr;
}

}  // namespace

bool second_is(const char* what) {
  const char* const second = std::getenv("COARSE_SECOND");
  return second != nullptr && std::strcmp(second, what) == 0;
}
bool has_addresses() { return std::getenv("COARSE_ADDRESSES") != nullptr; }
bool addresses_are_taken() {
  return has_addresses() && std::strcmp(std::getenv("COARSE_ADDRESSES"), "taken") == 0;
}

Message ask(const Message& question) {
  Process& behind = process();
  std::lock_guard lock(behind.mutex);
  Message answer;
  if (!question.send(behind.socket) || !answer.receive(behind.socket)) {
    std::fprintf(stderr, "coarse: the device's process is gone\n");
    std::_Exit(3);
  }
  return answer;
}

char* device_memory_view() { return process().view; }
int device_memory_file() { return process().memory; }

std::mutex& copying() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace coarse

extern "C" __attribute__((visibility("default"))) void* clGetExtensionFunctionAddress(
    const char* name) {
  return coarse::extension(name);
}
extern "C" __attribute__((visibility("default"))) cl_int
clIcdGetPlatformIDsKHR(cl_uint count, cl_platform_id* found, cl_uint* count_ret) {
  return coarse::icd_platform_ids(count, found, count_ret);
}
extern "C" __attribute__((visibility("default"))) cl_int clGetPlatformInfo(cl_platform_id which,
                                                                           cl_platform_info name,
                                                                           size_t size, void* value,
                                                                           size_t* size_ret) {
  return coarse::platform_info(which, name, size, value, size_ret);
}
