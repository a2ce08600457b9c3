// Finding: an error that strict mode found. A kernel touched memory that its launch does not name,
// or wrote memory that the launch names for reading.
//
// There is one for each kernel, range and kind of error, however often it was made. docs/strict.md
// is the guide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/access.hpp"
#include "sluice/export.hpp"
#include "sluice/kind.hpp"

namespace sluice {

enum class FindingKind : std::uint8_t {
  not_named,   // the launch names nothing of the range
  beyond,      // it names a part of the range, and the kernel touched another part
  named_read,  // it names the bytes for reading, and the kernel wrote them
};
[[nodiscard]] SLUICE_EXPORT std::string_view to_string(FindingKind kind) noexcept;

struct Finding {
  FindingKind kind = FindingKind::not_named;
  Access access = Access::read;  // the kernel's
  std::string kernel;
  int device = -1;                // where it was met first
  const void* address = nullptr;  // of the first byte that was met
  const void* range = nullptr;    // the base of its range
  std::size_t range_size = 0;     // bytes
  std::string range_name;         // empty: it has none
  Kind range_kind = Kind::shared;
  std::size_t offset = 0;  // of `address` in the range, bytes
  std::size_t touched_begin =
      0;  // the pages touched so far, from the first to the last: bytes of the range
  std::size_t touched_end = 0;
  std::uint64_t pages = 0;     // pages touched, counted once for each launch
  std::uint64_t launches = 0;  // launches that made this error
  std::string
      site;  // where the first of them was submitted: "file:line (function)", or module and offset
  std::string named;   // what that launch names of the range
  std::string advice;  // what to write
  std::string text;    // all of it, as it was printed
};

}  // namespace sluice
