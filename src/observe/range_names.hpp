// RangeNames: the named ranges of a space, as its trace tells them. An event has an address and a
// time, and by then another range may lie there; so ended ranges are remembered for a while.
//
// Thread-safe, for ordinary threads: it allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/ranked_mutex.hpp"
#include "base/thread_annotations.hpp"
#include "base/types.hpp"

namespace sluice::observe {

class RangeNames {
 public:
  // The newest ended ranges that are remembered.
  static constexpr std::size_t most_ended = 1024;

  // An empty name is not remembered. Throws std::bad_alloc.
  void begin(AddressSpan pages, std::string_view name) SLUICE_EXCLUDES(mutex_);
  void end(Address base) noexcept SLUICE_EXCLUDES(mutex_);
  // The name of the range that the address lay in at that time (observe::now()); empty: none.
  [[nodiscard]] std::string at(std::uint64_t address, std::uint64_t time) const
      SLUICE_EXCLUDES(mutex_);

 private:
  // When it ended, and its first address: the order in which ended ranges are forgotten, and below
  // one another those that live.
  using Key = std::pair<std::uint64_t, std::uint64_t>;
  struct NamedRange {
    std::uint64_t size;
    std::uint64_t begin;  // time
    std::string name;
  };
  using Ranges = std::map<Key, NamedRange>;
  static constexpr std::uint64_t lives = ~std::uint64_t{0};

  mutable RankedMutex mutex_{LockRank::observe, "names of ranges"};
  Ranges ranges_ SLUICE_GUARDED_BY(mutex_);
  std::size_t ended_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::observe
