// Platform: the state that the GPUs of one space share: the driver, the managed addresses and the
// pinned host memory.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "device/cuda/driver.hpp"
#include "device/cuda/page_table.hpp"
#include "device/cuda/pinned_host.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

class CudaDevice;

class Platform {
 public:
  // The platform of a sink's devices; made with the first one, gone with the last.
  [[nodiscard]] static Result<std::shared_ptr<Platform>> of(const HostMemory& host,
                                                            const EventSink& sink);
  Platform(const Driver& used, const HostMemory& memory)
      : driver(used), host(memory), pinned(used, host), page_table(used, addresses_of(memory)) {}

  // Gives a number to a device. busy: it is taken.
  [[nodiscard]] Result<void> join(int number, CudaDevice& device);
  void leave(int number) noexcept { members_[static_cast<std::size_t>(number)] = nullptr; }
  [[nodiscard]] CudaDevice* member(int number) const noexcept {
    return number < max_devices ? members_[static_cast<std::size_t>(number)].load() : nullptr;
  }

  // The managed addresses where device memory is mapped: the window without the part reserved for
  // host ranges.
  [[nodiscard]] static AddressSpan addresses_of(const HostMemory& host) noexcept {
    return {host.window.begin, host.window.size - host.host_zone.size};
  }

  const Driver& driver;
  const HostMemory host;
  PinnedHost pinned;
  PageTable page_table;

 private:
  std::array<std::atomic<CudaDevice*>, max_devices> members_{};
};

}  // namespace sluice::device::cuda
