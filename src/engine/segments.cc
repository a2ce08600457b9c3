// Segments: finds cells for small ranges.
//
// Segments are kept in lists by the longest free run that they may have. That is an upper bound: it
// is lowered where a search fails, and raised where cells come back, so neither taking nor giving
// back looks at more than a few segments on average, however many there are. Cost: some ten
// nanoseconds, and one look-up in a map. What it does not do: map anything (allocator.cc does), or
// know the ranges (range_table.cc does).
#include "engine/segments.hpp"

#include <algorithm>

namespace sluice::engine {

bool can_map_cells(const transfer::Devices& devices) noexcept {
  return std::ranges::all_of(devices, [](const auto& device) {
    const device::Traits& traits = device->traits();
    const bool divides = traits.mapping_granule != 0 && cell_size % traits.mapping_granule == 0 &&
                         (traits.host_granule == 0 || cell_size % traits.host_granule == 0);
    return divides && !traits.keeps_host_memory && !traits.shares_addresses &&
           device->placed_memory() == nullptr;
  });
}

bool shares_segment(std::size_t size, Kind kind, HostPages pages) noexcept {
  return kind == Kind::shared && size != 0 && size < block_size &&
         (pages == HostPages::automatic || pages == HostPages::small);
}

void Segments::add(Address begin) {
  List added;
  added.push_back({.begin = begin});
  by_address_.emplace(begin, added.begin());
  List& list = lists_[most_cells];
  list.splice(list.end(), added);
  ++empty_;
}

std::optional<Address> Segments::take(std::size_t size) noexcept {
  const auto count = static_cast<std::uint32_t>((size + cell_size - 1) / cell_size);
  for (std::uint32_t bound = count; bound <= most_cells; ++bound)
    while (!lists_[bound].empty())
      if (const auto taken = take_from(lists_[bound].begin(), count)) return taken;
  return std::nullopt;
}

// Where there is no such run, the segment moves to the list that says so.
std::optional<Address> Segments::take_from(List::iterator segment, std::uint32_t count) noexcept {
  PageMask& free = segment->free;
  for (PageSpan run = free.next_run(0); run.count != 0; run = free.next_run(run.end())) {
    if (run.count < count) continue;
    if (free == PageMask::all()) --empty_;
    free.erase({run.first, count});
    return segment->begin + run.first * cell_size;
  }
  set_bound(segment, count - 1);
  return std::nullopt;
}

void Segments::give_back(AddressSpan cells) noexcept {
  const auto segment = find(cells.begin);
  const auto first = static_cast<std::uint32_t>((cells.begin - segment->begin) / cell_size);
  const auto count = static_cast<std::uint32_t>(cells.size / cell_size);
  PageMask& free = segment->free;
  free.insert({first, count});
  if (free == PageMask::all()) ++empty_;
  // The run that they are in now, as far as it counts.
  std::uint32_t begin = first;
  while (begin != 0 && first - begin < most_cells && free.contains(begin - 1)) --begin;
  const std::uint32_t run = free.next_run(begin).count;
  set_bound(segment, std::max(segment->bound, std::min(run, most_cells)));
}

void Segments::withdraw(Address cell) noexcept {
  const auto segment = find(cell);
  if (segment->free == PageMask::all()) --empty_;
  segment->free.erase({static_cast<std::uint32_t>((cell - segment->begin) / cell_size), 1});
}

std::optional<Address> Segments::segment_at(Address address) const noexcept {
  const auto above = by_address_.upper_bound(address);
  if (above == by_address_.begin()) return std::nullopt;
  const Address begin = std::prev(above)->first;
  return AddressSpan{begin, segment_size}.contains(address) ? std::optional(begin) : std::nullopt;
}

bool Segments::is_empty(Address segment) const noexcept {
  return find(segment)->free == PageMask::all();
}

void Segments::remove(Address segment) noexcept {
  const auto found = find(segment);
  if (found->free == PageMask::all()) --empty_;
  by_address_.erase(segment);
  lists_[found->bound].erase(found);
}

std::optional<Address> Segments::any() const noexcept {
  return by_address_.empty() ? std::nullopt : std::optional(by_address_.begin()->first);
}

Segments::List::iterator Segments::find(Address address) const noexcept {
  return std::prev(by_address_.upper_bound(address))->second;
}

void Segments::set_bound(List::iterator segment, std::uint32_t bound) noexcept {
  if (bound == segment->bound) return;
  List& to = lists_[bound];
  to.splice(to.begin(), lists_[segment->bound], segment);
  segment->bound = bound;
}

}  // namespace sluice::engine
