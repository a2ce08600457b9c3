// Result: the return type of every call that can fail.
//
// An Error is a code plus one line that names the offending value. The line is held inline, so that
// making an error never allocates: access faults are answered on threads that must not call malloc.
#pragma once

#include <cstdint>
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

template <typename T>
using Result = tl::expected<T, Error>;

template <typename... Arguments>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, const char* format,
                                         Arguments... arguments) noexcept {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  return tl::unexpected<Error>(Error(code, format, arguments...));
#pragma GCC diagnostic pop
}

}  // namespace sluice
