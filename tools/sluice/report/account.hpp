// Account: sums up a trace, range by range, while it is read.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "report/trace_reader.hpp"

namespace sluice::tool::report {

// A distribution of times, in steps of a twelfth.
class Latency {
 public:
  void add(std::uint64_t nanoseconds);
  [[nodiscard]] Json summary() const;

 private:
  static constexpr int steps = 8;  // for each doubling
  std::array<std::uint64_t, 64 * steps> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t most_ = 0;
};

// The share of launches from one place in what happened to a range.
struct LaunchShare {
  std::uint64_t launches = 0;  // for which bytes moved
  std::uint64_t bytes = 0;     // that moved for them
  std::uint64_t waited = 0;    // ns of their copies
  std::uint64_t named = 0;     // the most bytes that one names
  bool writes = false;
  std::map<std::uint64_t, std::uint64_t> touched;  // by address of a use: the most bytes used
  std::uint64_t undeclared = 0;                    // pages
  bool undeclared_writes = false;
};

struct RangeAccount {
  std::string name;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t ended = 0;  // time; 0: not within the trace
  std::map<std::string, std::uint64_t> held;  // bytes, by location
  struct Bin {
    std::uint64_t moved = 0;
    std::string holder;
  };
  std::map<std::uint64_t, Bin> bins;  // of Account::bin_width
  std::uint64_t moved = 0;
  std::uint64_t faults = 0;
  std::uint64_t host_writes = 0;
  std::uint64_t host_bytes = 0;                 // that host accesses brought
  std::uint64_t host_waited = 0;                // ns of these accesses
  std::map<std::string, std::uint64_t> codes;   // of host accesses
  std::map<std::string, LaunchShare> launches;  // by place
  std::uint64_t thrashing = 0;                  // returns
  std::uint64_t false_sharing = 0;
  std::uint64_t thrashing_size = 0;
  std::set<std::string> parties;  // locations that the bytes go between
};

class Account {
 public:
  void add(const Entry& entry);
  [[nodiscard]] const std::vector<RangeAccount>& ranges() const noexcept { return ranges_; }
  // Everything but the findings.
  [[nodiscard]] Json summary(const TraceHead& head) const;

 private:
  struct Move {
    std::size_t range;
    std::uint64_t bytes;
    std::uint64_t duration;
  };

  RangeAccount& range_at(const Entry& entry);
  void move(const Entry& entry);
  void invalidate(const Entry& entry);
  void note_launch(const Entry& entry);
  void note_of_launch(const Entry& entry);
  void note_pattern(const Entry& entry);
  RangeAccount::Bin& bin(RangeAccount& range, std::uint64_t time);
  void widen_bins();
  [[nodiscard]] Json heat() const;

  std::vector<RangeAccount> ranges_;
  std::map<std::uint64_t, std::size_t> live_;  // by address
  std::map<std::string, std::uint64_t> counts_;
  struct Flow {
    std::uint64_t bytes = 0;
    std::uint64_t count = 0;
  };
  std::map<std::array<std::string, 3>, Flow> flows_;  // from, to, cause
  std::map<std::string, Latency> latencies_;
  std::vector<Json> residency_;
  std::unordered_map<std::uint64_t, std::vector<Move>> pending_;  // by link, before their launch
  std::unordered_map<std::uint64_t, std::string> places_;         // by link
  std::int64_t process_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t bin_width_ = 1'000'000;
  std::uint64_t overwritten_ = 0;
  std::uint64_t kernels_left_out_ = 0;
};

}  // namespace sluice::tool::report
