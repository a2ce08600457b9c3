// PinnedHost: the host bytes that GPUs read and write by themselves.
//
// Copies go between device memory and the alias view. The driver copies at the link's speed, and without a thread of its own
// in between, only what was registered with it; so host bytes are registered when they are first copied, in runs of whole
// blocks, and stay so until their range ends: the driver waits for running kernels when it is to forget memory.
// Cost, measured on an H200: 34 ms a GiB for bytes that exist, 340 ms a GiB for bytes that were never touched (the kernel makes
// and clears their pages); 60 ns where it was done before. A copy may not cross from one registration to the next.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>

#include "base/ranked_mutex.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

// Thread-safe. Callers have a context current.
class PinnedHost {
 public:
  PinnedHost(const Driver& driver, const HostMemory& host) noexcept
      : driver_(driver), host_(host) {}
  PinnedHost(const PinnedHost&) = delete;
  PinnedHost& operator=(const PinnedHost&) = delete;
  ~PinnedHost();
  [[nodiscard]] Result<void> start();

  // Registers what is missing of a span of managed addresses, of one or several ranges side by side, in the alias view.
  // Errors: out_of_host_memory, unknown_address.
  [[nodiscard]] Result<void> pin(AddressSpan span);
  // How many of `size` bytes from `address` on lie in one registration. All are registered.
  [[nodiscard]] std::size_t together(Address address, std::size_t size) const noexcept;
  // Forgets the span, which is one range or contains whole ones, in both views.
  void unpin(AddressSpan span) noexcept;

  // Lets all GPUs reach host bytes at their managed address: the application view itself is registered. `device` counts as one
  // that wants it, until leave(). Not inside the addresses that the driver has reserved.
  [[nodiscard]] Result<void> reach(AddressSpan span, int device);
  void leave(AddressSpan span, int device) noexcept;

 private:
  struct Reached {
    std::size_t size = 0;
    std::uint64_t devices = 0;
  };

  [[nodiscard]] std::size_t block_of(Address address) const noexcept {
    return (address - host_.window.begin) / block_size;
  }
  [[nodiscard]] bool is_pinned(AddressSpan span) const noexcept;
  // `part` of one range, whose mapped bytes are `view`.
  [[nodiscard]] Result<void> pin_part(AddressSpan part, AddressSpan view);
  [[nodiscard]] Result<void> pin_run(std::size_t first, std::size_t last, AddressSpan view)
      SLUICE_REQUIRES(mutex_);

  const Driver& driver_;
  const HostMemory& host_;
  RankedMutex mutex_{LockRank::device, "pinned host memory"};
  // For each block of the window the number of its registration, 0: none. Written under the mutex.
  std::atomic<std::uint32_t>* registrations_ = nullptr;
  std::uint32_t last_number_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::map<Address, Reached> reached_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::cuda
