// TouchedMemory: plain memory laid over addresses that other code may use; it reports if any did.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/address_window.hpp"

namespace sluice::os {

class TouchedMemory {
 public:
  // Replaces an unneeded mapping of whole blocks. At the end zeroed memory is left there. Errors:
  // as AddressWindow::adopt.
  [[nodiscard]] static Result<TouchedMemory> lay_over(AddressSpan span);

  // True if any of its pages was read or written since, by any thread or by the kernel on behalf of
  // one (mincore(2)). True also where Linux refuses to tell.
  [[nodiscard]] bool was_touched() const;

 private:
  explicit TouchedMemory(AddressWindow window) noexcept : window_(std::move(window)) {}

  AddressWindow window_;
};

}  // namespace sluice::os
