// Registers host memory with the driver, once.
//
// The numbers of registrations lie in an anonymous mapping of four bytes for each block of the window, so untouched parts cost
// nothing, and asking whether a block is registered is one load. What it does not do: unregister to save memory. A range that was
// once copied keeps its host pages until it is freed.
#include "device/cuda/pinned_host.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "os/address_window.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"

namespace sluice::device::cuda {

using Number = std::atomic<std::uint32_t>;

Result<void> PinnedHost::start() {
  const std::size_t blocks = host_.window.size / block_size;
  void* const table = os::calls().mmap(nullptr, blocks * sizeof(Number), PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) return os::call_failed(errno, "mapping the table of registrations");
  registrations_ = static_cast<Number*>(table);
  return {};
}

PinnedHost::~PinnedHost() {
  if (registrations_ != nullptr)
    os::calls().munmap(registrations_, host_.window.size / block_size * sizeof(Number));
}

bool PinnedHost::is_pinned(AddressSpan span) const noexcept {
  for (std::size_t block = block_of(span.begin); block <= block_of(span.end() - 1); ++block)
    if (registrations_[block].load(std::memory_order_acquire) == 0) return false;
  return true;
}

Result<void> PinnedHost::pin(AddressSpan span) {
  if (is_pinned(span)) return {};
  // What is mapped of it ends with each range. Asked before the lock is taken: the answer takes one of the engine's.
  for (Address at = span.begin; at < span.end();) {
    const AddressSpan view = host_.view_at ? host_.view_at(at) : host_.window;
    if (!view.contains(at))
      return fail(ErrorCode::unknown_address,
                  "%#lx is in no range, so its host memory cannot be pinned", at.value);
    const Address end = std::min(span.end(), view.end());
    SLUICE_TRY(pin_part({at, end - at}, view));
    at = end;
  }
  return {};
}

Result<void> PinnedHost::pin_part(AddressSpan part, AddressSpan view) {
  const MutexLock lock(mutex_);
  const std::size_t last = block_of(part.end() - 1);
  const auto is_free = [&](std::size_t block) {
    return registrations_[block].load(std::memory_order_relaxed) == 0;
  };
  for (std::size_t begin = block_of(part.begin); begin <= last;) {
    std::size_t end = begin;
    while (end <= last && is_free(end)) ++end;
    if (end > begin) SLUICE_TRY(pin_run(begin, end, view));
    begin = end + 1;
  }
  return {};
}

Result<void> PinnedHost::pin_run(std::size_t first, std::size_t last, AddressSpan view) {
  const Address begin = std::max(host_.window.begin + first * block_size, view.begin);
  const Address end = std::min(host_.window.begin + last * block_size, view.end());
  std::byte* const alias = host_.alias + (begin - host_.window.begin);
  if (const CUresult error = driver_.host_register(alias, end - begin, register_portable);
      error != success) {
    const auto failed = driver_.failed(error, "cuMemHostRegister");
    return fail(ErrorCode::out_of_host_memory, "pinning %zu bytes of host memory at %#lx: %s",
                end - begin, begin.value, failed.value().detail().data());
  }
  ++last_number_;
  for (std::size_t block = first; block < last; ++block)
    registrations_[block].store(last_number_, std::memory_order_release);
  return {};
}

std::size_t PinnedHost::together(Address address, std::size_t size) const noexcept {
  std::size_t block = block_of(address);
  const std::uint32_t number = registrations_[block].load(std::memory_order_acquire);
  const Address end = address + size;
  Address reached = host_.window.begin + ++block * block_size;
  while (reached < end && registrations_[block].load(std::memory_order_acquire) == number)
    reached = host_.window.begin + ++block * block_size;
  return std::min(reached, end) - address;
}

void PinnedHost::unpin(AddressSpan span) noexcept {
  const MutexLock lock(mutex_);
  const std::size_t last = block_of(span.end() - 1);
  std::uint32_t before = 0;
  for (std::size_t block = block_of(span.begin); block <= last; ++block) {
    const std::uint32_t number = registrations_[block].exchange(0, std::memory_order_acq_rel);
    if (number != 0 && number != before)
      (void)driver_.host_unregister(host_.alias + block * block_size);
    before = number;
  }
  for (auto found = reached_.lower_bound(span.begin);
       found != reached_.end() && found->first < span.end(); found = reached_.erase(found))
    (void)driver_.host_unregister(os::pointer_for_call(found->first));
}

Result<void> PinnedHost::reach(AddressSpan span, int device) {
  const MutexLock lock(mutex_);
  Reached& reached = reached_[span.begin];
  if (reached.devices == 0) {
    reached.size = span.size;
    const CUresult error = driver_.host_register(os::pointer_for_call(span.begin), span.size,
                                                 register_portable | register_device_map);
    if (error != success) {
      reached_.erase(span.begin);
      return driver_.failed(error, "cuMemHostRegister of a host range");
    }
  }
  reached.devices |= std::uint64_t{1} << device;
  return {};
}

void PinnedHost::leave(AddressSpan span, int device) noexcept {
  const MutexLock lock(mutex_);
  for (auto found = reached_.lower_bound(span.begin);
       found != reached_.end() && found->first < span.end();) {
    found->second.devices &= ~(std::uint64_t{1} << device);
    if (found->second.devices != 0) {
      ++found;
      continue;
    }
    (void)driver_.host_unregister(os::pointer_for_call(found->first));
    found = reached_.erase(found);
  }
}

}  // namespace sluice::device::cuda
