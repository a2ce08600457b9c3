// Mapping: one operation that makes parts of ranges reachable on a set of devices, or ends that. It
// can be waited for, asked how far it is, and resumed.
//
// What is mapped has one placement, which every device of the set reaches at its own address, all
// of them at once, without being named by a launch: host memory for a shared range (the host
// reaches it too), the owner's memory for a device range (peers reach it). It stays there until it
// is unmapped: nothing migrates, evicts or discards it meanwhile. Memory of a device may be
// relocated, which nobody notices who uses it through a queue: Space::relocate().
//
// Space::map() and Space::unmap() do it in one call; Space::start_map() and start_unmap() give back
// this handle, which works like a fence. Copies name the same operation. Every member may be called
// from any thread at once. Letting go of all copies does not cancel it. A default-constructed
// handle is a finished operation on no device.
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
  partial,  // what succeeded stays; resume() tries only the rest
  // if one device fails, what this operation did is undone; what stood before stays
  all_or_nothing,
};

struct MappingOptions {
  Access access = Access::write;  // what kernels may do there
  MappingMode mode = MappingMode::partial;
  // How long waits for this operation last, also those that attach to it later. The operation
  // itself goes on.
  Fence::Clock::time_point deadline = Fence::Clock::time_point::max();
};

// How far the operation is on one device.
enum class MappingState : std::uint8_t {
  not_tried,  // its turn has not come, or an earlier failure left nothing to try
  pending,    // under way
  mapped,     // every part can be used there; also if that was so before
  unmapped,   // it reaches no part any more
  failed,     // `why` says why; nothing of this operation is left there
  undone,     // had succeeded, and was taken back because another device failed
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

  // Until it is over, or its deadline, or the earlier one given here. Returns the first device's
  // failure, as often as asked.
  //   timed_out    the operation goes on
  //   interrupted  only with OnSignal::return_interrupted; nothing is undone or done twice: wait again
  [[nodiscard]] Result<void> wait(OnSignal on_signal = OnSignal::keep_waiting) const;
  [[nodiscard]] Result<void> wait_until(Fence::Clock::time_point deadline,
                                        OnSignal on_signal = OnSignal::keep_waiting) const;

  // Tries again what is not mapped (unmapped) now, and nothing else. Without effect while the
  // operation is under way.
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
