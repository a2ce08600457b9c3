// Reads, writes and fills of the driver's copy, over SVM and over buffers.
//
// Each is one call of the driver. Host bytes are the alias view's or the caller's own, never an application view: the driver's
// thread would fault on it and wait for a handler that waits for the driver.
#include "device/opencl/device_bytes.hpp"

namespace sluice::device::opencl {
namespace {

void* pointer(Address address) noexcept {
  return reinterpret_cast<void*>(address.value);  // NOLINT(performance-no-int-to-ptr)
}

cl_uint count(std::span<const cl_event> events) noexcept {
  return static_cast<cl_uint>(events.size());
}
const cl_event* list(std::span<const cl_event> events) noexcept {
  return events.empty() ? nullptr : events.data();
}

}  // namespace

cl_int SvmBytes::write(cl_command_queue queue, Address to, const std::byte* from, std::size_t size,
                       cl_event* event) {
  return driver_.calls->clEnqueueSVMMemcpy(queue, CL_FALSE, pointer(to), from, size, 0, nullptr,
                                           event);
}

cl_int SvmBytes::read(cl_command_queue queue, std::byte* to, Address from, std::size_t size,
                      cl_event* event) {
  return driver_.calls->clEnqueueSVMMemcpy(queue, CL_FALSE, to, pointer(from), size, 0, nullptr,
                                           event);
}

cl_int SvmBytes::fill(cl_command_queue queue, Address to, std::span<const std::byte> pattern,
                      std::size_t size, std::span<const cl_event> wait_for, cl_event* event) {
  return driver_.calls->clEnqueueSVMMemFill(queue, pointer(to), pattern.data(), pattern.size(),
                                            size, count(wait_for), list(wait_for), event);
}

BufferBytes::~BufferBytes() {
  for (const auto& [begin, entry] : buffers_) driver_.calls->clReleaseMemObject(entry.buffer);
}

cl_int BufferBytes::add(AddressSpan span) {
  cl_int status = CL_SUCCESS;
  const cl_mem buffer = driver_.calls->clCreateBuffer(driver_.context, CL_MEM_READ_WRITE, span.size,
                                                      nullptr, &status);
  if (buffer == nullptr) return status;
  WriteLock lock(mutex_);
  buffers_.emplace(span.begin, Entry{span.size, buffer});
  return CL_SUCCESS;
}

void BufferBytes::remove(Address begin) noexcept {
  cl_mem buffer = nullptr;
  {
    WriteLock lock(mutex_);
    const auto found = buffers_.find(begin);
    if (found == buffers_.end()) return;
    buffer = found->second.buffer;
    buffers_.erase(found);
  }
  driver_.calls->clReleaseMemObject(buffer);
}

BufferPlace BufferBytes::find(Address address) const {
  ReadLock lock(mutex_);
  auto above = buffers_.upper_bound(address);
  if (above == buffers_.begin()) return {};
  const auto& [begin, entry] = *--above;
  const std::size_t offset = address - begin;
  if (offset >= entry.size) return {};
  return {entry.buffer, offset, entry.size - offset};
}

cl_int BufferBytes::write(cl_command_queue queue, Address to, const std::byte* from,
                          std::size_t size, cl_event* event) {
  const BufferPlace place = find(to);
  if (place.buffer == nullptr) return CL_INVALID_MEM_OBJECT;
  return driver_.calls->clEnqueueWriteBuffer(queue, place.buffer, CL_FALSE, place.offset, size,
                                             from, 0, nullptr, event);
}

cl_int BufferBytes::read(cl_command_queue queue, std::byte* to, Address from, std::size_t size,
                         cl_event* event) {
  const BufferPlace place = find(from);
  if (place.buffer == nullptr) return CL_INVALID_MEM_OBJECT;
  return driver_.calls->clEnqueueReadBuffer(queue, place.buffer, CL_FALSE, place.offset, size, to,
                                            0, nullptr, event);
}

cl_int BufferBytes::fill(cl_command_queue queue, Address to, std::span<const std::byte> pattern,
                         std::size_t size, std::span<const cl_event> wait_for, cl_event* event) {
  const BufferPlace place = find(to);
  if (place.buffer == nullptr) return CL_INVALID_MEM_OBJECT;
  return driver_.calls->clEnqueueFillBuffer(queue, place.buffer, pattern.data(), pattern.size(),
                                            place.offset, size, count(wait_for), list(wait_for),
                                            event);
}

}  // namespace sluice::device::opencl
