// Reads, writes and fills of the driver's copy, over SVM and over buffers.
//
// Each is one call of the driver. Host bytes are the alias view's or the caller's own, never an
// application view: the driver's thread would fault on it and wait for a handler that waits for the
// driver.
#include "device/opencl/device_bytes.hpp"

#include <iterator>

#include "device/opencl/device_addresses.hpp"

namespace sluice::device::opencl {
namespace {

// Linux gives no process an address above this, unless asked to, and on some machines it never can.
constexpr Address end_of_host{std::uintptr_t{1} << 47};

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
  for (auto& [begin, entry] : buffers_) {
    entry.host.reset();
    driver_.calls->clReleaseMemObject(entry.buffer);
  }
  if (common_.buffer != nullptr) driver_.calls->clReleaseMemObject(common_.buffer);
}

void BufferBytes::share_one_buffer(Address begin, std::size_t size) {
  cl_int status = CL_SUCCESS;
  for (; size > block_size && common_.buffer == nullptr; size /= 2) {
    common_.span = {begin, size};
    common_.buffer =
        driver_.calls->clCreateBuffer(driver_.context, CL_MEM_READ_WRITE, size, nullptr, &status);
  }
}

cl_int BufferBytes::add(AddressSpan span) {
  cl_int status = CL_SUCCESS;
  cl_mem buffer = nullptr;
  const bool is_part = common_.has(span);
  if (is_part) {
    const cl_buffer_region region{span.begin - common_.span.begin, span.size};
    buffer = driver_.calls->clCreateSubBuffer(common_.buffer, CL_MEM_READ_WRITE,
                                              CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
  } else {
    buffer = driver_.calls->clCreateBuffer(driver_.context, CL_MEM_READ_WRITE, span.size, nullptr,
                                           &status);
  }
  if (buffer == nullptr) return status;
  WriteLock lock(mutex_);
  // A buffer found there belongs to a freed range, and to remove().
  buffers_.insert_or_assign(span.begin, Entry{span.size, buffer, is_part});
  return CL_SUCCESS;
}

Result<Address> BufferBytes::add_at_device_address(std::size_t size, std::size_t alignment) {
  size = round_up(size, page_size) + (alignment - page_size);  // drivers align to a page at least
  cl_int status = CL_SUCCESS;
  const cl_mem buffer = create_addressed_buffer(driver_, size, status);
  if (buffer == nullptr) return driver_failed(status, "clCreateBufferWithProperties");
  const AddressSpan span{device_address(driver_, buffer), size};
  Entry entry{size, buffer, false};
  auto held = os::AddressWindow::reserve_at(span);
  const bool is_clear =
      held || (held.error().code() != ErrorCode::busy && span.begin >= end_of_host);
  if (span.begin.value == 0 || span.begin.value % page_size != 0 || !is_clear) {
    driver_.calls->clReleaseMemObject(buffer);
    return fail(ErrorCode::busy, "the device address %#lx of %zu bytes cannot be a pointer here",
                span.begin.value, size);
  }
  if (held) entry.host = std::move(*held);
  WriteLock lock(mutex_);
  buffers_.emplace(span.begin, std::move(entry));
  return Address{round_up(span.begin.value, alignment)};
}

void BufferBytes::remove(Address address, cl_mem buffer) noexcept {
  if (buffer == nullptr) return;
  {
    WriteLock lock(mutex_);
    const auto above = buffers_.upper_bound(address);
    if (above != buffers_.begin() && std::prev(above)->second.buffer == buffer)
      buffers_.erase(std::prev(above));
  }
  // Last: from here on the driver may use its device address again.
  driver_.calls->clReleaseMemObject(buffer);
}

std::vector<Address> BufferBytes::begins() const {
  ReadLock lock(mutex_);
  std::vector<Address> found;
  found.reserve(buffers_.size());
  for (const auto& [begin, entry] : buffers_) found.push_back(begin);
  return found;
}

BufferPlace BufferBytes::find(Address address) const {
  ReadLock lock(mutex_);
  auto above = buffers_.upper_bound(address);
  if (above == buffers_.begin()) return {};
  const auto& [begin, entry] = *--above;
  const std::size_t offset = address - begin;
  if (offset >= entry.size) return {};
  const bool is_part = entry.is_part;
  return {entry.buffer, offset, entry.size - offset, is_part ? common_.buffer : entry.buffer,
          is_part ? address - common_.span.begin : offset};
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
