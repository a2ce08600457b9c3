// RangeTable: an array for the fault path, ordered maps for everything else.
//
// The array holds a pointer for each 2 MiB of the window: 4 MiB for 1 TiB, touched where ranges
// are. Addresses are handed out lowest first, and adjacent free stretches grow together when they
// come back.
//
// There are two locks, because maps allocate. A thread that answers an access takes the array's
// lock, and the access may come from inside an allocator that lives in managed memory and holds a
// lock of its own; so nothing may allocate under the array's lock.
#include "engine/range_table.hpp"

#include <algorithm>
#include <new>

namespace sluice::engine {

RangeTable::RangeTable(AddressSpan window)
    : window_(window), slots_(std::make_unique<Range*[]>(window.size / block_size)) {
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
  const std::size_t first = slot_of(range.pages.begin);
  WriteLock lock(mutex_);
  std::fill_n(slots_.get() + first, range.blocks.size(), as);
}

Pin RangeTable::find(Address address) const noexcept {
  if (!window_.contains(address)) return {};
  ReadLock lock(mutex_);
  Range* range = slots_[slot_of(address)];
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

std::size_t RangeTable::count() const {
  MutexLock lock(table_mutex_);
  return ranges_.size();
}

std::size_t RangeTable::bytes() const {
  MutexLock lock(table_mutex_);
  return bytes_;
}

}  // namespace sluice::engine
