// Platform, device and context, and the process behind them.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "driver.hpp"

extern char** environ;

namespace coarse {

cl_icd_dispatch table{};
_cl_platform_id platform;
_cl_device_id device;

namespace {

constexpr std::size_t memory_size = std::size_t{4} << 30;

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

// --- SVM allocations ----------------------------------------------------------------------------------------------------

struct Piece {
  std::size_t size;
  std::size_t offset;
};
std::mutex pieces_mutex;
std::map<std::uintptr_t, Piece> pieces;
std::uintptr_t next_address = std::uintptr_t{20} << 40;
std::size_t next_offset = 0;

void* svm_alloc(cl_context, cl_svm_mem_flags flags, size_t size, cl_uint) {
  if ((flags & (CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS)) != 0) return nullptr;
  size = (size + 4095) / 4096 * 4096;
  std::lock_guard lock(pieces_mutex);
  if (next_offset + size > memory_size) return nullptr;
  void* const at = mmap(reinterpret_cast<void*>(next_address), size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != reinterpret_cast<void*>(next_address)) return nullptr;
  Message question;
  question.put(Ask::map).put(next_address).put(size).put(next_offset);
  if (ask(question).get<cl_int>() != CL_SUCCESS) return nullptr;
  pieces[next_address] = {size, next_offset};
  next_address += size + 4096;
  next_offset += size;
  return at;
}

void svm_free(cl_context, void* pointer) {
  std::lock_guard lock(pieces_mutex);
  const auto found = pieces.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == pieces.end()) return;
  Message question;
  question.put(Ask::unmap).put(found->first).put(found->second.size);
  ask(question);
  munmap(pointer, found->second.size);
  pieces.erase(found);
}

// --- buffers ------------------------------------------------------------------------------------------------------------

std::mutex pinned_mutex;
std::map<std::uintptr_t, _cl_mem*> pinned;

bool is_mapped(const _cl_mem& memory) {
  return msync(memory.begin, memory.size, MS_ASYNC) == 0;  // ENOMEM: part of it is not
}

// Over host memory: refused where part of it is not mapped, or pinned already.
bool pin(_cl_mem& buffer) {
  const auto begin = reinterpret_cast<std::uintptr_t>(buffer.begin);
  std::lock_guard lock(pinned_mutex);
  const auto above = pinned.lower_bound(begin + buffer.size);
  if (above != pinned.begin()) {
    const _cl_mem& below = *std::prev(above)->second;
    if (below.begin + below.size > buffer.begin) return false;
  }
  if (!is_mapped(buffer)) return false;
  pinned[begin] = &buffer;
  return true;
}

std::set<cl_mem> buffers;  // under pinned_mutex

cl_mem create_buffer(cl_context context, cl_mem_flags flags, size_t size, void* host,
                     cl_int* error) {
  auto* const made = new _cl_mem;
  made->context = context;
  made->size = size;
  made->begin = static_cast<char*>(host);
  cl_int status = CL_SUCCESS;
  if (host != nullptr) {
    if ((flags & CL_MEM_USE_HOST_PTR) == 0 || !pin(*made)) status = CL_INVALID_HOST_PTR;
  } else if ((made->device = svm_alloc(context, 0, size, 0)) == nullptr) {
    status = CL_MEM_OBJECT_ALLOCATION_FAILURE;
  }
  if (error != nullptr) *error = status;
  if (status != CL_SUCCESS) {
    delete made;
    return nullptr;
  }
  std::lock_guard lock(pinned_mutex);
  buffers.insert(made);
  return made;
}

// A device may write to what is pinned until it is told, so the memory must still be there then.
cl_int release_buffer(cl_mem buffer) {
  if (buffer->references == 1) {
    std::lock_guard lock(pinned_mutex);
    if (buffer->begin != nullptr && !is_mapped(*buffer)) {
      std::fprintf(stderr, "coarse: %p was unmapped while it was pinned\n",
                   static_cast<void*>(buffer->begin));
      std::_Exit(3);
    }
    pinned.erase(reinterpret_cast<std::uintptr_t>(buffer->begin));
    buffers.erase(buffer);
  }
  if (buffer->references == 1 && buffer->device != nullptr)
    svm_free(buffer->context, buffer->device);
  return release(buffer);
}

// --- queries ------------------------------------------------------------------------------------------------------------

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

cl_int device_ids(cl_platform_id, cl_device_type type, cl_uint count, cl_device_id* found,
                  cl_uint* count_ret) {
  if ((type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_DEFAULT)) == 0) return CL_DEVICE_NOT_FOUND;
  if (count != 0 && found != nullptr) *found = &device;
  if (count_ret != nullptr) *count_ret = 1;
  return CL_SUCCESS;
}

cl_int device_info(cl_device_id which, cl_device_info name, size_t size, void* value,
                   size_t* size_ret) {
  if (which != &device) return CL_INVALID_DEVICE;
  switch (name) {
    case CL_DEVICE_TYPE:
      return give(cl_device_type{CL_DEVICE_TYPE_GPU}, size, value, size_ret);
    case CL_DEVICE_NAME:
    case CL_DEVICE_VENDOR:
      return give(std::string("coarse"), size, value, size_ret);
    case CL_DEVICE_VERSION:
      return give(std::string("OpenCL 3.0 coarse"), size, value, size_ret);
    case CL_DRIVER_VERSION:
      return give(std::string("1"), size, value, size_ret);
    case CL_DEVICE_EXTENSIONS:
      return give(std::string(), size, value, size_ret);
    case CL_DEVICE_PLATFORM:
      return give(static_cast<cl_platform_id>(&platform), size, value, size_ret);
    case CL_DEVICE_SVM_CAPABILITIES:
      return give(cl_device_svm_capabilities{CL_DEVICE_SVM_COARSE_GRAIN_BUFFER}, size, value,
                  size_ret);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
      return give(static_cast<cl_ulong>(memory_size), size, value, size_ret);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
      return give(static_cast<cl_ulong>(memory_size / 2), size, value, size_ret);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
      return give(cl_uint{1024}, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_context create_context(const cl_context_properties*, cl_uint, const cl_device_id*,
                          void (*)(const char*, const void*, size_t, void*), void*, cl_int* error) {
  Message question;
  question.put(Ask::info);
  const cl_int status = ask(question).get<cl_int>();
  if (error != nullptr) *error = status;
  return status == CL_SUCCESS ? new _cl_context : nullptr;
}

cl_int context_info(cl_context, cl_context_info name, size_t size, void* value, size_t* size_ret) {
  if (name == CL_CONTEXT_DEVICES)
    return give(static_cast<cl_device_id>(&device), size, value, size_ret);
  return name == CL_CONTEXT_NUM_DEVICES ? give(cl_uint{1}, size, value, size_ret)
                                        : CL_INVALID_VALUE;
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
  table.clCreateBuffer = create_buffer;
  table.clRetainMemObject = retain<cl_mem>;
  table.clReleaseMemObject = release_buffer;
  table.clSVMAlloc = svm_alloc;
  table.clSVMFree = svm_free;
  fill_program_table(table);
  fill_queue_table(table);
}

cl_int icd_platform_ids(cl_uint count, cl_platform_id* found, cl_uint* count_ret) {
  fill_table();
  return platform_ids(count, found, count_ret);
}

void* extension(const char* name) {
  return std::strcmp(name, "clIcdGetPlatformIDsKHR") == 0
             ? reinterpret_cast<void*>(icd_platform_ids)
             : nullptr;
}

}  // namespace

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

void* place_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  std::lock_guard lock(pieces_mutex);
  auto above = pieces.upper_bound(address);
  if (above != pieces.begin()) {
    const auto& [begin, piece] = *--above;
    if (address < begin + piece.size) return process().view + piece.offset + (address - begin);
  }
  return const_cast<void*>(pointer);
}

void* device_bytes(cl_mem buffer) {
  std::lock_guard lock(pinned_mutex);
  return buffers.count(buffer) == 0 ? nullptr : buffer->device;
}

size_t pinned_together(const void* pointer, size_t size) {
  const auto* const begin = static_cast<const char*>(pointer);
  std::lock_guard lock(pinned_mutex);
  const auto above = pinned.upper_bound(reinterpret_cast<std::uintptr_t>(begin));
  const char* end = begin + size;
  if (above != pinned.begin()) {
    const _cl_mem& below = *std::prev(above)->second;
    if (begin < below.begin + below.size)
      return std::min<size_t>(size, below.begin + below.size - begin);
  }
  if (above != pinned.end()) end = std::min<const char*>(end, above->second->begin);
  return end - begin;
}

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
