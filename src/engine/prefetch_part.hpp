// PrefetchPart: blocks of a prefetch that move together.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "engine/claim.hpp"
#include "engine/range.hpp"
#include "engine/stages.hpp"
#include "engine/uses.hpp"

namespace sluice::engine {

struct PrefetchPart {
  static constexpr std::size_t most_blocks = 64;  // 128 MiB: a few milliseconds of a fast link

  PrefetchPart(Pin pin, Address at, Stages& stages)
      : range(std::move(pin)), begin(at), end(at), flight(stages.prepare()) {
    claims.reserve(most_blocks);
    tasks.reserve(most_blocks);
  }

  Pin range;
  Address begin;
  Address end;  // so far
  std::vector<Claim> claims;
  std::vector<Task> tasks;
  std::optional<ActiveUse> obstacle;  // a kernel in the way at `end`
  Stages::Flight flight;              // ends before the claims do
};

}  // namespace sluice::engine
