// The reference model of `sluice stress`: the expected value of every managed byte.
//
// Each range has a shadow, an equal array of plain memory. A slice is a piece of a range that one
// worker owns: it alone changes those bytes and their shadow, so the model needs no lock and is
// exact, while slices of different workers share pages and blocks with each other. That false
// sharing is what a coherence protocol has to survive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/types.hpp"
#include "sluice/sluice.hpp"

namespace sluice::stress {

// splitmix64: small, and the same sequence everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // 0 .. limit - 1
  std::size_t below(std::size_t limit) noexcept { return static_cast<std::size_t>(next() % limit); }
  bool chance(std::size_t percent) noexcept { return below(100) < percent; }
  // 1 .. limit, small numbers as likely as large ones.
  std::size_t size_up_to(std::size_t limit) noexcept;

 private:
  std::uint64_t state_;
};

struct ModelRange {
  explicit ModelRange(Range memory)
      : range(std::move(memory)), shadow(new std::byte[range.size()]()) {}

  Range range;
  std::unique_ptr<std::byte[]> shadow;
};

// Bytes of a range with their shadow. A value; the range must outlive it.
struct Slice {
  ModelRange* home = nullptr;
  std::size_t offset = 0;
  std::size_t size = 0;

  [[nodiscard]] std::byte* data() const noexcept { return home->range.data() + offset; }
  [[nodiscard]] std::byte* shadow() const noexcept { return home->shadow.get() + offset; }
  [[nodiscard]] Slice part(std::size_t begin, std::size_t length) const noexcept {
    return {home, offset + begin, length};
  }
  // The whole pages inside; may be empty. A range ends with a whole page, however few bytes of it
  // are used.
  [[nodiscard]] Slice whole_pages() const noexcept;
  // The first `length` bytes that begin at a multiple of `alignment`; empty if they do not fit.
  [[nodiscard]] Slice aligned(std::size_t alignment, std::size_t length) const noexcept;
};

// A random part of at most `limit` bytes; often one that begins or ends at a border of a page, or
// lies across one.
[[nodiscard]] Slice random_part(Slice whole, std::size_t limit, Random& random);

struct ModelOptions {
  std::size_t working_set = 0;  // bytes of the shared ranges, about
  int workers = 0;
};

class Model {
 public:
  static constexpr std::size_t counters = 64;

  // Allocates the ranges, cuts them into slices and fills them. Ends the verb if the machine has no
  // room.
  Model(const Space& space, const ModelOptions& options, Random& random);

  [[nodiscard]] const std::vector<Slice>& owned_by(int worker) const {
    return owned_[static_cast<std::size_t>(worker)];
  }
  // Slices that never change, for all workers to read.
  [[nodiscard]] const std::vector<Slice>& constants() const { return constants_; }
  // 64-bit counters that every worker adds to; they have no shadow, but each worker knows its own
  // sum.
  [[nodiscard]] std::uint64_t* counter(std::size_t number) const;
  [[nodiscard]] const ModelRange& range_of_counters() const { return *counters_; }
  // The pages of every range.
  [[nodiscard]] std::vector<AddressSpan> pages() const;
  // The largest range that the slice is not of.
  [[nodiscard]] const ModelRange& largest_beside(Slice slice) const;

 private:
  void add_range(const Space& space, std::size_t size, std::size_t largest_slice, Kind kind,
                 Random& random);

  std::vector<std::unique_ptr<ModelRange>> ranges_;
  std::unique_ptr<ModelRange> counters_;
  std::vector<std::vector<Slice>> owned_;
  std::vector<Slice> constants_;
};

}  // namespace sluice::stress
