// Mapping: one operation that makes parts of ranges reachable on a set of devices, or ends that. It
// can be waited for, asked how far it is, and resumed.
//
// Mapped memory has one placement, which all devices of the set reach at the memory's own address
// at the same time, and which no launch has to name: host memory for a shared range (the host
// reaches it too), the owner's memory for a device range (peers reach it). It stays there until it
// is unmapped: nothing migrates, evicts or discards it meanwhile. Device memory may be relocated,
// which work in queues does not notice: Space::relocate().
//
// Space::map() and Space::unmap() do it in one call; Space::start_map() and start_unmap() return
// this handle, which works like a fence. Copies name the same operation. Members may be called from
// several threads at once. Destroying all copies does not cancel the operation. A
// default-constructed handle is a finished operation on no device.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sluice/access.hpp"
#include "sluice/export.hpp"
#include "sluice/fence.hpp"
#include "sluice/result.hpp"

namespace sluice {

namespace engine {
class Engine;
struct MappingTask;
}  // namespace engine

// Managed bytes inside one live range. Mapping is by blocks of 2 MiB: a part stands for all blocks
// that it touches.
struct MappingPart {
  const void* data = nullptr;
  std::size_t size = 0;
};

enum class MappingMode : std::uint8_t {
  partial,  // devices that succeeded stay mapped; resume() tries only the rest
  // if one device fails, this operation is undone; earlier mappings stay
  all_or_nothing,
};

struct MappingOptions {
  Access access = Access::write;  // what kernels may do there
  MappingMode mode = MappingMode::partial;
  // Ends waits for this operation, also those that attach to it later. The operation itself goes
  // on.
  Fence::Clock::time_point deadline = Fence::Clock::time_point::max();
};

// The progress of the operation on one device.
enum class MappingState : std::uint8_t {
  not_tried,  // its turn has not come, or an earlier failure left nothing to try
  pending,    // under way
  mapped,     // every part can be used there, even if it could before
  unmapped,   // the device no longer reaches any part
  failed,     // `why` says why; nothing of this operation is left there
  undone,     // had succeeded, and was undone because another device failed
};

struct DeviceMapping {
  int device = -1;
  MappingState state = MappingState::not_tried;
  // Of `failed`. Initialized, so that designated initializers may leave it out.
  std::optional<Error> why{};  // NOLINT(readability-redundant-member-init)
  std::uint32_t dispatched =
      0;  // lists of mappings handed to it by the latest try; 0: there was nothing to do
};

// A snapshot; exact once `done`.
struct MappingReport {
  std::vector<DeviceMapping> devices;  // in the order of the request
  std::size_t prefix =
      0;  // how many of them, from the first on, are mapped (unmapped) without a gap
  bool done = false;
  std::chrono::nanoseconds remaining{0};  // until the deadline; nanoseconds::max() without one
  std::size_t lost =
      0;  // bytes of the parts that existed only on a device which was lost meanwhile
};

class SLUICE_EXPORT Mapping {
 public:
  Mapping() noexcept = default;

  // The operation is over, however it ended. Never blocks.
  [[nodiscard]] bool done() const noexcept;
  [[nodiscard]] MappingReport report() const;

  // Waits until it is over, or until its deadline, or the earlier one given here. Every call
  // returns the failure of the first device that failed.
  //   timed_out    the operation goes on
  //   interrupted  only with OnSignal::return_interrupted; the operation goes on: wait again
  [[nodiscard]] Result<void> wait(OnSignal on_signal = OnSignal::keep_waiting) const;
  [[nodiscard]] Result<void> wait_until(Fence::Clock::time_point deadline,
                                        OnSignal on_signal = OnSignal::keep_waiting) const;

  // Retries only the devices that are not mapped (unmapped) now. Has no effect while the operation
  // is under way.
  //   unknown_address  a part was freed meanwhile
  [[nodiscard]] Result<void> resume(
      Fence::Clock::time_point deadline = Fence::Clock::time_point::max()) const;

  friend bool operator==(const Mapping&, const Mapping&) noexcept = default;

 private:
  friend struct Inside;

  std::shared_ptr<engine::Engine> engine_;
  std::shared_ptr<engine::MappingTask> task_;
};

}  // namespace sluice
