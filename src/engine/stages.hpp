// Stages: runs plans. The only place where a step of a plan becomes an effect.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "engine/range.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "plan/plan.hpp"
#include "transfer/transfer.hpp"

namespace sluice::engine {

// Why a plan is run, as traces tell it.
struct Trigger {
  Cause cause = Cause::coherence;
  std::uint64_t link = 0;  // Observer::new_link()
};

// A plan and the block it is for. The claim on the block is the caller's.
struct Task {
  Range* range = nullptr;
  Block* block = nullptr;
  plan::Plan plan;
  Trigger trigger = {};

  [[nodiscard]] const BlockState& state() const noexcept {
    block->claim.assert_held();
    return block->state();
  }
};

class Stages {
 public:
  // Plans with copies in flight. Waits for them when it ends. Not to be moved, nor used by two
  // threads.
  class Flight {
   public:
    Flight(const transfer::Devices& devices, const transfer::Timelines& timelines) noexcept
        : transfer_(devices, timelines) {}

   private:
    friend class Stages;
    std::span<const Task> tasks_;
    transfer::Transfer transfer_;
    std::uint64_t began_ = 0;
  };

  Stages(const transfer::Devices& devices, const transfer::Timelines& timelines,
         observe::Observer& observer) noexcept
      : devices_(devices), timelines_(timelines), observer_(observer) {}
  void use(fault::FaultSource& source) noexcept { source_ = &source; }

  // Runs all plans, stage by stage. After an error the directory is still true: no bytes are lost
  // and all rights held are recorded, but the request is not fulfilled. Allocates nothing. Every
  // device that a plan moves bytes to must have an allocation of the block.
  [[nodiscard]] Result<void> run(std::span<const Task> tasks);
  // The same in two steps: start() takes rights and starts copies; finish() waits for and records
  // them. `tasks` outlives the flight. Where start() fails, finish() changes nothing.
  [[nodiscard]] Flight prepare() const noexcept { return {devices_, timelines_}; }
  [[nodiscard]] Result<void> start(std::span<const Task> tasks, Flight& flight);
  [[nodiscard]] Result<void> finish(Flight& flight);
  // Makes copies that no plan names, because the directory does not distinguish the allocations of
  // one device.
  [[nodiscard]] Result<void> copy(std::span<const device::CopyCommand> commands);
  // Adds the end of the device's mapping of the block to the transfer.
  [[nodiscard]] Result<void> unmap(int device, const Block& block, transfer::Transfer& transfer);
  // Ends mappings of the device's allocation by its former holders, before it is released.
  [[nodiscard]] Result<void> end_old_mappings(Block& block, int device)
      SLUICE_REQUIRES(block.claim);

 private:
  using Step = plan::Step;

  [[nodiscard]] Result<void> take_rights(std::span<const Task> tasks);
  [[nodiscard]] Result<void> take_host_rights(std::span<const Task> tasks);
  [[nodiscard]] Result<void> take_device_rights(const Task& task, const Step& step,
                                                transfer::Transfer& transfer);
  [[nodiscard]] Result<void> take_granules(const Task& task, const Step& step, int number,
                                           transfer::Transfer& transfer);
  [[nodiscard]] Result<void> keep_readable(int number, const Block& block, const PageMask& pages,
                                           const PageMask& kept, transfer::Transfer& transfer)
      SLUICE_REQUIRES(block.claim);
  [[nodiscard]] Result<void> start_moves(std::span<const Task> tasks, transfer::Transfer& transfer);
  [[nodiscard]] Result<void> move(const Task& task, const Step& step, transfer::Transfer& transfer);
  void publish(std::span<const Task> tasks);
  void borrow(const Task& task, const Step& step);
  [[nodiscard]] Result<void> map(std::span<const Task> tasks, bool ahead_of_copies);
  [[nodiscard]] bool maps_ahead_of_copies(const Task& task, const Step& step) const noexcept;
  void unmap_unknown(std::span<const Task> tasks);
  [[nodiscard]] Result<void> map_block(const Task& task, const Step& step,
                                       transfer::Transfer& transfer);
  [[nodiscard]] Result<void> grant(std::span<const Task> tasks);
  void note_invalidated(const Task& task, const Step& step);
  void note(const Task& task, const Step& step, std::uint64_t began);

  const transfer::Devices& devices_;
  const transfer::Timelines& timelines_;
  observe::Observer& observer_;
  fault::FaultSource* source_ = nullptr;
};

}  // namespace sluice::engine
