// EntryDropping: a thread that takes page-table entries of managed memory away beside a stress run,
// as Linux does when it pages out, and splits and collapses huge pages. No byte changes by it, and
// every access must go on.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/types.hpp"

namespace sluice::stress {

class EntryDropping {
 public:
  // Drops entries of some of the ranges' pages this often a second. 0: no thread at all.
  EntryDropping(std::vector<AddressSpan> ranges, int per_second, std::uint64_t seed);
  EntryDropping(const EntryDropping&) = delete;
  EntryDropping& operator=(const EntryDropping&) = delete;
  ~EntryDropping();

  // How often Linux followed the advice.
  [[nodiscard]] std::uint64_t done() const noexcept { return done_; }

 private:
  void run(int per_second, std::uint64_t seed);
  void drop_some(std::uint64_t choice, std::uint64_t place, std::uint64_t length) noexcept;

  const std::vector<AddressSpan> ranges_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> done_{0};
  std::thread thread_;
};

}  // namespace sluice::stress
