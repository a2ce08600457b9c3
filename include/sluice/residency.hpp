// Residency: the engine's view of pages, as values that a program can query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "sluice/kind.hpp"
#include "sluice/location.hpp"

namespace sluice {

// A snapshot of one page.
struct Residency {
  LocationSet holders;         // locations with a valid copy; empty: never written, reads as zeros
  LocationSet writers;         // at most one, which may write without asking
  LocationSet readers;         // may read without asking
  LocationSet host_mapped_on;  // devices that use the bytes in host memory, without a copy
  bool lost = false;           // the only copy was on a device that is gone
};

// Counts over a span, in pages of 4096 bytes.
struct ResidencySummary {
  std::size_t pages = 0;
  std::size_t untouched = 0;
  std::size_t host = 0;  // pages with a valid copy on the host
  std::size_t device[max_devices] = {};
  std::size_t lost = 0;
};

struct RangeInfo {
  void* base = nullptr;
  std::size_t size = 0;  // bytes asked for
  Kind kind = Kind::shared;
  int device = -1;   // Kind::device: the owner
  std::string name;  // given with its allocation; empty: none
};

}  // namespace sluice
