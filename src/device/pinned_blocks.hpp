// PinnedBlocks: the host bytes that a driver was told to keep in place, so that it copies at the
// link's speed.
//
// Bytes are registered in the alias view when they are first copied, in runs of whole blocks of one
// range, and stay registered until their range ends (Traits::keeps_host_memory): a driver may wait
// for running kernels when it unregisters memory. A copy may not cross from one registration to the
// next. The back end defines how to register.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/ranked_mutex.hpp"
#include "device/device.hpp"

namespace sluice::device {

// Thread-safe. Pinning registered bytes again costs a load for each block.
class PinnedBlocks {
 public:
  explicit PinnedBlocks(const HostMemory& host) noexcept : host_(host) {}
  PinnedBlocks(const PinnedBlocks&) = delete;
  PinnedBlocks& operator=(const PinnedBlocks&) = delete;
  virtual ~PinnedBlocks();
  [[nodiscard]] Result<void> start();

  // Registers the unregistered blocks of a span of managed addresses, of one or several adjacent
  // ranges, in the alias view. Errors: out_of_host_memory, unknown_address.
  [[nodiscard]] Result<void> pin(AddressSpan span);
  // The same for the host's side of copies, which are right without it and slower: where the driver
  // registers no more (RLIMIT_MEMLOCK), this says so once and no longer asks. Error:
  // unknown_address.
  [[nodiscard]] Result<void> pin(std::span<const CopyCommand> commands);
  // The number of the `size` bytes from `address` on that lie in one registration, or in none.
  [[nodiscard]] std::size_t together(Address address, std::size_t size) const noexcept;
  // Forgets the span, which is one range or contains whole ones. No thread may pin it meanwhile.
  // May wait for the driver.
  void unpin(AddressSpan span) noexcept;

 protected:
  // Names a registration; never 0.
  using Registration = std::uint64_t;

  // The back end's calls. Memory is registered one piece at a time.
  [[nodiscard]] virtual Result<Registration> register_memory(std::byte* alias,
                                                             std::size_t size) = 0;
  virtual void unregister_memory(Registration registration) noexcept = 0;

  const HostMemory& host_;
  RankedMutex mutex_{LockRank::device, "pinned host memory"};

 private:
  [[nodiscard]] std::size_t block_of(Address address) const noexcept {
    return (address - host_.window.begin) / block_size;
  }
  [[nodiscard]] bool is_pinned(AddressSpan span) const noexcept;
  [[nodiscard]] Result<void> pin_or_go_on(AddressSpan span);
  // Has the memory of unregistered blocks made, where the host can make it in large pages: a driver
  // that registers memory makes what does not exist page by page, in several times as long.
  void make_memory(AddressSpan span) const;
  // `part` of one range; `view`: the range's mapped bytes.
  [[nodiscard]] Result<void> pin_part(AddressSpan part, AddressSpan view);
  [[nodiscard]] Result<void> pin_run(std::size_t first, std::size_t last, AddressSpan view)
      SLUICE_REQUIRES(mutex_);

  // For each block of the window its registration, 0: none. Written under the mutex.
  std::atomic<Registration>* registrations_ = nullptr;
  std::atomic<bool> goes_on_{false};  // without registering more for copies
};

}  // namespace sluice::device
