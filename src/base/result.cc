// Error: formatting into the inline buffer, and the names of the codes.
#include "sluice/result.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/plain_text.hpp"

namespace sluice {

Error::Error(ErrorCode code, const char* format, ...) noexcept : code_(code), detail_{} {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(detail_, sizeof detail_, format, arguments);
  va_end(arguments);
  // A message is one line, and no program's text that it quotes drives a terminal. Its end may have
  // been cut within a character.
  make_plain(detail_, std::strlen(detail_));
}

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid argument";
    case ErrorCode::unknown_address:
      return "unknown address";
    case ErrorCode::unknown_device:
      return "unknown device";
    case ErrorCode::unknown_kernel:
      return "unknown kernel";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::out_of_host_memory:
      return "out of host memory";
    case ErrorCode::out_of_device_memory:
      return "out of device memory";
    case ErrorCode::device_fault:
      return "device fault";
    case ErrorCode::device_lost:
      return "device lost";
    case ErrorCode::data_lost:
      return "data lost";
    case ErrorCode::timed_out:
      return "timed out";
    case ErrorCode::interrupted:
      return "interrupted";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::system:
      return "system error";
  }
  return "unknown error";
}

}  // namespace sluice
