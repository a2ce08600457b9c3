// The device's memory: SVM allocations, buffers with and without addresses, parts of them, and host
// memory that is pinned.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "driver.hpp"

namespace coarse {
namespace {

// --- SVM allocations -----------------------------------------------------------------------------

struct Piece {
  std::size_t size;
  std::size_t offset;
  bool host_is_newest = true;
};
std::mutex pieces_mutex;
std::map<std::uintptr_t, Piece> pieces;
std::map<std::size_t, std::size_t> used;  // of the device's memory: offset, size
std::uintptr_t next_address = std::uintptr_t{20} << 40;

// Whether the program has memory at the device's addresses.
bool has_both_sides() { return !has_addresses() || addresses_are_taken(); }

// The first gap of that size; memory_size if there is none.
std::size_t room_for(std::size_t size) {
  std::size_t offset = 0;
  for (const auto& [begin, length] : used) {
    if (begin - offset >= size) break;
    offset = begin + length;
  }
  return offset + size <= memory_size ? offset : memory_size;
}

// Where the host's side is the device's memory.
bool shares(cl_context context) {
  return second_is("shares") && context->devices == std::vector<cl_device_id>{devices + 1};
}

void* svm_alloc(cl_context context, cl_svm_mem_flags flags, size_t size, cl_uint) {
  const bool shared = shares(context);
  if ((flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0 && !shared) return nullptr;
  if ((flags & CL_MEM_SVM_ATOMICS) != 0) return nullptr;
  size = (size + 4095) / 4096 * 4096;
  std::lock_guard lock(pieces_mutex);
  const std::size_t offset = room_for(size);
  if (offset == memory_size) return nullptr;
  auto* const at = reinterpret_cast<void*>(next_address);
  constexpr int there = MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  const int kind = there | (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  if (has_both_sides() &&
      mmap(at, size, PROT_READ | PROT_WRITE, kind, shared ? device_memory_file() : -1,
           shared ? static_cast<off_t>(offset) : 0) != at)
    return nullptr;
  Message question;
  question.put(Ask::map).put(next_address).put(size).put(offset).put(!has_addresses());
  if (ask(question).get<cl_int>() != CL_SUCCESS) return nullptr;
  pieces[next_address] = {size, offset, true};
  used[offset] = size;
  next_address += size + 4096;
  return at;
}

void svm_free(cl_context, void* pointer) {
  std::lock_guard lock(pieces_mutex);
  const auto found = pieces.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == pieces.end()) return;
  const auto [size, offset, newest] = found->second;
  Message question;
  question.put(Ask::unmap).put(found->first).put(size);
  ask(question);
  static_cast<void>(newest);
  if (has_both_sides()) munmap(pointer, size);
  fallocate(device_memory_file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            static_cast<off_t>(offset), static_cast<off_t>(size));
  used.erase(offset);
  pieces.erase(found);
}

// --- buffers -------------------------------------------------------------------------------------

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

// The device's bytes of a buffer, of which the host has none that could be sent.
char* allocate_bytes(cl_context context, size_t size) {
  void* const bytes = svm_alloc(context, 0, size, 0);
  if (bytes == nullptr) return nullptr;
  std::lock_guard lock(pieces_mutex);
  pieces[reinterpret_cast<std::uintptr_t>(bytes)].host_is_newest = false;
  return static_cast<char*>(bytes);
}

cl_mem create_buffer_with_properties(cl_context context, const cl_mem_properties* properties,
                                     cl_mem_flags flags, size_t size, void* host, cl_int* error) {
  auto* const made = new _cl_mem;
  made->context = context;
  made->size = size;
  cl_int status = CL_SUCCESS;
  for (; properties != nullptr && *properties != 0; properties += 2) {
    constexpr cl_mem_properties private_address = 0x5000;  // CL_MEM_DEVICE_PRIVATE_ADDRESS_EXT
    if (properties[0] != private_address || !has_addresses()) status = CL_INVALID_PROPERTY;
    made->has_address = properties[1] != CL_FALSE;
  }
  const Stretch svm = (flags & CL_MEM_USE_HOST_PTR) != 0 ? stretch_of(host) : Stretch{};
  if (status == CL_SUCCESS && svm.size != 0) {
    made->device = static_cast<char*>(host);  // the allocation's own bytes
    made->is_over_svm = true;
    if (reinterpret_cast<std::uintptr_t>(host) + size > svm.begin + svm.size)
      status = CL_INVALID_BUFFER_SIZE;
  } else if (status == CL_SUCCESS && (flags & CL_MEM_USE_HOST_PTR) != 0) {
    made->begin = static_cast<char*>(host);
    if (!pin(*made)) status = CL_INVALID_HOST_PTR;
  } else if (status == CL_SUCCESS) {
    made->device = allocate_bytes(context, size);
    if (made->device == nullptr)
      status = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    else if ((flags & CL_MEM_COPY_HOST_PTR) != 0)
      std::memcpy(place_of(made->device), host, size);
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

cl_mem create_buffer(cl_context context, cl_mem_flags flags, size_t size, void* host,
                     cl_int* error) {
  return create_buffer_with_properties(context, nullptr, flags, size, host, error);
}

cl_mem create_part(cl_mem whole, cl_mem_flags, cl_buffer_create_type, const void* info,
                   cl_int* error) {
  const auto region = *static_cast<const cl_buffer_region*>(info);
  cl_int status = CL_SUCCESS;
  if (region.size == 0 || region.origin + region.size > whole->size) status = CL_INVALID_VALUE;
  if (region.origin % (base_alignment / 8) != 0) status = CL_MISALIGNED_SUB_BUFFER_OFFSET;
  if (error != nullptr) *error = status;
  if (status != CL_SUCCESS) return nullptr;
  auto* const made = new _cl_mem;
  made->context = whole->context;
  made->size = region.size;
  made->device = whole->device + region.origin;
  made->parent = whole;
  retain(whole);
  std::lock_guard lock(pinned_mutex);
  buffers.insert(made);
  return made;
}

cl_int buffer_info(cl_mem buffer, cl_mem_info name, size_t size, void* value, size_t* size_ret) {
  if (name != 0x5001) return CL_INVALID_VALUE;  // CL_MEM_DEVICE_ADDRESS_EXT
  if (!buffer->has_address) return CL_INVALID_OPERATION;
  return give(static_cast<cl_ulong>(reinterpret_cast<std::uintptr_t>(buffer->device)), size, value,
              size_ret);
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
  const bool ends = buffer->references == 1;
  const cl_mem parent = buffer->parent;
  if (ends && parent == nullptr && buffer->device != nullptr && !buffer->is_over_svm)
    svm_free(buffer->context, buffer->device);
  const cl_int status = release(buffer);
  return ends && parent != nullptr ? release_buffer(parent) : status;
}

// Under pieces_mutex.
auto piece_at(std::uintptr_t address) {
  auto above = pieces.upper_bound(address);
  if (above == pieces.begin()) return pieces.end();
  const auto below = --above;
  return address < below->first + below->second.size ? below : pieces.end();
}

}  // namespace

void* place_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  std::lock_guard lock(pieces_mutex);
  const auto found = piece_at(address);
  if (found == pieces.end()) return const_cast<void*>(pointer);
  return device_memory_view() + found->second.offset + (address - found->first);
}

void send_to_device(const std::vector<const void*>& pointers) {
  const char* const sends = std::getenv("COARSE_SENDS");
  if (sends == nullptr) return;
  // As a driver would, under the lock of its copies.
  std::lock_guard copies(copying());
  for (const void* one : pointers) {
    std::pair<std::uintptr_t, Piece> found;
    {
      std::lock_guard lock(pieces_mutex);
      const auto piece = piece_at(reinterpret_cast<std::uintptr_t>(one));
      if (piece == pieces.end() || !piece->second.host_is_newest) continue;
      found = *piece;
      piece->second.host_is_newest = std::strcmp(sends, "once") != 0;
    }
    if (std::strcmp(sends, "late") == 0) {
      if (found.second.size >= 16 << 20) static_cast<void>(*static_cast<const volatile char*>(one));
      continue;
    }
    std::memcpy(device_memory_view() + found.second.offset,
                reinterpret_cast<const void*>(found.first), found.second.size);
  }
}

void note_filled(const void* pointer, size_t size) {
  const char* const sends = std::getenv("COARSE_SENDS");
  std::lock_guard lock(pieces_mutex);
  const auto piece = piece_at(reinterpret_cast<std::uintptr_t>(pointer));
  if (piece == pieces.end() || sends == nullptr || std::strcmp(sends, "once") != 0) return;
  if (size + 4096 > piece->second.size) piece->second.host_is_newest = false;
}

Stretch stretch_of(const void* pointer) {
  std::lock_guard lock(pieces_mutex);
  const auto found = piece_at(reinterpret_cast<std::uintptr_t>(pointer));
  return found == pieces.end() ? Stretch{} : Stretch{found->first, found->second.size};
}

bool is_device_address(const void* pointer) {
  const auto* const at = static_cast<const char*>(pointer);
  std::lock_guard lock(pinned_mutex);
  return std::any_of(buffers.begin(), buffers.end(), [at](cl_mem buffer) {
    return buffer->has_address && at >= buffer->device && at < buffer->device + buffer->size;
  });
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

void fill_memory_table(cl_icd_dispatch& calls) {
  calls.clCreateBuffer = create_buffer;
  calls.clCreateBufferWithProperties = create_buffer_with_properties;
  calls.clCreateSubBuffer = create_part;
  calls.clGetMemObjectInfo = buffer_info;
  calls.clRetainMemObject = retain<cl_mem>;
  calls.clReleaseMemObject = release_buffer;
  calls.clSVMAlloc = svm_alloc;
  calls.clSVMFree = svm_free;
}

}  // namespace coarse
