// Filling and copying USM, on the queue that the program names: the commands of the extension, and
// those of core SVM.
//
// The managed side of a copy is moved to the driver first and the command works there; the other
// side is given to the driver as it is. Where neither is managed the host copies (host_copy.cc).
// Cites: the extension's "Filling and Copying Unified Shared Memory". What it does not do: copy
// between two contexts without the host's bytes in between.
#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "admission.hpp"
#include "events.hpp"
#include "extension.hpp"
#include "host_copy.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

using device::opencl::BufferPlace;

constexpr std::size_t largest_pattern = sizeof(cl_long16);

// Names the end of a command and of its event.
cl_int named(cl_int status, cl_event* event, cl_command_type type) {
  if (status == CL_SUCCESS && event != nullptr) note_event(*event, type);
  return status;
}

bool overlap(const void* to, const void* from, std::size_t size) {
  const std::size_t a = Address::of(to).value;
  const std::size_t b = Address::of(from).value;
  return a < b + size && b < a + size;
}

// A copy of which the device has at most one side, as the driver's calls for buffers.
struct BufferCopy {
  cl_command_queue queue;
  BufferPlace to;
  BufferPlace from;
  void* host_to;
  const void* host_from;
  std::size_t size;
  cl_uint count;
  const cl_event* wait_list;

  [[nodiscard]] cl_int enqueue(cl_event* event) const {
    const cl_icd_dispatch& call = driver();
    if (to.buffer != nullptr && from.buffer != nullptr)
      return call.clEnqueueCopyBuffer(queue, from.buffer, to.buffer, from.offset, to.offset, size,
                                      count, wait_list, event);
    if (to.buffer != nullptr)
      return call.clEnqueueWriteBuffer(queue, to.buffer, CL_FALSE, to.offset, size, host_from,
                                       count, wait_list, event);
    return call.clEnqueueReadBuffer(queue, from.buffer, CL_FALSE, from.offset, size, host_to, count,
                                    wait_list, event);
  }
};

BufferPlace place_of(const std::optional<Allocation>& allocation, const void* pointer) {
  if (!allocation) return {};
  return allocation->buffers->find(Address::of(pointer));
}

cl_int copy_managed(const Queue& known, cl_command_queue queue, void* to, const void* from,
                    size_t size, cl_uint count, const cl_event* wait_list, cl_event* event) {
  const auto to_ours = known.context->find(to);
  const auto from_ours = known.context->find(from);
  Admission admission(known);
  if (to_ours) admission.use(*to_ours, {Address::of(to), size}, Access::write);
  if (from_ours) admission.use(*from_ours, {Address::of(from), size}, Access::read);
  return enqueue_admitted(admission, queue, count, wait_list, event, [&](cl_event* own) {
    if (known.context->backend() == Backend::svm)
      return driver().clEnqueueSVMMemcpy(queue, CL_FALSE, to, from, size, count, wait_list, own);
    return BufferCopy{
        queue, place_of(to_ours, to), place_of(from_ours, from), to, from, size, count, wait_list}
        .enqueue(own);
  });
}

cl_int fill_managed(const Queue& known, cl_command_queue queue, const Allocation& allocation,
                    void* to, std::span<const std::byte> pattern, size_t size, cl_uint count,
                    const cl_event* wait_list, cl_event* event) {
  Admission admission(known);
  admission.use(allocation, {Address::of(to), size}, Access::write);
  device::opencl::DeviceBytes& bytes =
      allocation.buffers != nullptr ? *allocation.buffers : allocation.arena->bytes();
  return enqueue_admitted(admission, queue, count, wait_list, event, [&](cl_event* own) {
    return bytes.fill(queue, Address::of(to), pattern, size, {wait_list, count}, own);
  });
}

void CL_CALLBACK drop_pattern(cl_event turn, cl_int /*status*/, void* user_data) {
  delete static_cast<std::vector<std::byte>*>(user_data);
  driver().clReleaseEvent(turn);
}

// Memory of no allocation, where the driver shares it: copies of a block of patterns, since PoCL
// 7.1 crashes when it is to fill such memory itself.
cl_int fill_plain(cl_command_queue queue, void* to, std::span<const std::byte> pattern, size_t size,
                  cl_uint count, const cl_event* wait_list, cl_event* event) {
  constexpr std::size_t largest_block = 1024 * 1024;
  auto block = std::make_unique<std::vector<std::byte>>(std::min(size, largest_block));
  for (std::size_t at = 0; at < block->size(); at += pattern.size())
    std::memcpy(block->data() + at, pattern.data(), pattern.size());
  std::vector<cl_event> copies;
  copies.reserve(size / block->size() + 1);  // nothing is thrown while the driver reads the block
  cl_int status = CL_SUCCESS;
  for (std::size_t at = 0; status == CL_SUCCESS && at < size; at += block->size()) {
    cl_event one = nullptr;
    status = driver().clEnqueueSVMMemcpy(queue, CL_FALSE, static_cast<std::byte*>(to) + at,
                                         block->data(), std::min(block->size(), size - at), count,
                                         wait_list, &one);
    if (status == CL_SUCCESS) copies.push_back(one);
  }
  const auto number = static_cast<cl_uint>(copies.size());
  cl_event turn = nullptr;
  if (status == CL_SUCCESS)
    status = driver().clEnqueueMarkerWithWaitList(queue, number, copies.data(), &turn);
  if (status != CL_SUCCESS && number != 0) driver().clWaitForEvents(number, copies.data());
  for (cl_event one : copies) driver().clReleaseEvent(one);
  if (status != CL_SUCCESS) return status;
  if (event != nullptr) {
    driver().clRetainEvent(turn);
    *event = turn;
  }
  status = driver().clSetEventCallback(turn, CL_COMPLETE, drop_pattern, block.get());
  if (status == CL_SUCCESS) {
    (void)block.release();
  } else {
    driver().clWaitForEvents(1, &turn);
    driver().clReleaseEvent(turn);
  }
  return CL_SUCCESS;
}

}  // namespace

cl_int fill(const Queue& known, cl_command_queue queue, void* to, const void* pattern,
            size_t pattern_size, size_t size, cl_uint count, const cl_event* wait_list,
            cl_event* event, cl_command_type type) {
  if ((to == nullptr && size != 0) || pattern == nullptr) return CL_INVALID_VALUE;
  if (!std::has_single_bit(pattern_size) || pattern_size > largest_pattern) return CL_INVALID_VALUE;
  if (Address::of(to).value % pattern_size != 0 || size % pattern_size != 0)
    return CL_INVALID_VALUE;
  const cl_int list_makes_sense = check_wait_list(known, count, wait_list);
  if (list_makes_sense != CL_SUCCESS) return list_makes_sense;
  if (size == 0) return enqueue_nothing(queue, count, wait_list, event, type);
  // The pattern may lie in managed memory, which the driver must not read.
  std::byte copied[largest_pattern];
  std::memcpy(copied, pattern, pattern_size);
  const auto ours = known.context->find(to);
  if (known.context->moves() && ours)
    return named(fill_managed(known, queue, *ours, to, {copied, pattern_size}, size, count,
                              wait_list, event),
                 event, type);
  if (known.context->has_buffers()) return CL_INVALID_VALUE;
  if (!known.context->moves() && !ours)
    return named(fill_plain(queue, to, {copied, pattern_size}, size, count, wait_list, event),
                 event, type);
  return named(
      driver().clEnqueueSVMMemFill(queue, to, copied, pattern_size, size, count, wait_list, event),
      event, type);
}

cl_int copy(const Queue& known, cl_command_queue queue, cl_bool blocking, void* to,
            const void* from, size_t size, cl_uint count, const cl_event* wait_list,
            cl_event* event, cl_command_type type) {
  if ((to == nullptr || from == nullptr) && size != 0) return CL_INVALID_VALUE;
  if (overlap(to, from, size)) return CL_MEM_COPY_OVERLAP;
  const cl_int list_makes_sense = check_wait_list(known, count, wait_list);
  if (list_makes_sense != CL_SUCCESS) return list_makes_sense;
  if (size == 0) return enqueue_nothing(queue, count, wait_list, event, type);
  // A blocking copy waits for them anyway, and PoCL 3.1 never ends a command that depends on one
  // that failed.
  if (blocking != CL_FALSE)
    if (const cl_int waited = wait_for_list(count, wait_list); waited != CL_SUCCESS) return waited;
  const Context& context = *known.context;
  const bool ours = context.moves() && (context.find(to) || context.find(from));
  cl_event own = nullptr;
  cl_int status = CL_SUCCESS;
  if (ours)
    status = copy_managed(known, queue, to, from, size, count, wait_list, &own);
  else if (context.moves())
    return copy_on_host(known, queue, blocking, to, from, size, count, wait_list, event, type);
  else
    status = driver().clEnqueueSVMMemcpy(queue, CL_FALSE, to, from, size, count, wait_list, &own);
  if (status != CL_SUCCESS) return status;
  if (blocking != CL_FALSE) status = driver().clWaitForEvents(1, &own);
  if (event != nullptr)
    *event = own;
  else
    driver().clReleaseEvent(own);
  return named(status, event, type);
}

cl_int CL_API_CALL enqueue_mem_fill(cl_command_queue queue, void* to, const void* pattern,
                                    size_t pattern_size, size_t size, cl_uint count,
                                    const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  // Not even where the size is zero.
  if (to == nullptr) return CL_INVALID_VALUE;
  return fill(*known, queue, to, pattern, pattern_size, size, count, wait_list, event,
              CL_COMMAND_MEMFILL_INTEL);
}

cl_int CL_API_CALL enqueue_mem_set(cl_command_queue queue, void* to, cl_int value, size_t size,
                                   cl_uint count, const cl_event* wait_list, cl_event* event) {
  const auto byte = static_cast<unsigned char>(value);
  return enqueue_mem_fill(queue, to, &byte, 1, size, count, wait_list, event);
}

cl_int CL_API_CALL enqueue_memcpy(cl_command_queue queue, cl_bool blocking, void* to,
                                  const void* from, size_t size, cl_uint count,
                                  const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if (to == nullptr || from == nullptr) return CL_INVALID_VALUE;
  return copy(*known, queue, blocking, to, from, size, count, wait_list, event,
              CL_COMMAND_MEMCPY_INTEL);
}

}  // namespace sluice::opencl
