// Transfer: runs the copies, fills and mappings of plans on devices.
//
// Lives on the stack of whoever runs a plan, fault-handler threads included: fixed arrays, no
// allocation, no lock. Commands collect until a batch is full or the executing device changes;
// finish() waits for all of them. A copy runs on the engine of its target, or of its source when
// the target is the host. Copies, fills and mappings are not ordered against each other: a stage of
// a plan needs one kind only. A command is taken even if the call says that those before it were
// refused: who takes something away from several devices goes on when one of them is lost.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/fixed_list.hpp"
#include "base/result.hpp"
#include "device/device.hpp"
#include "transfer/devices.hpp"
#include "transfer/timelines.hpp"

namespace sluice::transfer {

// What a lost device makes of commands for it.
enum class OnLoss : std::uint8_t {
  fail,
  done,  // for those who only take away: it has nothing left
};

class Transfer {
 public:
  Transfer(const Devices& devices, const Timelines& timelines,
           OnLoss on_loss = OnLoss::fail) noexcept
      : devices_(devices), timelines_(timelines), on_loss_(on_loss) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  // Waits for what was submitted: the caller's bytes must not move under a running copy.
  ~Transfer();

  [[nodiscard]] Result<void> copy(const device::CopyCommand& command);
  [[nodiscard]] Result<void> fill(const device::FillCommand& command);
  [[nodiscard]] Result<void> map(int device, const device::MappingCommand& command);
  // Submits what was collected, without waiting.
  [[nodiscard]] Result<void> submit();
  // Submits what is left and waits for everything. The first error is returned when all has come to
  // rest.
  [[nodiscard]] Result<void> finish();

 private:
  // Commands of one kind for one device, until they are submitted together.
  template <typename Command>
  struct Batch {
    FixedList<Command, 32> commands;
    int device = -1;
  };

  template <typename Command>
  [[nodiscard]] Result<void> add(Batch<Command>& batch, int device, const Command& command);
  template <typename Command>
  [[nodiscard]] Result<void> submit(Batch<Command>& batch);
  [[nodiscard]] Result<void> remember(device::Fence fence);
  [[nodiscard]] Result<void> wait(device::Fence fence) const;
  [[nodiscard]] Result<void> judge(Result<void> done) const;
  [[nodiscard]] Result<void> wait_for_all();

  const Devices& devices_;
  const Timelines& timelines_;
  const OnLoss on_loss_;
  Batch<device::CopyCommand> copies_;
  Batch<device::FillCommand> fills_;
  Batch<device::MappingCommand> mappings_;
  FixedList<device::Fence, 16> fences_;
};

}  // namespace sluice::transfer
