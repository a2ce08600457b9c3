// Patterns: finds in a stream of events what costs a program its time: bytes that go back and forth
// (thrashing), and bytes that do so only because others beside them are used elsewhere (false
// sharing).
//
// For one thread.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "sluice/trace.hpp"

namespace sluice::observe {

struct Pattern {
  enum class Kind : std::uint8_t { thrashing, false_sharing };

  Kind kind = Kind::thrashing;
  Location a = Location::host();  // the bytes go back and forth between these
  Location b = Location::host();
  std::uint64_t time = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint32_t returns = 0;  // how often they came back
};

class Patterns {
 public:
  // Bytes are looked at in spots of this size, the smallest that a software GPU moves.
  static constexpr std::uint64_t spot_size = std::uint64_t{64} << 10;
  // So many returns with pauses no longer than that are thrashing; it is told again at each
  // doubling.
  static constexpr std::uint32_t least_returns = 6;
  static constexpr std::uint64_t longest_pause = 500'000'000;

  // Notes an event, and returns what it completes.
  [[nodiscard]] std::vector<Pattern> note(const Event& event);

 private:
  struct Spot {
    std::uint64_t moved = 0;  // time
    std::int32_t at = -2;     // the location that it went to last, and came from
    std::int32_t from = -2;
    std::uint32_t returns = 0;
    std::uint32_t touched_bytes = 0;
    std::array<std::uint64_t, 8> touched{};  // the first bytes that the host touched
  };
  using Use = std::tuple<int, std::uint64_t, std::uint64_t>;  // device, begin, end

  void forget(std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] bool names(int device, std::uint64_t begin, std::uint64_t end) const;
  [[nodiscard]] bool is_false_sharing(const Spot& spot, std::uint64_t begin, Location a,
                                      Location b) const;
  [[nodiscard]] bool devices_share(int a, int b, std::uint64_t begin) const;

  std::unordered_map<std::uint64_t, Spot> spots_;  // by address / spot_size
  std::set<Use> uses_;
};

}  // namespace sluice::observe
