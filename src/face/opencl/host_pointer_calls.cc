// Calls that hand the driver a host pointer, which may be managed.
//
// The driver must not touch an application view: its thread would fault, perhaps under a lock that the copy which answers the fault
// needs. So managed bytes are brought to the host and leased first, and the driver gets the alias view of them. The lease ends with
// the call, so such a call blocks until its command is done, also where the program asked for less. What it does not do: translate
// what clGet*Info writes to, wait lists, or source text in managed memory.
#include <cstring>

#include "admission.hpp"
#include "layer.hpp"
#include "os/report.hpp"

namespace sluice::opencl {
namespace {

// One managed pointer as the driver may see it, for as long as this lives.
class Lent {
 public:
  // From the pointer to the end of its allocation: calls about rectangles do not say how far they reach.
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

// --- buffers ------------------------------------------------------------------------------------------------------------

cl_int CL_API_CALL read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                               size_t offset, size_t size, void* to, cl_uint count,
                               const cl_event* wait_list, cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), to, Access::write);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueReadBuffer(queue, buffer, lent.blocking(blocking), offset, size,
                                      lent.to_write(), count, wait_list, event);
}

cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                size_t offset, size_t size, const void* from, cl_uint count,
                                const cl_event* wait_list, cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), from, Access::read);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueWriteBuffer(queue, buffer, lent.blocking(blocking), offset, size,
                                       lent.to_read(), count, wait_list, event);
}

cl_int CL_API_CALL read_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                  const size_t* origin, const size_t* host_origin,
                                  const size_t* region, size_t row, size_t slice, size_t host_row,
                                  size_t host_slice, void* to, cl_uint count,
                                  const cl_event* wait_list, cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), to, Access::write);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueReadBufferRect(queue, buffer, lent.blocking(blocking), origin,
                                          host_origin, region, row, slice, host_row, host_slice,
                                          lent.to_write(), count, wait_list, event);
}

cl_int CL_API_CALL write_rectangle(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                   const size_t* origin, const size_t* host_origin,
                                   const size_t* region, size_t row, size_t slice, size_t host_row,
                                   size_t host_slice, const void* from, cl_uint count,
                                   const cl_event* wait_list, cl_event* event) {
  const auto context = context_of(queue);
  const Lent lent(context.get(), from, Access::read);
  if (lent.status() != CL_SUCCESS) return lent.status();
  return driver().clEnqueueWriteBufferRect(queue, buffer, lent.blocking(blocking), origin,
                                           host_origin, region, row, slice, host_row, host_slice,
                                           lent.to_read(), count, wait_list, event);
}

cl_int CL_API_CALL fill_buffer(cl_command_queue queue, cl_mem buffer, const void* pattern,
                               size_t pattern_size, size_t offset, size_t size, cl_uint count,
                               const cl_event* wait_list, cl_event* event) {
  std::byte copied[sizeof(cl_long16)];
  if (pattern != nullptr && pattern_size <= sizeof(copied)) {
    std::memcpy(copied, pattern, pattern_size);
    pattern = copied;
  }
  return driver().clEnqueueFillBuffer(queue, buffer, pattern, pattern_size, offset, size, count,
                                      wait_list, event);
}

// --- images -------------------------------------------------------------------------------------------------------------

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

// --- objects made from host memory --------------------------------------------------------------------------------------

// A buffer that lives in managed memory would have to keep it on the host for ever.
cl_int refuse_use(const Lent& lent, cl_mem_flags flags) {
  if (lent.status() != CL_SUCCESS) return lent.status();
  if (!lent.is_managed() || (flags & CL_MEM_USE_HOST_PTR) == 0) return CL_SUCCESS;
  os::report("CL_MEM_USE_HOST_PTR with managed memory is refused: it moves");
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

cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t size, void* host,
                                 cl_int* error) {
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateBuffer(context, flags, size, pointer, error);
  });
}

cl_mem CL_API_CALL create_buffer_with_properties(cl_context context,
                                                 const cl_mem_properties* properties,
                                                 cl_mem_flags flags, size_t size, void* host,
                                                 cl_int* error) {
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateBufferWithProperties(context, properties, flags, size, pointer, error);
  });
}

cl_mem CL_API_CALL create_image(cl_context context, cl_mem_flags flags,
                                const cl_image_format* format, const cl_image_desc* shape,
                                void* host, cl_int* error) {
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateImage(context, flags, format, shape, pointer, error);
  });
}

cl_mem CL_API_CALL create_image_with_properties(cl_context context,
                                                const cl_mem_properties* properties,
                                                cl_mem_flags flags, const cl_image_format* format,
                                                const cl_image_desc* shape, void* host,
                                                cl_int* error) {
  return make_from(context, flags, host, error, [&](void* pointer) {
    return driver().clCreateImageWithProperties(context, properties, flags, format, shape, pointer,
                                                error);
  });
}

}  // namespace

void override_host_pointer_calls(cl_icd_dispatch& table) noexcept {
  table.clEnqueueReadBuffer = read_buffer;
  table.clEnqueueWriteBuffer = write_buffer;
  table.clEnqueueReadBufferRect = read_rectangle;
  table.clEnqueueWriteBufferRect = write_rectangle;
  table.clEnqueueFillBuffer = fill_buffer;
  table.clEnqueueReadImage = read_image;
  table.clEnqueueWriteImage = write_image;
  table.clCreateBuffer = create_buffer;
  table.clCreateImage = create_image;
  if (table.clCreateBufferWithProperties != nullptr)
    table.clCreateBufferWithProperties = create_buffer_with_properties;
  if (table.clCreateImageWithProperties != nullptr)
    table.clCreateImageWithProperties = create_image_with_properties;
}

}  // namespace sluice::opencl
