// TouchedMemory: plain memory laid over addresses that somebody else may use, which tells whether
// anybody did.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/address_window.hpp"

namespace sluice::os {

class TouchedMemory {
 public:
  // Over what is mapped there and holds nothing that is needed: whole blocks. At the end zeroed
  // memory is left. Errors: as AddressWindow::adopt.
  [[nodiscard]] static Result<TouchedMemory> lay_over(AddressSpan span);

  // Whether any of its pages was read or written since, by any thread or by the kernel on behalf of
  // one (mincore(2)). True also where Linux refuses to tell.
  [[nodiscard]] bool was_touched() const noexcept;

 private:
  explicit TouchedMemory(AddressWindow window) noexcept : window_(std::move(window)) {}

  AddressWindow window_;
};

}  // namespace sluice::os
