// Transfer: runs the copies, fills and mappings of plans on devices.
//
// Lives on the stack of the thread that runs a plan, fault-handler threads included: fixed arrays,
// no allocation, no lock. Commands collect until a batch is full or the executing device changes;
// finish() waits for all of them. A copy runs on the engine of its target, or of its source when
// the target is the host. Copies, fills and mappings are not ordered against each other: a stage of
// a plan needs one kind only. A command is accepted even if the call reports that those before it
// were refused: removals from several devices go on when one of them is lost.
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

// The result of commands for a lost device.
enum class OnLoss : std::uint8_t {
  fail,
  done,  // for removals: the device has nothing left
};

class Transfer {
 public:
  Transfer(const Devices& devices, const Timelines& timelines,
           OnLoss on_loss = OnLoss::fail) noexcept
      : devices_(devices), timelines_(timelines), on_loss_(on_loss) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  // Waits for submitted commands: the caller's bytes must not move under a running copy.
  ~Transfer();

  [[nodiscard]] Result<void> copy(const device::CopyCommand& command);
  [[nodiscard]] Result<void> fill(const device::FillCommand& command);
  [[nodiscard]] Result<void> map(int device, const device::MappingCommand& command);
  // Submits the collected commands, without waiting.
  [[nodiscard]] Result<void> submit();
  // Submits the rest and waits for everything. Returns the first error when all has completed.
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
