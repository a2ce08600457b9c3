// GuardWindow: registers a space's window with the guard, so that libc's calls bring managed
// buffers before the kernel touches them.
//
// In the grades user and signal the kernel's own accesses to pages that are elsewhere give EFAULT.
// The guard (src/face/guard/), where it is loaded, brings pages of windows that it knows. Cost: a
// look-up by name when a space opens.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/types.hpp"

namespace sluice::fault {

class GuardWindow {
 public:
  // Does nothing without the guard. The guard may have no place left (128 windows): refusal().
  explicit GuardWindow(AddressSpan window) noexcept;
  GuardWindow(const GuardWindow&) = delete;
  GuardWindow& operator=(const GuardWindow&) = delete;
  ~GuardWindow();

  // Explains the guard's refusal, to be added to the reason of a source; empty unless it refused.
  [[nodiscard]] std::string_view refusal() const noexcept;

 private:
  std::uintptr_t begin_ = 0;
  bool is_refused_ = false;
};

}  // namespace sluice::fault
