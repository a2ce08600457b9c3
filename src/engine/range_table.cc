// RangeTable: an array for the fault path, ordered maps for everything else.
//
// The array holds a pointer for each 2 MiB of the window: 4 MiB for 1 TiB, touched where ranges
// are. In a segment it leads to an array of cells. Addresses are handed out lowest first, and
// adjacent free stretches grow together when they come back.
//
// The views of a segment are open also where no range is. A thread that answers an access there
// closes the cell before it denies the access (close()), and what the array says of a cell
// changes only under the array's lock: so no range is given a cell that was closed, whatever
// Segments believes.
//
// There are two locks, because maps allocate. A thread that answers an access takes the array's
// lock, and the access may come from inside an allocator that lives in managed memory and holds a
// lock of its own; so nothing may allocate under the array's lock.
#include "engine/range_table.hpp"

#include <algorithm>
#include <new>

namespace sluice::engine {

RangeTable::RangeTable(AddressSpan window)
    : window_(window), slots_(std::make_unique<Slot[]>(window.size / block_size)) {
  free_blocks_.emplace(0, window.size / block_size);
}

// Giving back needs no memory: the record of a taken stretch becomes the record of a free one.
Result<Address> RangeTable::take_addresses(std::size_t size, AddressSpan zone) {
  const std::size_t needed = (size + block_size - 1) / block_size;
  const std::size_t zone_first = slot_of(zone.begin);
  const std::size_t zone_end = zone_first + zone.size / block_size;
  Stretches records;  // one for what is taken, one for what is left behind it
  records.emplace(0, 0);
  records.emplace(1, 0);
  MutexLock lock(table_mutex_);
  for (auto gap = free_blocks_.begin(); gap != free_blocks_.end(); ++gap) {
    const auto [first, count] = *gap;
    const std::size_t taken = std::max(first, zone_first);
    const std::size_t end = std::min(first + count, zone_end);
    if (taken >= end || end - taken < needed) continue;
    const auto add = [&records](Stretches& to, std::size_t begin, std::size_t blocks) {
      auto record = records.extract(records.begin());
      record.key() = begin;
      record.mapped() = blocks;
      to.insert(std::move(record));
    };
    if (taken > first)
      gap->second = taken - first;
    else
      free_blocks_.erase(gap);
    add(taken_blocks_, taken, needed);
    if (taken + needed < first + count)
      add(free_blocks_, taken + needed, first + count - taken - needed);
    return window_.begin + taken * block_size;
  }
  return fail(ErrorCode::out_of_host_memory,
              "no gap of %zu bytes in the %zu bytes of addresses for it", size, zone.size);
}

void RangeTable::return_addresses(Address begin) noexcept {
  MutexLock lock(table_mutex_);
  sizes_.erase(begin);
  auto record = taken_blocks_.extract(slot_of(begin));
  if (record.empty()) return;
  auto& first = record.key();
  const auto next = free_blocks_.lower_bound(first);
  if (next != free_blocks_.end() && first + record.mapped() == next->first) {
    record.mapped() += next->second;
    free_blocks_.erase(next);
  }
  const auto above = free_blocks_.lower_bound(first);
  if (above != free_blocks_.begin()) {
    const auto previous = std::prev(above);
    if (previous->first + previous->second == first) {
      previous->second += record.mapped();
      return;
    }
  }
  free_blocks_.insert(std::move(record));
}

void RangeTable::insert(std::unique_ptr<Range>&& range) {
  Range* const inserted = range.get();
  MutexLock lock(table_mutex_);
  const auto size = sizes_.emplace(inserted->pages.begin, inserted->pages.size).first;
  try {
    ranges_.emplace(inserted->pages.begin, nullptr).first->second = std::move(range);
  } catch (const std::bad_alloc&) {
    sizes_.erase(size);
    throw;
  }
  inserted->number = ++last_number_;
  bytes_ += inserted->pages.size;
  show(*inserted, inserted);
}

std::unique_ptr<Range> RangeTable::remove_any() noexcept {
  Address base;
  {
    MutexLock lock(table_mutex_);
    if (ranges_.empty()) return nullptr;
    base = ranges_.begin()->first;
  }
  return remove(base);
}

std::unique_ptr<Range> RangeTable::remove(Address base) {
  MutexLock lock(table_mutex_);
  const auto found = ranges_.find(base);
  if (found == ranges_.end()) return nullptr;
  std::unique_ptr<Range> range = std::move(found->second);
  show(*range, nullptr);
  ranges_.erase(found);
  bytes_ -= range->pages.size;
  return range;
}

void RangeTable::show(const Range& range, Range* as) noexcept {
  WriteLock lock(mutex_);
  if (cell_at(range.pages.begin) != nullptr) {
    change_cells(cells_of(range.pages), [as](Cell& cell) { cell.set(as); });
    return;
  }
  Slot* const first = slots_.get() + slot_of(range.pages.begin);
  std::for_each(first, first + range.blocks.size(), [as](Slot& slot) { slot.set(as); });
}

Pin RangeTable::find(Address address) const noexcept {
  if (!window_.contains(address)) return {};
  ReadLock lock(mutex_);
  const Cell* const cell = cell_at(address);
  Range* const range = cell != nullptr ? cell->range() : slots_[slot_of(address)].range();
  return range != nullptr && range->pages.contains(address) ? Pin(*range) : Pin();
}

Pin RangeTable::find(Address address, std::uint64_t number) const noexcept {
  Pin pin = find(address);
  return pin && pin->number == number ? std::move(pin) : Pin();
}

Result<Pin> RangeTable::find_whole(AddressSpan span) const {
  if (span.size == 0)
    return fail(ErrorCode::invalid_argument, "a size of zero at %#lx", span.begin.value);
  if (span.end() < span.begin)
    return fail(ErrorCode::invalid_argument, "%#lx + %zu bytes overflows", span.begin.value,
                span.size);
  Pin pin = find(span.begin);
  if (pin && span.end() <= pin->pages.end()) return pin;
  if (pin)
    return fail(ErrorCode::unknown_address, "%#lx + %zu bytes leaves its range%s %#lx + %zu",
                span.begin.value, span.size, pin->label(), pin->pages.begin.value, pin->size);
  MutexLock lock(table_mutex_);  // names the nearest; an access being answered was found above
  const auto above = ranges_.upper_bound(span.begin);
  if (above == ranges_.begin())
    return above == ranges_.end()
               ? fail(ErrorCode::unknown_address, "%#lx is in no live range; there are none",
                      span.begin.value)
               : fail(ErrorCode::unknown_address,
                      "%#lx is in no live range; the nearest is%s %#lx + %zu", span.begin.value,
                      above->second->label(), above->first.value, above->second->size);
  const auto& [begin, below] = *std::prev(above);
  return fail(ErrorCode::unknown_address, "%#lx is in no live range; the nearest is%s %#lx + %zu",
              span.begin.value, below->label(), begin.value, below->size);
}

AddressSpan RangeTable::pages_at(Address address) const {
  MutexLock lock(table_mutex_);
  const auto above = sizes_.upper_bound(address);
  if (above == sizes_.begin()) return {};
  const auto& [begin, size] = *std::prev(above);
  const AddressSpan pages{begin, size};
  return pages.contains(address) ? pages : AddressSpan{};
}

std::vector<Pin> RangeTable::all() const {
  MutexLock lock(table_mutex_);
  std::vector<Pin> pins;
  pins.reserve(ranges_.size());
  for (const auto& [begin, range] : ranges_) pins.emplace_back(*range);
  return pins;
}

// --- segments ------------------------------------------------------------------------------------

RangeTable::Cell* RangeTable::cell_at(Address address) const noexcept {
  BlockCells* const cells = slots_[slot_of(address)].cells();
  return cells == nullptr ? nullptr : &(*cells)[(address - window_.begin) % block_size / cell_size];
}

template <typename Change>
void RangeTable::change_cells(AddressSpan cells, Change&& change) noexcept {
  for (Address at = cells.begin; at < cells.end(); at = at + cell_size) change(*cell_at(at));
}

void RangeTable::add_segment(Address begin) {
  auto added = std::make_unique<SegmentCells>();
  const MutexLock lock(table_mutex_);
  SegmentCells& cells = *cells_.emplace(begin, std::move(added)).first->second;
  try {
    segments_.add(begin);
  } catch (const std::bad_alloc&) {
    cells_.erase(begin);
    throw;
  }
  const WriteLock show(mutex_);
  Slot* slot = slots_.get() + slot_of(begin);
  for (BlockCells& block : cells) (slot++)->set(&block);
}

std::optional<Address> RangeTable::take_cells(std::size_t size) noexcept {
  const MutexLock lock(table_mutex_);
  while (const auto begin = segments_.take(size))
    if (open_cells(cells_of({*begin, size}))) return begin;
  return std::nullopt;
}

// Returns false if some of them were closed meanwhile; the others are free again.
bool RangeTable::open_cells(AddressSpan cells) noexcept {
  const WriteLock lock(mutex_);
  bool all_open = true;
  change_cells(cells, [&](const Cell& cell) { all_open = all_open && cell.is_free(); });
  if (all_open) {
    change_cells(cells, [](Cell& cell) { cell.set_changing(); });
    return true;
  }
  for (Address at = cells.begin; at < cells.end(); at = at + cell_size)
    if (cell_at(at)->is_free()) segments_.give_back({at, cell_size});
  return false;
}

// One empty segment is kept, so that a program at the edge of one does not map it at every step.
std::optional<Address> RangeTable::return_cells(AddressSpan cells, bool reusable) noexcept {
  const MutexLock lock(table_mutex_);
  sizes_.erase(cells.begin);
  {
    const WriteLock show(mutex_);
    change_cells(cells, [reusable](Cell& cell) { reusable ? cell.set_free() : cell.set_closed(); });
  }
  if (!reusable) return std::nullopt;
  segments_.give_back(cells);
  const Address segment = *segments_.segment_at(cells.begin);
  if (segments_.empty_count() < 2 || !segments_.is_empty(segment) || !hide_segment(segment))
    return std::nullopt;
  forget_segment(segment);
  return segment;
}

// Nobody who answers an access finds the segment any more, unless a cell of it is closed: that
// answer may still be under way.
bool RangeTable::hide_segment(Address segment) noexcept {
  const WriteLock lock(mutex_);
  bool all_free = true;
  for (Address at = segment; at < segment + segment_size; at = at + cell_size) {
    if (cell_at(at)->is_free()) continue;
    all_free = false;
    segments_.withdraw(at);
  }
  if (all_free) unlink(segment);
  return all_free;
}

void RangeTable::unlink(Address segment) noexcept {
  Slot* const first = slots_.get() + slot_of(segment);
  std::for_each(first, first + segment_size / block_size, [](Slot& slot) { slot = {}; });
}

void RangeTable::forget_segment(Address segment) noexcept {
  segments_.remove(segment);
  cells_.erase(segment);
}

std::optional<Address> RangeTable::remove_segment() noexcept {
  const MutexLock lock(table_mutex_);
  const auto segment = segments_.any();
  if (!segment) return std::nullopt;
  {
    const WriteLock hide(mutex_);
    unlink(*segment);
  }
  forget_segment(*segment);
  return segment;
}

bool RangeTable::is_in_segment(Address address) const noexcept {
  const ReadLock lock(mutex_);
  return cell_at(address) != nullptr;
}

RangeTable::StrayAddress RangeTable::close(Address address) noexcept {
  if (!window_.contains(address)) return {};
  const WriteLock lock(mutex_);
  Cell* const cell = cell_at(address);
  if (cell == nullptr) return {};
  using State = StrayAddress::State;
  if (Range* const range = cell->range()) {
    if (range->pages.contains(address)) return {State::changing, {}};
    const Address end = range->pages.end();
    return {State::reserved, Pin(*range), {end, cells_of(range->pages).end() - end}};
  }
  if (cell->is_free()) cell->set_closed();
  if (!cell->is_closed()) return {State::changing, {}};
  return {State::closed, {}, {{round_down(address.value, cell_size)}, cell_size}};
}

std::size_t RangeTable::count() const {
  MutexLock lock(table_mutex_);
  return ranges_.size();
}

std::size_t RangeTable::bytes() const {
  MutexLock lock(table_mutex_);
  return bytes_;
}

}  // namespace sluice::engine
