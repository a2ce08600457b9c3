// Error: the reason why a call failed: a code plus one line that names the offending value.
//
// The line is held inline, so that making an error never allocates: access faults are answered on
// threads that must not call malloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string_view>

#include <tl/expected.hpp>

#include "sluice/export.hpp"

namespace sluice {

enum class ErrorCode : std::uint8_t {
  invalid_argument,      // a size, flag or name that no call could accept
  unknown_address,       // not inside a live range, or not a range's base where a base is needed
  unknown_device,        // no device with that number
  unknown_kernel,        // no such module or kernel
  busy,                  // leased, mapped or in use; try again when the named holder is done
  out_of_host_memory,    // host memory, address space, mappings or descriptors are exhausted
  out_of_device_memory,  // the device's budget cannot hold what was asked for
  device_fault,          // a kernel touched an address that its device cannot reach
  device_lost,  // the device is gone or was reset; the detail names the bytes that were only there
  data_lost,    // the bytes asked for existed only on a device that was lost
  timed_out,    // the deadline passed; the operation goes on
  interrupted,  // a signal ended the wait; wait again to go on waiting
  unsupported,  // this machine, grade or back end cannot do it
  system,       // a Linux call failed in a way that no other code describes
};

[[nodiscard]] SLUICE_EXPORT std::string_view to_string(ErrorCode code) noexcept;

class SLUICE_EXPORT Error {
 public:
  static constexpr std::size_t detail_capacity = 232;

  // `format` as in printf; longer details are cut, never dropped.
  [[gnu::format(printf, 3, 4)]] Error(ErrorCode code, const char* format, ...) noexcept;

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] std::string_view detail() const noexcept { return detail_; }

 private:
  ErrorCode code_;
  char detail_[detail_capacity];
};

}  // namespace sluice

// The exception that value() throws. what() is the whole error, "unknown device: device 7: ...", so
// that a program that does not catch it ends with a message that says why. It is specialized here,
// beside Error, because every source that can name the exception has then seen this declaration.
// libsluice.so never throws it and exports none of it: each library of a program has its own, and
// is to show it even where it hides everything else, since libc++ tells types by addresses.
template <>
class [[gnu::visibility("default")]] tl::bad_expected_access<sluice::Error>
    : public std::exception {
 public:
  explicit bad_expected_access(const sluice::Error& error) noexcept : error_(error) {
    const std::string_view code = to_string(error.code());
    const std::string_view between = error.detail().empty() ? "" : ": ";
    std::size_t length = code.copy(text_, most_of_code);
    length += between.copy(text_ + length, between.size());
    length += error.detail().copy(text_ + length, sluice::Error::detail_capacity);
    text_[length] = '\0';
  }

  [[nodiscard]] const char* what() const noexcept override { return text_; }

  [[nodiscard]] const sluice::Error& error() const& noexcept { return error_; }
  [[nodiscard]] sluice::Error& error() & noexcept { return error_; }
  [[nodiscard]] const sluice::Error&& error() const&& noexcept {
    return static_cast<const sluice::Error&&>(error_);
  }
  [[nodiscard]] sluice::Error&& error() && noexcept { return static_cast<sluice::Error&&>(error_); }

 private:
  static constexpr std::size_t most_of_code = 32;

  sluice::Error error_;
  char text_[most_of_code + 2 + sluice::Error::detail_capacity + 1];
};
