// Calls that hand the driver a host pointer, which may be managed.
//
// The driver must not touch an application view: its thread would fault, perhaps under a lock that
// the copy which answers the fault needs. So managed bytes are moved to the host and leased first,
// and the driver gets the alias view of them. The lease ends with the call, so such a call blocks
// until its command is done, even if the program asked for a non-blocking one. A read or write
// between a buffer over managed memory and its own bytes moves nothing: its turn in the queue is
// all that is left of it (OpenCL 3.0, "clEnqueueReadBuffer"). What it does not do:
// translate results of clGet*Info, wait lists, or source text in managed memory.
#include <cstring>

#include "admission.hpp"
#include "entries.hpp"
#include "extension.hpp"
#include "layer.hpp"
#include "managed_buffer.hpp"
#include "os/report.hpp"

namespace sluice::opencl {
namespace {

// One managed pointer as the driver may see it, for as long as this lives.
class Lent {
 public:
  // From the pointer to the end of its allocation: calls about rectangles do not say how far they
  // reach.
  Lent(const Context* context, const void* pointer, Access access) : pointer_(pointer) {
    if (context == nullptr || pointer == nullptr || !context->moves()) return;
    const auto found = context->find(pointer);
    if (!found) return;
    arena_ = found->arena;
    if (arena_ == nullptr) {
      os::report("a command is refused: %p is a device address, where the host has nothing",
                 pointer);
      status_ = CL_INVALID_VALUE;
      return;
    }
    const Address begin = Address::of(pointer);
    const auto lease =
        arena_->engine().lease({begin, found->span().end() - begin}, Location::host(), access);
    if (!lease) {
      os::report("a command is refused: %s", lease.error().detail().data());
      status_ = status_of(lease.error());
      return;
    }
    lease_ = *lease;
    pointer_ = arena_->alias(begin);
  }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  ~Lent() {
    if (lease_.value != 0) arena_->engine().end_lease(lease_);
  }

  [[nodiscard]] cl_int status() const noexcept { return status_; }
  [[nodiscard]] bool is_managed() const noexcept { return lease_.value != 0; }
  // `wanted`, or blocking where bytes are lent.
  [[nodiscard]] cl_bool blocking(cl_bool wanted) const noexcept {
    return is_managed() ? CL_TRUE : wanted;
  }
  [[nodiscard]] const void* to_read() const noexcept { return pointer_; }
  [[nodiscard]] void* to_write() const noexcept { return const_cast<void*>(pointer_); }

 private:
  const void* pointer_;
  Arena* arena_ = nullptr;
  engine::LeaseId lease_;
  cl_int status_ = CL_SUCCESS;
};

std::shared_ptr<Context> context_of(cl_command_queue queue) {
  const auto known = objects().queues.find(queue);
  return known == nullptr ? nullptr : known->context;
}

// --- buffers -------------------------------------------------------------------------------------

bool lies_in(const ManagedBuffer& buffer, size_t offset, size_t size) {
  return offset <= buffer.size && size <= buffer.size - offset;
}

cl_int CL_API_CALL read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                               size_t offset, size_t size, void* to, cl_uint count,
                               const cl_event* wait_list, cl_event* event) {
  constexpr cl_command_type type = CL_COMMAND_READ_BUFFER;
  const auto known = objects().queues.find(queue);
  if (const auto managed = find_managed_buffer(buffer); managed != nullptr && known != nullptr) {
    if (!managed->host_may(Access::read)) return CL_INVALID_OPERATION;
    if (to == nullptr || !lies_in(*managed, offset, size)) return CL_INVALID_VALUE;
    const std::byte* const from = managed->pointer + offset;
    if (to == from) return take_turn(queue, blocking, count, wait_list, event, type);
    return copy(*known, queue, blocking, to, from, size, count, wait_list, event, type);
  }
  const Lent lent(known == nullptr ? nullptr : known->context.get(), to, Access::write);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueReadBuffer(queue, buffer, lent.blocking(blocking), offset, size,
                                      lent.to_write(), count, wait_list, event);
}

cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                size_t offset, size_t size, const void* from, cl_uint count,
                                const cl_event* wait_list, cl_event* event) {
  constexpr cl_command_type type = CL_COMMAND_WRITE_BUFFER;
  const auto known = objects().queues.find(queue);
  if (const auto managed = find_managed_buffer(buffer); managed != nullptr && known != nullptr) {
    if (!managed->host_may(Access::write)) return CL_INVALID_OPERATION;
    if (from == nullptr || !lies_in(*managed, offset, size)) return CL_INVALID_VALUE;
    std::byte* const to = managed->pointer + offset;
    if (to == from) return take_turn(queue, blocking, count, wait_list, event, type);
    return copy(*known, queue, blocking, to, from, size, count, wait_list, event, type);
  }
  const Lent lent(known == nullptr ? nullptr : known->context.get(), from, Access::read);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueWriteBuffer(queue, buffer, lent.blocking(blocking), offset, size,
                                       lent.to_read(), count, wait_list, event);
}

// One side of a rectangle's copy. Pitches of 0 are those of the region.
class Rectangle {
 public:
  Rectangle(const void* base, const size_t* origin, const size_t* region, size_t row, size_t slice)
      : region_(region),
        row_(row == 0 ? region[0] : row),
        slice_(slice == 0 ? region[1] * row_ : slice),
        begin_(Address::of(base) + (origin[0] + origin[1] * row_ + origin[2] * slice_)) {}

  [[nodiscard]] bool is(const Rectangle& other) const noexcept {
    return begin_ == other.begin_ && (region_[1] == 1 || row_ == other.row_) &&
           (region_[2] == 1 || slice_ == other.slice_);
  }
  [[nodiscard]] bool lies_in(const ManagedBuffer& buffer) const noexcept {
    const Address end = begin_ + ((region_[2] - 1) * slice_ + (region_[1] - 1) * row_ + region_[0]);
    return end <= Address::of(buffer.pointer) + buffer.size;
  }

 private:
  const size_t* region_;
  size_t row_;
  size_t slice_;
  Address begin_;
};

struct RectangleCopy {
  const size_t* origin;
  const size_t* host_origin;
  const size_t* region;
  size_t row;
  size_t slice;
  size_t host_row;
  size_t host_slice;
  const void* host;

  // The host's bytes are the buffer's own.
  [[nodiscard]] bool is_in_place(const ManagedBuffer& buffer) const {
    if (origin == nullptr || host_origin == nullptr || region == nullptr || host == nullptr ||
        region[0] * region[1] * region[2] == 0)
      return false;
    const Rectangle inside(buffer.pointer, origin, region, row, slice);
    return inside.is({host, host_origin, region, host_row, host_slice}) && inside.lies_in(buffer);
  }
};

// Lent bytes cannot be on the device, and may share pages with those of a buffer over managed
// memory.
cl_int refuse_both(const Lent& lent, cl_mem buffer) {
  if (lent.status() != CL_SUCCESS) return lent.status();
  if (!lent.is_managed() || find_managed_buffer(buffer) == nullptr) return CL_SUCCESS;
  os::report("a rectangle between a buffer over managed memory and managed memory is refused");
  return CL_INVALID_VALUE;
}

cl_int CL_API_CALL read_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                  const size_t* origin, const size_t* host_origin,
                                  const size_t* region, size_t row, size_t slice, size_t host_row,
                                  size_t host_slice, void* to, cl_uint count,
                                  const cl_event* wait_list, cl_event* event) {
  const auto managed = find_managed_buffer(buffer);
  if (managed != nullptr && !managed->host_may(Access::read)) return CL_INVALID_OPERATION;
  const RectangleCopy copy{origin, host_origin, region, row, slice, host_row, host_slice, to};
  if (managed != nullptr && copy.is_in_place(*managed))
    return take_turn(queue, blocking, count, wait_list, event, CL_COMMAND_READ_BUFFER_RECT);
  const auto context = context_of(queue);
  const Lent lent(context.get(), to, Access::write);
  if (const cl_int refused = refuse_both(lent, buffer); refused != CL_SUCCESS) return refused;
  return enqueue_with(queue, {{buffer, Access::read}}, count, wait_list, event, [&](cl_event* own) {
    return driver().clEnqueueReadBufferRect(queue, buffer, lent.blocking(blocking), origin,
                                            host_origin, region, row, slice, host_row, host_slice,
                                            lent.to_write(), count, wait_list, own);
  });
}

cl_int CL_API_CALL write_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                   const size_t* origin, const size_t* host_origin,
                                   const size_t* region, size_t row, size_t slice, size_t host_row,
                                   size_t host_slice, const void* from, cl_uint count,
                                   const cl_event* wait_list, cl_event* event) {
  const auto managed = find_managed_buffer(buffer);
  if (managed != nullptr && !managed->host_may(Access::write)) return CL_INVALID_OPERATION;
  const RectangleCopy copy{origin, host_origin, region, row, slice, host_row, host_slice, from};
  if (managed != nullptr && copy.is_in_place(*managed))
    return take_turn(queue, blocking, count, wait_list, event, CL_COMMAND_WRITE_BUFFER_RECT);
  const auto context = context_of(queue);
  const Lent lent(context.get(), from, Access::read);
  if (const cl_int refused = refuse_both(lent, buffer); refused != CL_SUCCESS) return refused;
  return enqueue_with(
      queue, {{buffer, Access::write}}, count, wait_list, event, [&](cl_event* own) {
        return driver().clEnqueueWriteBufferRect(queue, buffer, lent.blocking(blocking), origin,
                                                 host_origin, region, row, slice, host_row,
                                                 host_slice, lent.to_read(), count, wait_list, own);
      });
}

cl_int CL_API_CALL fill_buffer(cl_command_queue queue, cl_mem buffer, const void* pattern,
                               size_t pattern_size, size_t offset, size_t size, cl_uint count,
                               const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (const auto managed = find_managed_buffer(buffer); managed != nullptr && known != nullptr) {
    if (!lies_in(*managed, offset, size)) return CL_INVALID_VALUE;
    return fill(*known, queue, managed->pointer + offset, pattern, pattern_size, size, count,
                wait_list, event, CL_COMMAND_FILL_BUFFER);
  }
  std::byte copied[sizeof(cl_long16)];
  if (pattern != nullptr && pattern_size <= sizeof(copied)) {
    std::memcpy(copied, pattern, pattern_size);
    pattern = copied;
  }
  return driver().clEnqueueFillBuffer(queue, buffer, pattern, pattern_size, offset, size, count,
                                      wait_list, event);
}

// --- images --------------------------------------------------------------------------------------

cl_int CL_API_CALL read_image(cl_command_queue queue, cl_mem image, cl_bool blocking,
                              const size_t* origin, const size_t* region, size_t row, size_t slice,
                              void* to, cl_uint count, const cl_event* wait_list, cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), to, Access::write);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueReadImage(queue, image, lent.blocking(blocking), origin, region, row,
                                     slice, lent.to_write(), count, wait_list, event);
}

cl_int CL_API_CALL write_image(cl_command_queue queue, cl_mem image, cl_bool blocking,
                               const size_t* origin, const size_t* region, size_t row, size_t slice,
                               const void* from, cl_uint count, const cl_event* wait_list,
                               cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), from, Access::read);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueWriteImage(queue, image, lent.blocking(blocking), origin, region, row,
                                      slice, lent.to_read(), count, wait_list, event);
}

// --- objects made from host memory ---------------------------------------------------------------

// An image that lives in managed memory would have to keep it on the host forever.
cl_int refuse_use(const Lent& lent, cl_mem_flags flags) {
  if (lent.status() != CL_SUCCESS) return lent.status();
  if (!lent.is_managed() || (flags & CL_MEM_USE_HOST_PTR) == 0) return CL_SUCCESS;
  os::report("CL_MEM_USE_HOST_PTR with managed memory is refused for images: it moves");
  return CL_INVALID_HOST_PTR;
}

// `make(host pointer)` is the driver's call.
template <typename Make>
cl_mem make_from(cl_context handle, cl_mem_flags flags, const void* pointer, cl_int* error,
                 Make&& make) {
  const auto context = objects().contexts.find(handle);
  const Lent lent(context.get(), pointer, Access::read);
  const cl_int refused = refuse_use(lent, flags);
  if (refused == CL_SUCCESS) return make(lent.to_write());
  if (error != nullptr) *error = refused;
  return nullptr;
}

// `make(host pointer)` is the driver's call. A buffer may live in managed memory, and moves with
// it.
template <typename Make>
cl_mem make_buffer(cl_context handle, cl_mem_flags flags, size_t size, void* host, cl_int* error,
                   Make&& make) {
  const auto context = objects().contexts.find(handle);
  if ((flags & CL_MEM_USE_HOST_PTR) != 0 && context != nullptr && context->moves()) {
    const auto allocation = context->find(host);
    if (allocation && allocation->arena != nullptr) {
      cl_int status = CL_SUCCESS;
      const cl_mem made = create_managed_buffer(context, *allocation, flags, size, host, status);
      if (error != nullptr) *error = status;
      return made;
    }
  }
  return make_from(handle, flags, host, error, make);
}

cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t size, void* host,
                                 cl_int* error) {
  return make_buffer(context, flags, size, host, error, [&](void* pointer) {
    return driver().clCreateBuffer(context, flags, size, pointer, error);
  });
}

cl_mem CL_API_CALL create_buffer_with_properties(cl_context context,
                                                 const cl_mem_properties* properties,
                                                 cl_mem_flags flags, size_t size, void* host,
                                                 cl_int* error) {
  return make_buffer(context, flags, size, host, error, [&](void* pointer) {
    return driver().clCreateBufferWithProperties(context, properties, flags, size, pointer, error);
  });
}

// Commands that take the image would not move the bytes of the buffer that it is made of.
bool is_of_managed_buffer(const cl_image_desc* shape, cl_int* error) {
  if (shape == nullptr || find_managed_buffer(shape->buffer) == nullptr) return false;
  os::report("an image of a buffer over managed memory is refused");
  if (error != nullptr) *error = CL_INVALID_IMAGE_DESCRIPTOR;
  return true;
}

cl_mem CL_API_CALL create_image(cl_context context, cl_mem_flags flags,
                                const cl_image_format* format, const cl_image_desc* shape,
                                void* host, cl_int* error) {
  if (is_of_managed_buffer(shape, error)) return nullptr;
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateImage(context, flags, format, shape, pointer, error);
  });
}

cl_mem CL_API_CALL create_image_with_properties(cl_context context,
                                                const cl_mem_properties* properties,
                                                cl_mem_flags flags, const cl_image_format* format,
                                                const cl_image_desc* shape, void* host,
                                                cl_int* error) {
  if (is_of_managed_buffer(shape, error)) return nullptr;
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateImageWithProperties(context, properties, flags, format, shape, pointer,
                                                error);
  });
}

}  // namespace

void override_host_pointer_calls(Entries& entries) noexcept {
  entries.set<read_buffer>(&cl_icd_dispatch::clEnqueueReadBuffer);
  entries.set<write_buffer>(&cl_icd_dispatch::clEnqueueWriteBuffer);
  entries.set<read_rectangle>(&cl_icd_dispatch::clEnqueueReadBufferRect);
  entries.set<write_rectangle>(&cl_icd_dispatch::clEnqueueWriteBufferRect);
  entries.set<fill_buffer>(&cl_icd_dispatch::clEnqueueFillBuffer);
  entries.set<read_image>(&cl_icd_dispatch::clEnqueueReadImage);
  entries.set<write_image>(&cl_icd_dispatch::clEnqueueWriteImage);
  entries.set<create_buffer>(&cl_icd_dispatch::clCreateBuffer);
  entries.set<create_image>(&cl_icd_dispatch::clCreateImage);
  entries.set_if_there<create_buffer_with_properties>(
      &cl_icd_dispatch::clCreateBufferWithProperties);
  entries.set_if_there<create_image_with_properties>(&cl_icd_dispatch::clCreateImageWithProperties);
}

}  // namespace sluice::opencl
