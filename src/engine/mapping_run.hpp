// MappingRun: one try of a mapping operation, with the claims on its blocks. Journey 3.
//
// Lives on the stack of the thread that runs it.
#pragma once

#include <optional>
#include <vector>

#include "engine/block_mover.hpp"
#include "engine/losses.hpp"
#include "engine/mapping_task.hpp"
#include "engine/residency_manager.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"

namespace sluice::engine {

// The parts of an engine that mapping operations are run with.
struct MappingRunParts {
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  ReadinessTracker& readiness;
  ResidencyManager& residency;
  BlockMover& mover;
  fault::FaultSource& source;
  const DeviceLosses& losses;
  observe::Observer& observer;
};

class MappingRun {
 public:
  // Runs the operation to its end, in as many tries as kernels in the way make necessary.
  static void run(const MappingRunParts& parts, MappingTask& task) noexcept;

 private:
  // Claims all blocks of the parts, in the order of addresses.
  MappingRun(const MappingRunParts& parts, MappingTask& task);
  static void try_until_done(const MappingRunParts& parts, MappingTask& task);

  // Finds what each device lacks, and the commands that would take exactly that back; devices that
  // lack nothing are done.
  void plan();
  // Brings the bytes to where all can reach them: the work of the first device that lacks
  // something. Returns a kernel in the way; nothing visible was changed then.
  [[nodiscard]] Result<std::optional<ActiveUse>> place();
  // Placing failed: the first device reports why, and nothing is tried for the others.
  void refuse(const Error& why);
  // The same for an operation that could not begin, or not before its lists were handed over, for
  // want of memory.
  static void refuse(MappingTask& task, const Error& why) noexcept;
  // Hands each device its list, all of them before any is waited for.
  void dispatch();
  // Waits for every device. The partial list of a failed device is taken back.
  void collect();
  // all_or_nothing, and one failed: takes back the mappings of the others.
  void undo();
  // Records the new mappings in the directory and the tracker.
  void publish();
  // Releases the claims.
  void release() noexcept { claims_.clear(); }
  // If a device was lost: reports which bytes of the parts existed only there. Call without claims.
  void tell_lost();

  struct Turn {  // one block
    Range* range;
    Block* block;
  };
  struct Share {  // one device's share of the work
    std::vector<device::MappingCommand> commands;
    std::vector<device::MappingCommand> undo;
    std::vector<std::size_t> blocks;  // that change there
    device::Fence fence{};
  };

  [[nodiscard]] bool maps() const noexcept { return task_.request.verb == mapping::Verb::map; }
  [[nodiscard]] Rights wanted() const noexcept;
  [[nodiscard]] bool lacks_anything(const Share& share) const noexcept {
    return !share.blocks.empty();
  }
  void plan_block(std::size_t block, int device, Share& share);
  [[nodiscard]] Result<void> check_device(int device) const;
  [[nodiscard]] DeviceSet devices_losing(std::size_t block) const;
  [[nodiscard]] Result<std::optional<ActiveUse>> place_block(std::size_t block);
  void take_back(std::size_t index);
  void publish_block(std::size_t index, const Turn& turn, MappingState ended);
  template <typename Change>
  void change(Change&& change) {
    const MutexLock lock(task_.mutex);
    change(task_.operation);
  }
  [[nodiscard]] MappingState state(std::size_t index) {
    const MutexLock lock(task_.mutex);
    return task_.operation.state(index);
  }

  const MappingRunParts& parts_;
  MappingTask& task_;
  std::vector<Turn> turns_;    // in the order of addresses, each block once
  std::vector<Claim> claims_;  // of the same
  std::vector<Share> shares_;  // by index in the request
  std::vector<std::size_t>
      undone_;  // shares that were taken back; its memory is there from the beginning
};

}  // namespace sluice::engine
