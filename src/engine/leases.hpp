// Lease: a promise, with an end, that a span's bytes stay where they are.
#pragma once

#include "engine/range.hpp"

namespace sluice::engine {

struct Lease {
  Pin range;
  AddressSpan span;
  Location location = Location::host();
  Access access = Access::read;
};

}  // namespace sluice::engine
