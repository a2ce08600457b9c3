// The results of a stress run: counts by operation, and every error of Sluice.
//
// Each worker counts in its own Progress, with relaxed atomics, so that the watchdog may read them.
// Errors go to the one Findings of the run, under a mutex, and to stderr at once: a run that hangs
// later has still reported them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "stress/model.hpp"

namespace sluice::stress {

constexpr std::size_t most_operations = 32;

// Of one worker. Written by it alone.
struct Progress {
  std::array<std::atomic<std::uint64_t>, most_operations> done{};  // by operation
  std::array<std::atomic<std::uint64_t>, most_operations>
      refused{};  // `busy` and the like, where that is a right answer
  std::array<std::atomic<std::int64_t>, most_operations> slowest{};  // nanoseconds
  std::atomic<std::uint64_t> bytes_checked{0};

  // The current operation, for the watchdog.
  std::atomic<const char*> doing{"starting"};
  std::atomic<std::uint64_t> address{0};
  std::atomic<std::uint64_t> size{0};
  // Nanoseconds on the steady clock. Before its thread first runs, a worker counts as busy since it
  // was made.
  std::atomic<std::int64_t> since{std::chrono::steady_clock::now().time_since_epoch().count()};
};

class Findings {
 public:
  // The number of findings of a kind that are reported in full; the rest are counted.
  static constexpr std::size_t told = 8;

  // `context`: the worker that found it, its operation, and the seed.
  void wrong_byte(const Space& space, const Slice& slice, std::size_t index, std::byte got,
                  const std::string& context);
  void more_wrong_bytes(std::size_t count);
  void violation(const std::string& what);         // a broken invariant or promise
  void unexpected_error(const std::string& what);  // an error where none was due
  void hang(const std::string& what);
  void leak(const std::string& what);

  struct Counts {
    std::uint64_t wrong_bytes = 0;
    std::uint64_t violations = 0;
    std::uint64_t unexpected_errors = 0;
    std::uint64_t hangs = 0;
    std::uint64_t leaks = 0;

    [[nodiscard]] bool clean() const noexcept {
      return wrong_bytes + violations + unexpected_errors + hangs + leaks == 0;
    }
  };
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] std::vector<std::string> in_words() const;

 private:
  void tell(std::uint64_t& count, const std::string& what);

  mutable std::mutex mutex_;  // a leaf: nothing is called under it but formatting and stderr
  Counts counts_;
  std::vector<std::string> words_;
};

}  // namespace sluice::stress
