// The ranges and slices of `sluice stress`. See stress/model.hpp.
//
// Five kinds of ranges, because each stresses another part: `tight` ones, in which every page has
// slices of all workers; ranges cut at random bytes into pieces of some pages; ranges cut into
// pieces about as large as blocks; many small ones, which share segments; and one of Kind::host,
// which never moves. The sizes add up to the working set, the large pieces having most of it.

#include "stress/model.hpp"
#include "program/need.hpp"

#include <algorithm>
#include <bit>

namespace sluice::stress {
namespace {

constexpr std::size_t tight_size = 64 << 10;
constexpr std::size_t tight_slice = 192;
constexpr std::size_t paged_slice = 5 * page_size;
constexpr std::size_t large_slice = block_size - block_size / 8;
constexpr std::size_t small_ranges = 32;
constexpr std::size_t largest_small = 96 << 10;
// Of a hundred slices, so many are constants.
constexpr std::size_t percent_constant = 10;

void fill(Slice slice, Random& random) {
  for (std::size_t i = 0; i < slice.size; ++i) {
    slice.shadow()[i] = slice.data()[i] = static_cast<std::byte>(random.next());
  }
}

}  // namespace

std::size_t Random::size_up_to(std::size_t limit) noexcept {
  const std::size_t bits = below(static_cast<std::size_t>(std::bit_width(limit))) + 1;
  return std::min(limit, below(std::size_t{1} << bits) + 1);
}

Slice Slice::whole_pages() const noexcept {
  const std::size_t begin = round_up(offset, page_size);
  const bool to_the_end = offset + size == home->range.size();
  const std::size_t end = to_the_end ? offset + size : round_down(offset + size, page_size);
  return {home, begin, end > begin ? end - begin : 0};
}

Slice Slice::aligned(std::size_t alignment, std::size_t length) const noexcept {
  const std::size_t begin = round_up(offset, alignment);
  return {home, begin, begin + length <= offset + size ? length : 0};
}

Slice random_part(Slice whole, std::size_t limit, Random& random) {
  const std::size_t size = random.size_up_to(std::min(limit, whole.size));
  std::size_t begin = random.below(whole.size - size + 1);
  if (random.chance(40)) {
    // Move it to the nearest border: beginning there, ending there, or across it.
    const std::size_t shift[] = {0, size, size / 2};
    const std::size_t border = round_up(whole.offset + begin, page_size) - whole.offset;
    const std::size_t moved = border - std::min(border, shift[random.below(3)]);
    if (moved + size <= whole.size) begin = moved;
  }
  return whole.part(begin, size);
}

Model::Model(const Space& space, const ModelOptions& options, Random& random)
    : owned_(static_cast<std::size_t>(options.workers)) {
  counters_ = std::make_unique<ModelRange>(
      program::need("allocate the counters", space.allocate(counters * sizeof(std::uint64_t))));
  add_range(space, tight_size, tight_slice, Kind::shared, random);
  add_range(space, tight_size, tight_slice, Kind::shared, random);
  add_range(space, tight_size, tight_slice, Kind::host, random);
  const std::size_t rest = options.working_set - std::min(options.working_set, 3 * tight_size);
  add_range(space, std::max(rest / 16, page_size), paged_slice, Kind::host, random);
  add_range(space, std::max(rest / 8, page_size), paged_slice, Kind::shared, random);
  for (std::size_t i = 0; i < small_ranges; ++i)
    add_range(space, random.size_up_to(largest_small), paged_slice, Kind::shared, random);
  // No multiple of anything, so that the last page and the last block are incomplete.
  for (int i = 0; i < 3; ++i) {
    add_range(space, std::max(rest / 4, page_size) + 1234, large_slice, Kind::shared, random);
  }
}

void Model::add_range(const Space& space, std::size_t size, std::size_t largest_slice, Kind kind,
                      Random& random) {
  ModelRange& home = *ranges_.emplace_back(
      std::make_unique<ModelRange>(program::need("allocate a range", space.allocate(size, kind))));
  for (std::size_t offset = 0; offset < size;) {
    const Slice slice{&home, offset, std::min(size - offset, random.below(largest_slice) + 1)};
    offset += slice.size;
    if (random.chance(percent_constant)) {
      fill(slice, random);
      constants_.push_back(slice);
      continue;
    }
    // A quarter stays as allocated: unwritten bytes read as zeros.
    if (!random.chance(25)) fill(slice, random);
    owned_[random.below(owned_.size())].push_back(slice);
  }
}

std::vector<AddressSpan> Model::pages() const {
  std::vector<AddressSpan> all;
  for (const auto& range : ranges_)
    all.push_back({Address::of(range->range.data()), round_up(range->range.size(), page_size)});
  all.push_back({Address::of(counters_->range.data()), page_size});
  return all;
}

const ModelRange& Model::largest_beside(Slice slice) const {
  const ModelRange* largest = counters_.get();
  for (const auto& range : ranges_)
    if (range.get() != slice.home && range->range.size() >= largest->range.size())
      largest = range.get();
  return *largest;
}

std::uint64_t* Model::counter(std::size_t number) const {
  return reinterpret_cast<std::uint64_t*>(counters_->range.data()) + number;
}

}  // namespace sluice::stress
