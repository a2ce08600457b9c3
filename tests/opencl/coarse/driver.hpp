// An OpenCL driver with coarse-grain SVM and nothing finer, for machines without such hardware.
// What it has: contexts, in-order queues, programs from source and of SPIR-V, kernels, SVM, buffers
// and events; no images. A buffer over host memory pins it, and does nothing else; one over SVM has
// its bytes. Kernels run in a process of their own, whose memory at an SVM pointer is the device's;
// the program's side of the same pointer is plain memory that only maps and copies keep equal.
//
// With COARSE_TYPE=cpu it calls itself a CPU, as one in another machine would. With COARSE_FINE=1
// it says that its SVM is fine-grained, system memory too, which it is not, and names the extensions
// that the layer has. With COARSE_SENDS=once it counts the host's side of an allocation as newest,
// and sends all of it to the device before the first command that uses it, unless that fills all of
// it; with COARSE_SENDS=always before each; with COARSE_SENDS=late it only reads a byte of the
// host's side before each, of allocations of 16 MiB or more, which no trial has.
//
// With COARSE_SECOND=svm there are two devices, which share the memory; with COARSE_SECOND=none the
// second says that it has no SVM; with COARSE_SECOND=shares it has the host's memory, and SVM that
// is fine-grained, in contexts of its own. With COARSE_SECOND=part the second counts as a part of
// the first: as PoCL does, the driver reports a context of it as one of the first.
//
// With COARSE_ADDRESSES=1 it has no SVM but cl_ext_buffer_device_address: the program has nothing
// at a device's address, no call takes one for a host pointer, and a kernel reaches those buffers
// only that are its arguments or that the driver was told of. With COARSE_ADDRESSES=taken the
// program does have something there.
#pragma once

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_icd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protocol.hpp"

namespace coarse {

extern cl_icd_dispatch table;

// One answer of the device's process. Thread-safe; a device that is gone ends the program, which no
// test survives in silence.
Message ask(const Message& question);
// Where a byte is for a copy: in the device's memory if the pointer is SVM, else where it points.
void* place_of(const void* pointer);
// Before a command that uses these pointers: sends what the device lacks of their allocations
// (COARSE_SENDS).
void send_to_device(const std::vector<const void*>& pointers);
// A command that fills all of an allocation leaves nothing to send.
void note_filled(const void* pointer, size_t size);
// Copies and fills are made one at a time, under a lock of the driver's.
std::mutex& copying();

// COARSE_SECOND is this.
bool second_is(const char* what);

// cl_ext_buffer_device_address instead of SVM; `taken`: where the program has memory.
bool has_addresses();
bool addresses_are_taken();
constexpr cl_kernel_exec_info device_pointers_info = 0x5002;  // CL_KERNEL_EXEC_INFO_DEVICE_PTRS_EXT
void* device_pointer_setter();                                // clSetKernelArgDevicePointerEXT

// How many of `size` bytes lie in one pinned piece of host memory, or in none.
size_t pinned_together(const void* pointer, size_t size);

// The device's bytes of a buffer; null if the handle is none.
void* device_bytes(cl_mem buffer);
// Whether a buffer with a device address is there.
bool is_device_address(const void* pointer);
// The device's memory around a pointer of the device; nothing if there is none.
Stretch stretch_of(const void* pointer);

// Its whole memory as the driver sees it, and the file that it is.
constexpr std::size_t memory_size = std::size_t{4} << 30;
constexpr cl_uint base_alignment = 1024;  // of buffers, in bits
char* device_memory_view();
int device_memory_file();

void fill_memory_table(cl_icd_dispatch& calls);
void fill_program_table(cl_icd_dispatch& calls);
void fill_queue_table(cl_icd_dispatch& calls);

template <typename T>
cl_int give(const T& from, size_t size, void* value, size_t* size_ret) {
  if (value != nullptr && size < sizeof(T)) return CL_INVALID_VALUE;
  if (value != nullptr) std::memcpy(value, &from, sizeof(T));
  if (size_ret != nullptr) *size_ret = sizeof(T);
  return CL_SUCCESS;
}
inline cl_int give(const std::string& from, size_t size, void* value, size_t* size_ret) {
  if (value != nullptr && size < from.size() + 1) return CL_INVALID_VALUE;
  if (value != nullptr) std::memcpy(value, from.c_str(), from.size() + 1);
  if (size_ret != nullptr) *size_ret = from.size() + 1;
  return CL_SUCCESS;
}

// What every object of OpenCL's begins with, and its references.
struct Object {
  const cl_icd_dispatch* dispatch = &table;
  std::atomic<int> references{1};
};
template <typename Handle>
cl_int retain(Handle handle) {
  ++handle->references;
  return CL_SUCCESS;
}
template <typename Handle>
cl_int release(Handle handle) {
  if (--handle->references == 0) delete handle;
  return CL_SUCCESS;
}

// Enqueues work for the queue's thread. `event` may be null.
cl_int enqueue(cl_command_queue queue, cl_command_type type, cl_uint count, const cl_event* list,
               cl_event* event, std::function<cl_int()> work);

}  // namespace coarse

struct _cl_platform_id : coarse::Object {};
struct _cl_device_id : coarse::Object {};
struct _cl_context : coarse::Object {
  std::vector<cl_device_id> devices;
};
struct _cl_event : coarse::Object {
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;
  cl_command_type type = 0;
  std::mutex mutex;
  std::condition_variable changed;
  cl_int status = CL_QUEUED;
  std::vector<std::function<void(cl_int)>> callbacks;

  void complete(cl_int with);
  cl_int wait();
};
struct _cl_mem : coarse::Object {
  cl_context context = nullptr;
  char* begin = nullptr;   // of what it pins
  char* device = nullptr;  // where the device's bytes are; none of what is pinned
  size_t size = 0;
  bool has_address = false;  // that programs may know
  bool is_over_svm = false;  // its bytes are an allocation's
  cl_mem parent = nullptr;   // of a part of a buffer
};
struct _cl_program : coarse::Object {
  cl_context context = nullptr;
  std::string source;
  std::string il;
  std::string
      built;  // what the SPIR-V was compiled from; of any program that was compiled, to be linked
  std::string log;
  std::map<cl_device_id, std::string> options;  // that it was last built with
  std::uint64_t number = 0;
};
struct _cl_kernel : coarse::Object {
  cl_program program = nullptr;
  std::string name;
  std::uint64_t number = 0;
  std::vector<cl_kernel_arg_type_qualifier> qualifiers;
  std::vector<std::pair<bool, std::string>> arguments;  // is a pointer; bytes
  std::vector<bool> was_pointer;
  std::vector<const void*> followed;  // device addresses besides the arguments
  std::vector<bool> spoilt;           // was set as a pointer, and later otherwise
  ~_cl_kernel() { coarse::release(program); }
};

namespace coarse {
extern _cl_platform_id platform;
extern _cl_device_id devices[2];
}  // namespace coarse
