// Transfer: runs the copies and fills of plans on the devices' copy engines.
//
// Lives on the stack of whoever runs a plan, fault-handler threads included: fixed arrays, no allocation, no lock. Commands
// collect until a batch is full or the executing device changes; finish() waits for all of them. A copy runs on the engine of
// its target, or of its source when the target is the host.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "device/device.hpp"
#include "transfer/timelines.hpp"

namespace sluice::transfer {

using Devices = std::vector<std::unique_ptr<device::Device>>;

class Transfer {
 public:
  Transfer(const Devices& devices, const Timelines& timelines) noexcept : devices_(devices), timelines_(timelines) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  // Waits for what was submitted: the caller's bytes must not move under a running copy.
  ~Transfer();

  [[nodiscard]] Result<void> copy(const device::CopyCommand& command);
  [[nodiscard]] Result<void> fill(const device::FillCommand& command);
  // Submits what is left and waits for everything. The first error is returned when all has come to rest.
  [[nodiscard]] Result<void> finish();

 private:
  static constexpr std::size_t batch_size = 32;
  static constexpr std::size_t most_fences = 16;

  [[nodiscard]] Result<void> submit_copies();
  [[nodiscard]] Result<void> submit_fills();
  [[nodiscard]] Result<void> remember(device::Fence fence);
  [[nodiscard]] Result<void> wait_for_all();

  const Devices& devices_;
  const Timelines& timelines_;
  std::array<device::CopyCommand, batch_size> copies_{};
  std::size_t copy_count_ = 0;
  int copy_device_ = -1;
  std::array<device::FillCommand, batch_size> fills_{};
  std::size_t fill_count_ = 0;
  int fill_device_ = -1;
  std::array<device::Fence, most_fences> fences_{};
  std::size_t fence_count_ = 0;
};

}  // namespace sluice::transfer
