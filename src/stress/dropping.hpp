// EntryDropping: a thread that takes page-table entries of managed memory away beside a stress run,
// as Linux does when it pages out, and splits and collapses huge pages. No byte changes by it, and
// every access must go on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "base/types.hpp"

namespace sluice::stress {

// How often Linux followed advice, and how often it refused it, by errno.
struct AdviceCount {
  std::uint64_t followed = 0;
  std::map<int, std::uint64_t> refused;
};

// Of each kind of advice, in the order of advice_names.
constexpr std::array advice_names = {"DONTNEED", "PAGEOUT", "COLLAPSE"};
using AdviceCounts = std::array<AdviceCount, advice_names.size()>;
void add(const AdviceCounts& more, AdviceCounts& counts);
[[nodiscard]] std::uint64_t followed(const AdviceCounts& counts) noexcept;

class EntryDropping {
 public:
  // Drops entries of some of the ranges' pages this often a second. 0: no thread at all.
  EntryDropping(std::vector<AddressSpan> ranges, int per_second, std::uint64_t seed);
  EntryDropping(const EntryDropping&) = delete;
  EntryDropping& operator=(const EntryDropping&) = delete;
  ~EntryDropping();

  // Ends the thread; what it has done.
  const AdviceCounts& end();

 private:
  void run(int per_second, std::uint64_t seed);
  void drop_some(std::uint64_t choice, std::uint64_t place, std::uint64_t length);

  const std::vector<AddressSpan> ranges_;
  std::atomic<bool> stop_{false};
  AdviceCounts counts_;  // the thread's, until it has ended
  std::thread thread_;
};

}  // namespace sluice::stress
