// RangeBytes: reads and writes bytes of the ranges of one space, for copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "engine/allocator.hpp"
#include "engine/block_mover.hpp"
#include "engine/entry_checks.hpp"
#include "engine/losses.hpp"
#include "engine/range_table.hpp"
#include "observe/observe.hpp"
#include "os/host_memory.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// The parts of an engine that copies work with.
struct RangeBytesParts {
  const EntryChecks& checks;
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  BlockMover& mover;
  os::HostMemory& memory;
  Allocator& allocator;
  const plan::Abilities& abilities;
  const DeviceLosses& losses;
  observe::Observer& observer;
};

// Thread-safe.
class RangeBytes {
 public:
  explicit RangeBytes(const RangeBytesParts& parts) noexcept : parts_(parts) {}

  // The range that has the span, by number: it may be freed while it is copied.
  struct Found {
    std::uint64_t range = 0;
    Kind kind = Kind::shared;
  };
  //   unknown_address  the span is not all in one live range
  //   data_lost        bytes of it existed only on a device that was lost
  [[nodiscard]] Result<Found> find(AddressSpan span) const;
  [[nodiscard]] std::size_t offset_in_block(Address at) const noexcept {
    return (at - parts_.ranges.window().begin) % block_size;
  }

  // Copies between part of one block, of Kind::shared or Kind::host, and memory of the library's
  // own. Access::write fills the range.
  [[nodiscard]] Result<void> copy_host_part(AddressSpan part, std::uint64_t range, Access access,
                                            std::byte* bytes);
  // Copies between part of one block of Kind::device and a host range of this space.
  [[nodiscard]] Result<void> copy_device_part(AddressSpan part, std::uint64_t range, Access access,
                                              Address buffer);

  // A host range for bytes in transit, which devices of the space reach.
  struct Buffer {
    Pin range;
    Address address;
    std::byte* alias = nullptr;
  };
  [[nodiscard]] Result<Buffer> make_buffer(std::size_t size);
  void end_buffer(Buffer buffer) noexcept;

 private:
  [[nodiscard]] Result<void> refuse_lost_bytes(Range& range, AddressSpan span) const;
  [[nodiscard]] Result<std::optional<ActiveUse>> try_host_part(Range& range, AddressSpan part,
                                                               Access access, std::byte* bytes,
                                                               bool& done);
  [[nodiscard]] Result<void> await_kernel(const ActiveUse& use, Address at);

  const RangeBytesParts parts_;
};

}  // namespace sluice::engine
