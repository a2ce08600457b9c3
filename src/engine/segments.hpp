// Segments: which small ranges share views, and where their addresses come from. Pure bookkeeping.
//
// A segment is 32 MiB of addresses whose two views are mapped and watched as one. It is given out
// in cells of 64 KiB, which no granule of a device may exceed: so each cell can be mapped on a
// device by itself, and a range in cells has blocks, rights and residency of its own, as any other
// has. Such ranges share nothing but mappings of the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <optional>

#include "base/page_mask.hpp"
#include "base/types.hpp"
#include "sluice/kind.hpp"
#include "sluice/options.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

inline constexpr std::size_t cell_size = std::size_t{64} << 10;
inline constexpr std::uint32_t cells_per_segment = 512;
inline constexpr std::size_t segment_size = cell_size * cells_per_segment;
inline constexpr std::size_t cells_per_block = block_size / cell_size;

// True if every device can map each cell by itself, wherever it lies, and knows nothing of the
// host's pages that would have to end with a range.
[[nodiscard]] bool can_map_cells(const transfer::Devices& devices) noexcept;
// True if a range shares a segment with others, where devices can map cells: a shared range of
// less than a block, on pages that need no views of their own. `pages`: the range's, or else those
// of the space.
[[nodiscard]] bool shares_segment(std::size_t size, Kind kind, HostPages pages) noexcept;

// The whole cells that the pages of a range in a segment lie in.
[[nodiscard]] constexpr AddressSpan cells_of(AddressSpan pages) noexcept {
  return {pages.begin, round_up(pages.size, cell_size)};
}

// The segments of a space, and their free cells. Not thread-safe; knows addresses only.
class Segments {
 public:
  // Adds a segment whose cells are all free. Without memory for its record it throws bad_alloc.
  void add(Address begin);
  // Takes cells for `size` bytes, less than a block, from the segment with the shortest free run
  // that may hold them. Nothing: no segment has that many in a row.
  [[nodiscard]] std::optional<Address> take(std::size_t size) noexcept;
  // Gives back what take() gave out, or a part of it.
  void give_back(AddressSpan cells) noexcept;
  // Takes one free cell out, which is not given back.
  void withdraw(Address cell) noexcept;

  // The segment that an address lies in.
  [[nodiscard]] std::optional<Address> segment_at(Address address) const noexcept;
  [[nodiscard]] bool is_empty(Address segment) const noexcept;
  // Segments of which every cell is free.
  [[nodiscard]] std::size_t empty_count() const noexcept { return empty_; }
  void remove(Address segment) noexcept;
  // Any of them; nothing if there is none.
  [[nodiscard]] std::optional<Address> any() const noexcept;

 private:
  static constexpr std::uint32_t most_cells = cells_per_block;  // of one range

  struct Segment {
    Address begin;
    PageMask free = PageMask::all();   // of its cells, numbered as the pages of a block are
    std::uint32_t bound = most_cells;  // no free run is longer, as far as counts here
  };
  using List = std::list<Segment>;

  [[nodiscard]] List::iterator find(Address address) const noexcept;
  [[nodiscard]] std::optional<Address> take_from(List::iterator segment,
                                                 std::uint32_t count) noexcept;
  void set_bound(List::iterator segment, std::uint32_t bound) noexcept;

  static_assert(cells_per_segment == pages_per_block);

  std::array<List, most_cells + 1> lists_;  // by bound
  std::map<Address, List::iterator> by_address_;
  std::size_t empty_ = 0;
};

}  // namespace sluice::engine
