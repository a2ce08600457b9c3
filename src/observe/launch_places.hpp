// LaunchPlaces: numbers for what a trace tells of a launch: the kernel, the queue and the line of
// the program. A program has few of them and many launches, so an event carries a number.
//
// Thread-safe, for ordinary threads: it allocates.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/thread_annotations.hpp"

namespace sluice::observe {

class LaunchPlaces {
 public:
  // Where a program launches: an address of its code or of the text that names the source's file,
  // and the line.
  struct Site {
    const void* code = nullptr;
    std::uint32_t line = 0;

    friend auto operator<=>(const Site&, const Site&) noexcept = default;
  };

  // The most that are told apart.
  static constexpr std::size_t most = 4096;

  // Throws std::bad_alloc.
  void name_kernel(int device, std::uint64_t kernel, std::string_view name) SLUICE_EXCLUDES(mutex_);
  // The number of launches of a kernel from one place; 0: there are too many. `describe` makes the
  // text of a new place. Throws std::bad_alloc.
  template <typename Describe>
  [[nodiscard]] std::uint32_t number(int device, std::uint64_t kernel, int queue, const Site& site,
                                     Describe&& describe) SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const Key key{device, kernel, queue, site};
    if (const auto known = numbers_.find(key); known != numbers_.end()) return known->second;
    if (texts_.size() >= most) return 0;
    texts_.push_back(text_of(key, describe()));
    return numbers_[key] = static_cast<std::uint32_t>(texts_.size());
  }
  // "saxpy, queue 0, program.cc:21, in main"
  [[nodiscard]] std::string text(std::uint32_t number) const SLUICE_EXCLUDES(mutex_);

 private:
  using Key = std::tuple<int, std::uint64_t, int, Site>;

  [[nodiscard]] std::string text_of(const Key& key, const std::string& site) const
      SLUICE_REQUIRES(mutex_);

  mutable RankedMutex mutex_{LockRank::observe, "places of launches"};
  std::map<std::pair<int, std::uint64_t>, std::string> kernels_ SLUICE_GUARDED_BY(mutex_);
  std::map<Key, std::uint32_t> numbers_ SLUICE_GUARDED_BY(mutex_);
  std::vector<std::string> texts_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::observe
