// Buffers over managed memory, and the calls that take any buffer.
//
// Where a range has a buffer of the driver's, such a buffer is a part of that one. Over SVM the
// driver makes it, from its own pointer: a trial has shown that a kernel then uses the device's
// bytes and that the host's side is left alone (svm_trial.cc). A map returns the pointer itself,
// because host accesses fault pages in. Costs a look-up for each buffer that a command takes, once
// a program has made one. What it does not do: images that share the bytes of such a buffer, or
// images over managed memory. Cites: OpenCL 3.0, clCreateBuffer.
#include "managed_buffer.hpp"

#include <algorithm>
#include <bit>

#include "entries.hpp"
#include "events.hpp"
#include "extension.hpp"
#include "info.hpp"
#include "os/report.hpp"
#include "svm_trial.hpp"

namespace sluice::opencl {
namespace {

// Never destroyed: threads may outlive main().
Table<cl_mem, ManagedBuffer>& buffers() noexcept {
  static auto* const only = new Table<cl_mem, ManagedBuffer>;
  return *only;
}
std::atomic<bool> any_made{false};

constexpr cl_mem_flags kernel_flags = CL_MEM_READ_WRITE | CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY;
constexpr cl_mem_flags host_flags =
    CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
constexpr cl_mem_flags host_pointer_flags =
    CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR;

bool exclude_each_other(cl_mem_flags flags) noexcept {
  return std::popcount(flags & kernel_flags) > 1 || std::popcount(flags & host_flags) > 1 ||
         std::popcount(flags & host_pointer_flags) > 1;
}

// "clCreateSubBuffer": a part has no more access than the whole.
bool widen(cl_mem_flags whole, cl_mem_flags part) noexcept {
  const auto both = [&](cl_mem_flags has, cl_mem_flags wants) {
    return (whole & has) != 0 && (part & wants) != 0;
  };
  return both(CL_MEM_WRITE_ONLY, CL_MEM_READ_WRITE | CL_MEM_READ_ONLY) ||
         both(CL_MEM_READ_ONLY, CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY) ||
         both(CL_MEM_HOST_WRITE_ONLY, CL_MEM_HOST_READ_ONLY) ||
         both(CL_MEM_HOST_READ_ONLY, CL_MEM_HOST_WRITE_ONLY) ||
         both(CL_MEM_HOST_NO_ACCESS, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY);
}

// Those that a part does not name are the whole's.
cl_mem_flags flags_of_part(cl_mem_flags whole, cl_mem_flags part) noexcept {
  const auto of = [&](cl_mem_flags group) {
    return (part & group) != 0 ? part & group : whole & group;
  };
  return of(kernel_flags) | of(host_flags) | CL_MEM_USE_HOST_PTR;
}

// The driver's: a part of the range's buffer, or made from SVM.
cl_mem make(const Context& context, const Allocation& allocation, cl_mem_flags flags,
            std::size_t size, void* pointer, cl_int& status) {
  if (!context.has_buffers()) {
    for (cl_device_id device : context.devices())
      if (!try_svm(device).buffers_work) return nullptr;
    return driver().clCreateBuffer(context.handle(), flags, size, pointer, &status);
  }
  const device::opencl::BufferPlace place = allocation.buffers->find(Address::of(pointer));
  if (place.buffer == nullptr) return nullptr;
  const cl_buffer_region region{place.offset_in_whole, size};
  return driver().clCreateSubBuffer(place.whole, flags & (kernel_flags | host_flags),
                                    CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
}

void note(cl_mem made, std::shared_ptr<ManagedBuffer> buffer) {
  any_made = true;
  buffers().insert(made, std::move(buffer));
}

// --- parts, references, queries ------------------------------------------------------------------

cl_mem CL_API_CALL create_part(cl_mem whole, cl_mem_flags flags, cl_buffer_create_type type,
                               const void* info, cl_int* error) {
  const auto known = find_managed_buffer(whole);
  if (known == nullptr || info == nullptr || type != CL_BUFFER_CREATE_TYPE_REGION)
    return driver().clCreateSubBuffer(whole, flags, type, info, error);
  const auto region = *static_cast<const cl_buffer_region*>(info);
  cl_int status = CL_SUCCESS;
  cl_mem made = nullptr;
  const auto allocation = known->context->find(known->pointer);
  const cl_mem_flags part_flags = flags_of_part(known->flags, flags);
  if (known->parent != nullptr)
    status = CL_INVALID_MEM_OBJECT;
  else if ((flags & host_pointer_flags) != 0 || exclude_each_other(flags) ||
           widen(known->flags, flags))
    status = CL_INVALID_VALUE;
  else if (region.origin > known->size || region.size > known->size - region.origin)
    status = CL_INVALID_VALUE;
  else if (region.size == 0)
    status = CL_INVALID_BUFFER_SIZE;
  else if (known->context->has_buffers() && allocation)
    // The driver supports no parts of parts.
    made = make(*known->context, *allocation, part_flags, region.size,
                known->pointer + region.origin, status);
  else
    made = driver().clCreateSubBuffer(whole, flags, type, info, &status);
  if (made == nullptr && status == CL_SUCCESS) status = CL_INVALID_MEM_OBJECT;
  if (error != nullptr) *error = status;
  if (made == nullptr) return nullptr;
  auto part = std::make_shared<ManagedBuffer>();
  part->context = known->context;
  part->pointer = known->pointer + region.origin;
  part->size = region.size;
  part->flags = part_flags;
  part->parent = whole;
  part->origin = region.origin;
  driver().clRetainMemObject(whole);
  note(made, std::move(part));
  return made;
}

cl_int CL_API_CALL retain(cl_mem buffer) {
  if (const auto known = find_managed_buffer(buffer)) ++known->references;
  return driver().clRetainMemObject(buffer);
}

cl_int CL_API_CALL release(cl_mem buffer) {
  const auto known = find_managed_buffer(buffer);
  if (known != nullptr && --known->references == 0) buffers().erase(buffer);
  return driver().clReleaseMemObject(buffer);
}

cl_int CL_API_CALL memory_info(cl_mem buffer, cl_mem_info name, size_t size, void* value,
                               size_t* size_ret) {
  const auto known = find_managed_buffer(buffer);
  if (known == nullptr) return driver().clGetMemObjectInfo(buffer, name, size, value, size_ret);
  switch (name) {
    case CL_MEM_FLAGS:
      return give(known->flags, size, value, size_ret);
    case CL_MEM_SIZE:
      return give(known->size, size, value, size_ret);
    case CL_MEM_HOST_PTR:
      return give(static_cast<void*>(known->pointer), size, value, size_ret);
    case CL_MEM_ASSOCIATED_MEMOBJECT:
      return give(known->parent, size, value, size_ret);
    case CL_MEM_OFFSET:
      return give(known->origin, size, value, size_ret);
    case CL_MEM_MAP_COUNT:
      return give(known->maps.count(), size, value, size_ret);
    case CL_MEM_USES_SVM_POINTER:
      return give(cl_bool{CL_TRUE}, size, value, size_ret);
    default:
      return driver().clGetMemObjectInfo(buffer, name, size, value, size_ret);
  }
}

// --- commands ------------------------------------------------------------------------------------

cl_int CL_API_CALL copy_buffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset,
                               size_t to_offset, size_t size, cl_uint count,
                               const cl_event* wait_list, cl_event* event) {
  return enqueue_with(
      queue, {{from, Access::read, from_offset, size}, {to, Access::write, to_offset, size}}, count,
      wait_list, event, [&](cl_event* own) {
        return driver().clEnqueueCopyBuffer(queue, from, to, from_offset, to_offset, size, count,
                                            wait_list, own);
      });
}

cl_int CL_API_CALL copy_rectangle(cl_command_queue queue, cl_mem from, cl_mem to,
                                  const size_t* from_origin, const size_t* to_origin,
                                  const size_t* region, size_t from_row, size_t from_slice,
                                  size_t to_row, size_t to_slice, cl_uint count,
                                  const cl_event* wait_list, cl_event* event) {
  return enqueue_with(queue, {{from, Access::read}, {to, Access::write}}, count, wait_list, event,
                      [&](cl_event* own) {
                        return driver().clEnqueueCopyBufferRect(
                            queue, from, to, from_origin, to_origin, region, from_row, from_slice,
                            to_row, to_slice, count, wait_list, own);
                      });
}

cl_int CL_API_CALL copy_to_image(cl_command_queue queue, cl_mem from, cl_mem to, size_t offset,
                                 const size_t* origin, const size_t* region, cl_uint count,
                                 const cl_event* wait_list, cl_event* event) {
  return enqueue_with(queue, {{from, Access::read}}, count, wait_list, event, [&](cl_event* own) {
    return driver().clEnqueueCopyBufferToImage(queue, from, to, offset, origin, region, count,
                                               wait_list, own);
  });
}

cl_int CL_API_CALL copy_from_image(cl_command_queue queue, cl_mem from, cl_mem to,
                                   const size_t* origin, const size_t* region, size_t offset,
                                   cl_uint count, const cl_event* wait_list, cl_event* event) {
  return enqueue_with(queue, {{to, Access::write}}, count, wait_list, event, [&](cl_event* own) {
    return driver().clEnqueueCopyImageToBuffer(queue, from, to, origin, region, offset, count,
                                               wait_list, own);
  });
}

void* CL_API_CALL map_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                             cl_map_flags flags, size_t offset, size_t size, cl_uint count,
                             const cl_event* wait_list, cl_event* event, cl_int* error) {
  const auto known = find_managed_buffer(buffer);
  if (known == nullptr)
    return driver().clEnqueueMapBuffer(queue, buffer, blocking, flags, offset, size, count,
                                       wait_list, event, error);
  constexpr cl_map_flags writes = CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION;
  cl_int status = CL_INVALID_VALUE;
  if (((flags & CL_MAP_READ) != 0 && !known->host_may(Access::read)) ||
      ((flags & writes) != 0 && !known->host_may(Access::write)))
    status = CL_INVALID_OPERATION;
  else if (size != 0 && offset <= known->size && size <= known->size - offset)
    status = take_turn(queue, blocking, count, wait_list, event, CL_COMMAND_MAP_BUFFER);
  if (error != nullptr) *error = status;
  if (status != CL_SUCCESS) return nullptr;
  known->maps.add(known->pointer + offset);
  return known->pointer + offset;
}

cl_int CL_API_CALL unmap(cl_command_queue queue, cl_mem buffer, void* mapped, cl_uint count,
                         const cl_event* wait_list, cl_event* event) {
  const auto known = find_managed_buffer(buffer);
  if (known == nullptr)
    return driver().clEnqueueUnmapMemObject(queue, buffer, mapped, count, wait_list, event);
  if (!known->maps.take(mapped)) return CL_INVALID_VALUE;
  const cl_int status =
      enqueue_nothing(queue, count, wait_list, event, CL_COMMAND_UNMAP_MEM_OBJECT);
  if (status != CL_SUCCESS) known->maps.add(mapped);
  return status;
}

// Managed buffers move as SVM does; the driver handles the rest, and they wait for it, so that one
// event stands for all.
cl_int CL_API_CALL migrate_objects(cl_command_queue queue, cl_uint number, const cl_mem* list,
                                   cl_mem_migration_flags flags, cl_uint count,
                                   const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  std::vector<AddressSpan> spans;
  std::vector<cl_mem> others;
  for (cl_uint i = 0; list != nullptr && i < number; ++i) {
    if (const auto buffer = find_managed_buffer(list[i]))
      spans.push_back({Address::of(buffer->pointer), buffer->size});
    else
      others.push_back(list[i]);
  }
  if (known == nullptr || spans.empty())
    return driver().clEnqueueMigrateMemObjects(queue, number, list, flags, count, wait_list, event);
  if (others.empty())
    return migrate(*known, queue, spans, flags, count, wait_list, event,
                   CL_COMMAND_MIGRATE_MEM_OBJECTS);
  cl_event theirs = nullptr;
  cl_int status = driver().clEnqueueMigrateMemObjects(
      queue, static_cast<cl_uint>(others.size()), others.data(), flags, count, wait_list, &theirs);
  if (status != CL_SUCCESS) return status;
  std::vector<cl_event> before(wait_list, wait_list + count);
  before.push_back(theirs);
  status = migrate(*known, queue, spans, flags, static_cast<cl_uint>(before.size()), before.data(),
                   event, CL_COMMAND_MIGRATE_MEM_OBJECTS);
  driver().clReleaseEvent(theirs);
  return status;
}

}  // namespace

bool ManagedBuffer::host_may(Access access) const noexcept {
  const cl_mem_flags only_other =
      access == Access::read ? CL_MEM_HOST_WRITE_ONLY : CL_MEM_HOST_READ_ONLY;
  return (flags & (CL_MEM_HOST_NO_ACCESS | only_other)) == 0;
}

std::shared_ptr<ManagedBuffer> find_managed_buffer(cl_mem buffer) {
  return any_made.load(std::memory_order_relaxed) ? buffers().find(buffer) : nullptr;
}

cl_mem create_managed_buffer(const std::shared_ptr<Context>& context, const Allocation& allocation,
                             cl_mem_flags flags, std::size_t size, void* pointer, cl_int& status) {
  status = CL_INVALID_VALUE;
  if (exclude_each_other(flags)) return nullptr;
  const std::size_t left = allocation.span().end() - Address::of(pointer);
  status = size == 0 || size > left ? CL_INVALID_BUFFER_SIZE : CL_SUCCESS;
  if (status != CL_SUCCESS) return nullptr;
  const cl_mem made = make(*context, allocation, flags, size, pointer, status);
  if (made == nullptr) {
    if (status == CL_MISALIGNED_SUB_BUFFER_OFFSET)
      os::report("CL_MEM_USE_HOST_PTR: this device has buffers only, and none can begin at %p",
                 pointer);
    else
      os::report("CL_MEM_USE_HOST_PTR with managed memory at %p: this driver makes no buffer of it",
                 pointer);
    status = CL_INVALID_HOST_PTR;
    return nullptr;
  }
  auto buffer = std::make_shared<ManagedBuffer>();
  buffer->context = context;
  buffer->pointer = static_cast<std::byte*>(pointer);
  buffer->size = size;
  buffer->flags = (flags & kernel_flags) == 0 ? flags | CL_MEM_READ_WRITE : flags;
  note(made, std::move(buffer));
  return made;
}

void override_buffer_calls(Entries& entries) noexcept {
  entries.set<create_part>(&cl_icd_dispatch::clCreateSubBuffer);
  entries.set<retain>(&cl_icd_dispatch::clRetainMemObject);
  entries.set<release>(&cl_icd_dispatch::clReleaseMemObject);
  entries.set<memory_info>(&cl_icd_dispatch::clGetMemObjectInfo);
  entries.set<copy_buffer>(&cl_icd_dispatch::clEnqueueCopyBuffer);
  entries.set<copy_rectangle>(&cl_icd_dispatch::clEnqueueCopyBufferRect);
  entries.set<copy_to_image>(&cl_icd_dispatch::clEnqueueCopyBufferToImage);
  entries.set<copy_from_image>(&cl_icd_dispatch::clEnqueueCopyImageToBuffer);
  entries.set<map_buffer>(&cl_icd_dispatch::clEnqueueMapBuffer);
  entries.set<unmap>(&cl_icd_dispatch::clEnqueueUnmapMemObject);
  entries.set<migrate_objects>(&cl_icd_dispatch::clEnqueueMigrateMemObjects);
}

}  // namespace sluice::opencl
