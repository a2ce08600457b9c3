// Visits: moments in which the host uses bytes that a running kernel has.
//
// On a device that cannot take page faults the bytes cannot leave while the kernel runs. So a
// thread that would wait for it too long visits: its pages get a copy of the device's bytes, and
// the thread rights to them, for some tens of microseconds. Then the rights are taken again, and
// what the host stored meanwhile is put into the device's memory, byte by byte, where the kernel
// sees it. The directory does not change: the device has the bytes all the time. A kernel and a
// host that hand a word to and fro both go on.
//
// What it does not do: show a kernel's stores that come while a visit lasts, or keep the order of
// stores to one page in one visit, beyond this: long runs of changed bytes arrive before short ones
// (a flag comes after its data); or make atomic operations of both sides atomic to each other.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "engine/block_mover.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "fault/fault_source.hpp"
#include "os/host_memory.hpp"
#include "transfer/devices.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

struct VisitsParts {
  RangeTable& ranges;
  ReadinessTracker& readiness;
  BlockMover& mover;
  os::HostMemory& memory;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
};

// For one thread, which answers accesses: make() neither allocates nor touches managed memory.
class Visits {
 public:
  explicit Visits(const VisitsParts& parts) noexcept : parts_(parts) {}

  // From now on there are visits; without this there are none. Allocates.
  void allow();
  [[nodiscard]] bool are_allowed() const noexcept {
    return allowed_.load(std::memory_order_acquire);
  }
  // The access goes on. False: it cannot now, because its block is changing hands or the device is
  // not the only one that has its bytes.
  [[nodiscard]] bool make(const fault::AccessFault& access, fault::FaultSource& source) noexcept;
  // Returns when the visit that is under way has ended: its bytes may be older than a kernel's end
  // of which the caller has learned. Thread-safe.
  void await_end() const noexcept;

 private:
  struct Visit {
    Range& range;
    Block& block;
    device::Place there;  // of the span's first byte
    AddressSpan span;
    Access access;
  };
  [[nodiscard]] PageSpan window_for(const Block& block, std::uint32_t page) const noexcept;
  [[nodiscard]] bool run(const Visit& visit, fault::FaultSource& source) noexcept;
  void stay() const noexcept;
  void put_back(const Visit& visit) noexcept;
  void put_runs(const Visit& visit, bool long_ones) noexcept;

  const VisitsParts parts_;
  std::atomic<bool> allowed_{false};
  std::unique_ptr<std::byte[]> twin_;  // a block: the bytes as the host found them
  // The last visit: one that goes on behind its end is twice as large.
  AddressSpan last_{};
  std::uint32_t alike_ = 0;              // visits in a row to the same pages
  std::atomic<std::uint32_t> turns_{0};  // odd while a visit lasts
};

}  // namespace sluice::engine
