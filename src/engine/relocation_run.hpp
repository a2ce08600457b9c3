// RelocationRun: one relocation. Blocks in the memory of one device, all to host memory, or all
// back. Relocations decides when.
//
//   prepare()   room where the bytes go; no visible effect
//   (the queues of devices() are stopped here)
//   claim()     claims the blocks that may still be moved
//   run()       unmaps, moves the bytes, publishes, maps again (same devices, same address)
//   release()   releases the claims
//   (the queues go on)
//
// Lives on the stack of the thread that runs it.
#pragma once

#include <optional>
#include <vector>

#include "engine/host_budget.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/residency_manager.hpp"
#include "observe/observe.hpp"
#include "os/host_memory.hpp"
#include "sluice/mapping.hpp"

namespace sluice::engine {

// The parts of an engine that relocations work with.
struct RelocationParts {
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  RangeTable& ranges;
  ReadinessTracker& readiness;
  ResidencyManager& residency;
  observe::Observer& observer;
  os::HostMemory& memory;
  HostBudget& host_budget;
};

class RelocationRun {
 public:
  // `owner`: the device that all of the blocks belong to. `to`: the host, or that device. The
  // caller keeps the ranges pinned.
  RelocationRun(const RelocationParts& parts, int owner, Location to)
      : parts_(parts), owner_(owner), to_(to) {}
  RelocationRun(const RelocationRun&) = delete;
  RelocationRun& operator=(const RelocationRun&) = delete;
  ~RelocationRun();  // gives back what was prepared and not used
  void add(Range& range, Block& block) { turns_.push_back({&range, &block}); }

  // Errors: out_of_host_memory, out_of_device_memory. Waits for kernels that are in the way, until
  // the deadline.
  [[nodiscard]] Result<void> prepare(device::Clock::time_point until);
  // Devices that map some of the blocks now.
  [[nodiscard]] DeviceSet devices() const;
  // Returns false if a device that is not among the `stopped` maps some of it by now. Errors: busy
  // (leased), data_lost, device_lost.
  [[nodiscard]] Result<bool> claim(DeviceSet stopped);
  void run();
  void release() noexcept { claims_.clear(); }

  // The error of a failed copy (then the bytes and mappings are as before), or of the first device
  // that is not mapped again.
  [[nodiscard]] Result<void> outcome() const;
  [[nodiscard]] bool moved() const noexcept { return moved_; }
  // One entry for each device that mapped any of it.
  [[nodiscard]] MappingReport report() const;

 private:
  struct Turn {
    Range* range;
    Block* block;
    bool prepared = false;  // room where it goes is ours, and not used yet
  };
  struct Share {  // one device's mappings of the blocks
    int device;
    struct Part {
      std::size_t turn;
      Rights rights;
    };
    std::vector<Part> parts;
    std::vector<device::MappingCommand> commands;  // its list, that of the moment
    device::Fence fence{};                         // of the list that was handed over last
    std::optional<Error> why;                      // it is not mapped there again
    std::uint32_t dispatched = 0;
  };

  [[nodiscard]] bool leaves() const noexcept { return to_.is_host(); }
  [[nodiscard]] bool is_there(const BlockState& state) const noexcept {
    return state.in_host_memory == leaves();
  }
  [[nodiscard]] Result<void> prepare_on_host(Turn& turn);
  [[nodiscard]] Result<void> prepare_on_device(Turn& turn, device::Clock::time_point until);
  [[nodiscard]] Result<void> check(const Turn& turn) const;
  // Allocates all that the rest needs: from take_down() on nothing may be thrown.
  void share_out();
  void take_down() noexcept;
  [[nodiscard]] Result<void> move_bytes() noexcept;
  void publish(Turn& turn) noexcept;
  void map_again() noexcept;
  void record(const Share& share) noexcept;
  // Hands the device a list that makes, or removes, the mappings in the share.
  [[nodiscard]] Result<void> hand_over(Share& share, bool maps) const noexcept;
  [[nodiscard]] device::Device& device(int number) const { return parts_.devices[number]; }

  const RelocationParts& parts_;
  const int owner_;
  const Location to_;
  std::vector<Turn> turns_;  // in the order of addresses once they are prepared
  std::vector<Claim> claims_;
  std::vector<Share> shares_;
  Result<void> copied_;
  bool moved_ = false;
};

}  // namespace sluice::engine
