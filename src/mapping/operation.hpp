// Operation: the progress of one mapping operation on each of its devices. A value: no thread, no
// device, no clock.
//
// State of a device, and what changes it
//   not_tried -> pending            attempt: its turn (the first pays for placing the bytes)
//   not_tried -> mapped, unmapped   found: it was so already, and nothing is handed over
//   pending   -> mapped, unmapped   succeed: the device's fence is complete
//   pending   -> failed             fail
//   not_tried -> failed             fail: refused before anything was handed over
//   mapped    -> undone             undo: all_or_nothing, and another device failed
//   any       -> not_tried          restart: a new try (resume, or after the wait for a kernel)
//
// The report is always exact: mapped means that the device's fence has completed, failed that
// nothing of this operation is left there. Which commands undo a device is kept by the engine, made
// before the first is handed over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "sluice/access.hpp"
#include "sluice/mapping.hpp"

namespace sluice::mapping {

enum class Verb : std::uint8_t { map, unmap };

// The request of an operation. Two calls with equal requests are the same call.
// NOLINTBEGIN(readability-redundant-member-init): designated initializers may leave them out
struct Request {
  Verb verb = Verb::map;
  std::vector<AddressSpan> parts{};
  std::vector<int> devices{};  // each once
  Access access = Access::write;
  MappingMode mode = MappingMode::partial;

  friend bool operator==(const Request&, const Request&) noexcept = default;
};
// NOLINTEND(readability-redundant-member-init)

class Operation {
 public:
  explicit Operation(const Request& request);

  void restart();
  void attempt(std::size_t index);
  // One more list of mappings was handed to the device, which is pending.
  void count_dispatch(std::size_t index);
  void found(std::size_t index);
  void succeed(std::size_t index);
  void fail(std::size_t index, const Error& why);
  void undo(std::size_t index);
  // Nothing will change any more until restart().
  void finish();

  [[nodiscard]] bool finished() const noexcept { return finished_; }
  [[nodiscard]] MappingState state(std::size_t index) const noexcept {
    return devices_[index].state;
  }
  [[nodiscard]] bool any_failed() const noexcept;
  // True if the mappings that succeeded have to be taken back.
  [[nodiscard]] bool must_undo() const noexcept {
    return mode_ == MappingMode::all_or_nothing && any_failed();
  }
  // The first failure in the order of the request.
  [[nodiscard]] Result<void> outcome() const;
  // Number of devices, from the first on, that are in the state that the request wants.
  [[nodiscard]] std::size_t prefix() const noexcept;
  [[nodiscard]] const std::vector<DeviceMapping>& devices() const noexcept { return devices_; }

 private:
  [[nodiscard]] MappingState wanted() const noexcept {
    return verb_ == Verb::map ? MappingState::mapped : MappingState::unmapped;
  }

  Verb verb_;
  MappingMode mode_;
  bool finished_ = false;
  std::vector<DeviceMapping> devices_;
};

}  // namespace sluice::mapping
