// Access: how a kernel or a host program uses bytes, and what a page's rights allow.
#pragma once

#include <cstdint>

namespace sluice {

enum class Access : std::uint8_t {
  read,
  write,  // may read and write; bytes that are not written keep their value
};

}  // namespace sluice
