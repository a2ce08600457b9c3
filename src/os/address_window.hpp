// AddressWindow: one reservation of managed addresses, for the life of a space.
//
// The same addresses must be free in every device process too. So a window lies in the middle of
// the address space, which neither the kernel nor the loader uses by itself, and never near the
// top, where libraries, stacks and unhinted mappings live. Nothing is mapped in it until HostMemory
// does so: until then any access is a plain SIGSEGV.
#pragma once

#include <cstddef>
#include <utility>

#include "base/result.hpp"
#include "base/types.hpp"

namespace sluice::os {

class AddressWindow {
 public:
  static constexpr std::size_t default_size = std::size_t{1} << 40;   // 1 TiB
  static constexpr std::size_t smallest_size = std::size_t{1} << 26;  // 64 MiB

  // Reserves `size` bytes (a multiple of the block size) aligned to a block. When the machine or a
  // limit refuses that much, half is tried, down to `at_least`; span() gives the result. Costs no
  // memory. Several windows may live at once. Errors: invalid_argument (size), out_of_host_memory
  // (no room, or ulimit -v).
  [[nodiscard]] static Result<AddressWindow> reserve(std::size_t size = default_size,
                                                     std::size_t at_least = smallest_size);

  // Reserves just these addresses, whole pages. Errors: busy (something is mapped there),
  // out_of_host_memory (no mapping left, or addresses that no process has).
  [[nodiscard]] static Result<AddressWindow> reserve_at(AddressSpan span);

  // Takes over addresses at which the caller has an unused mapping (the host's side of a driver's
  // allocation). At its end plain zeroed memory is left there for their owner. Errors:
  // invalid_argument (no whole blocks), out_of_host_memory.
  [[nodiscard]] static Result<AddressWindow> adopt(AddressSpan span);

  AddressWindow(AddressWindow&& other) noexcept
      : span_(std::exchange(other.span_, {})), adopted_(other.adopted_) {}
  AddressWindow& operator=(AddressWindow&& other) noexcept;
  AddressWindow(const AddressWindow&) = delete;
  AddressWindow& operator=(const AddressWindow&) = delete;
  ~AddressWindow();

  [[nodiscard]] AddressSpan span() const noexcept { return span_; }

  // Puts the bare reservation back over whatever is mapped in `part`. Fails only when the process
  // has no mapping left.
  [[nodiscard]] Result<void> clear(AddressSpan part) const noexcept;

 private:
  explicit AddressWindow(AddressSpan span, bool adopted = false) noexcept
      : span_(span), adopted_(adopted) {}

  AddressSpan span_;
  bool adopted_ = false;
};

// A managed address as the argument of a Linux call. Never to be dereferenced.
[[nodiscard]] inline void* pointer_for_call(Address address) noexcept {
  return reinterpret_cast<void*>(address.value);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace sluice::os
