// PinnedHost: the host bytes that GPUs read and write by themselves.
//
// Cost of registering, measured on an H200: 34 ms a GiB for bytes that exist, 340 ms a GiB for
// bytes that were never touched (the kernel makes and clears their pages); 60 ns where it was done
// before.
#pragma once

#include <cstdint>
#include <map>

#include "device/cuda/driver.hpp"
#include "device/pinned_blocks.hpp"

namespace sluice::device::cuda {

// Thread-safe. Callers have a context current.
class PinnedHost final : public PinnedBlocks {
 public:
  PinnedHost(const Driver& driver, const HostMemory& host) noexcept
      : PinnedBlocks(host), driver_(driver) {}

  // As PinnedBlocks::unpin, and in the application view too.
  void forget(AddressSpan span) noexcept;

  // Lets all GPUs reach host bytes at their managed address: the application view itself is
  // registered. `device` counts as one that wants it, until leave(). Not inside the addresses that
  // the driver has reserved.
  [[nodiscard]] Result<void> map(AddressSpan span, int device);
  void leave(AddressSpan span, int device) noexcept;

 private:
  struct MappedMemory {
    std::size_t size = 0;
    std::uint64_t devices = 0;
  };

  // A registration is named by where it begins.
  [[nodiscard]] Result<Registration> register_memory(std::byte* alias, std::size_t size) override;
  void unregister_memory(Registration registration) noexcept override;

  const Driver& driver_;
  std::map<Address, MappedMemory> mapped_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::cuda
