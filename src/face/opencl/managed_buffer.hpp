// ManagedBuffer: a buffer that a program made over managed memory (CL_MEM_USE_HOST_PTR), or a part
// of one.
//
// Its bytes are the allocation's, so a command that takes the buffer is a command that names those
// bytes. The handle is the driver's.
#pragma once

#include <algorithm>
#include <vector>

#include "admission.hpp"
#include "base/ranked_mutex.hpp"
#include "layer.hpp"
#include "objects.hpp"

namespace sluice::opencl {

// The places that a buffer is mapped at; one may be there several times. Thread-safe.
class Maps {
 public:
  void add(const void* place) {
    MutexLock lock(mutex_);
    places_.push_back(place);
  }
  // Takes one map back; false if there is none at this place.
  [[nodiscard]] bool take(const void* place) noexcept {
    MutexLock lock(mutex_);
    const auto found = std::find(places_.begin(), places_.end(), place);
    if (found == places_.end()) return false;
    places_.erase(found);
    return true;
  }
  [[nodiscard]] cl_uint count() const noexcept {
    MutexLock lock(mutex_);
    return static_cast<cl_uint>(places_.size());
  }

 private:
  mutable RankedMutex mutex_{LockRank::objects, "opencl maps"};
  std::vector<const void*> places_ SLUICE_GUARDED_BY(mutex_);
};

struct ManagedBuffer {
  ManagedBuffer() = default;
  ManagedBuffer(const ManagedBuffer&) = delete;
  ManagedBuffer& operator=(const ManagedBuffer&) = delete;
  ~ManagedBuffer() {
    if (parent != nullptr) driver().clReleaseMemObject(parent);
  }

  // By a command (CL_MEM_HOST_READ_ONLY, CL_MEM_HOST_WRITE_ONLY, CL_MEM_HOST_NO_ACCESS).
  [[nodiscard]] bool host_may(Access access) const noexcept;

  std::shared_ptr<Context> context;
  std::byte* pointer = nullptr;  // to its first byte
  std::size_t size = 0;
  cl_mem_flags flags = 0;
  cl_mem parent = nullptr;  // of a part: a reference
  std::size_t origin = 0;   // in the parent
  Maps maps{};
  std::atomic<std::uint32_t> references{1};
};

// Null for any other memory object. Costs a load where a program has made none.
[[nodiscard]] std::shared_ptr<ManagedBuffer> find_managed_buffer(cl_mem buffer);
// On failure null, and CL_INVALID_VALUE for flags that exclude each other, CL_INVALID_BUFFER_SIZE,
// or CL_INVALID_HOST_PTR with a line on stderr.
[[nodiscard]] cl_mem create_managed_buffer(const std::shared_ptr<Context>& context,
                                           const Allocation& allocation, cl_mem_flags flags,
                                           std::size_t size, void* pointer, cl_int& status);

// A command's use of a memory object.
struct BufferUse {
  cl_mem buffer;
  Access access;
  std::size_t offset = 0;
  std::size_t size = ~std::size_t{0};  // at most
};

// Enqueues a command by `call(event*)`, with the managed bytes of its buffers on the device.
template <typename Call>
[[nodiscard]] cl_int enqueue_with(cl_command_queue queue, std::initializer_list<BufferUse> uses,
                                  cl_uint count, const cl_event* wait_list, cl_event* event,
                                  Call&& call) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr || !known->context->moves()) return call(event);
  Admission admission(*known);
  for (const BufferUse& use : uses) {
    const auto buffer = find_managed_buffer(use.buffer);
    if (buffer == nullptr || use.offset >= buffer->size) continue;
    const auto allocation = known->context->find(buffer->pointer);
    const std::size_t size = std::min(use.size, buffer->size - use.offset);
    if (allocation)
      admission.use(*allocation, {Address::of(buffer->pointer) + use.offset, size}, use.access);
  }
  if (admission.is_empty()) return call(event);
  return enqueue_admitted(admission, queue, count, wait_list, event, call);
}

}  // namespace sluice::opencl
