// IntervalMap: a value for each index of [0, size), kept as maximal runs of equal values.
//
// It holds advice: a few runs over a range of millions of pages. It is a sorted vector of the
// beginnings of runs; reading is a binary search, writing moves the tail.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/types.hpp"

namespace sluice {

// T: copyable and comparable. Here a PageSpan counts pages of the whole range.
template <typename T>
class IntervalMap {
 public:
  explicit IntervalMap(std::uint32_t size, T value = T{})
      : size_(size), runs_{{0, std::move(value)}} {
    assert(size > 0);
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t run_count() const noexcept { return runs_.size(); }
  [[nodiscard]] const T& at(std::uint32_t index) const noexcept { return run_of(index)->value; }

  // Sets the indices of `span`, which must lie inside, to the value. `value` is a copy: it may come
  // from a run that moves.
  void assign(PageSpan span, T value) {
    assert(span.end() <= size_);
    if (span.count == 0) return;
    split(span.end());
    split(span.first);
    const auto first = begin_of(span.first);
    const auto rest = first + (begin_of(span.end()) - first);
    first->value = std::move(value);
    runs_.erase(first + 1, rest);
    merge_around(span);
  }

  // Calls `visit(PageSpan, const T&)` for each run that meets `span`, in order, cut to it.
  template <typename Visitor>
  void for_each(PageSpan span, Visitor&& visit) const {
    assert(span.end() <= size_);
    if (span.count == 0) return;
    for (auto run = run_of(span.first); run != runs_.end() && run->first < span.end(); ++run) {
      const auto next = run + 1;
      const std::uint32_t first = std::max(run->first, span.first);
      const std::uint32_t end = std::min(next == runs_.end() ? size_ : next->first, span.end());
      visit(PageSpan{first, end - first}, run->value);
    }
  }

 private:
  struct Run {
    std::uint32_t first;
    T value;
  };

  // The run that contains `index`.
  [[nodiscard]] auto run_of(std::uint32_t index) const noexcept {
    assert(index < size_);
    const auto after =
        std::upper_bound(runs_.begin(), runs_.end(), index,
                         [](std::uint32_t at, const Run& run) { return at < run.first; });
    return after - 1;
  }
  // The first run that begins at `index` or later.
  [[nodiscard]] auto begin_of(std::uint32_t index) noexcept {
    return std::lower_bound(runs_.begin(), runs_.end(), index,
                            [](const Run& run, std::uint32_t at) { return run.first < at; });
  }
  // Makes a run begin at `index`.
  void split(std::uint32_t index) {
    if (index >= size_) return;
    const auto run = run_of(index);
    if (run->first == index) return;
    const Run tail{index, run->value};
    runs_.insert(run + 1, tail);
  }
  // Joins the run of `span` with its neighbours where their values are the same.
  void merge_around(PageSpan span) {
    const auto run = begin_of(span.first);
    if (const auto next = run + 1; next != runs_.end() && next->value == run->value)
      runs_.erase(next);
    if (run != runs_.begin() && (run - 1)->value == run->value) runs_.erase(run);
  }

  std::uint32_t size_;
  std::vector<Run> runs_;  // by `first`, which is 0 for the first; neighbours differ
};

}  // namespace sluice
