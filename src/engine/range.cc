// Range and Block: construction, and the look-ups that need no plan.
//
// A block costs about half a kilobyte, and about 600 bytes more for each device that ever held some
// of it.
#include "engine/range.hpp"

#include <algorithm>

namespace sluice::engine {

PageMask Block::pages_in(AddressSpan other) const noexcept {
  const AddressSpan mine = span();
  const Address first = std::max(mine.begin, other.begin);
  const Address last = std::min(mine.end(), other.end());
  if (first >= last) return {};
  const auto from = static_cast<std::uint32_t>((first - begin) / page_size);
  const auto to = static_cast<std::uint32_t>((last - begin + page_size - 1) / page_size);
  return PageMask(PageSpan{from, to - from});
}

AddressSpan Block::hull_of(const PageMask& mask) const noexcept { return span_of(mask.hull()); }

DevicePart* Block::part(int device) noexcept {
  for (DevicePart& part : parts)
    if (part.device == device) return &part;
  return nullptr;
}

const DevicePart* Block::part(int device) const noexcept {
  for (const DevicePart& part : parts)
    if (part.device == device) return &part;
  return nullptr;
}

void Block::admit(int device) {
  if (part(device) != nullptr) return;
  MutexLock lock(mutex);
  parts.reserve(parts.size() + 1);  // nothing may be thrown between the directory and the part
  directory.admit(device);
  parts.push_back({device, {}, false});
}

void Block::forget_old_mapping(int device) noexcept {
  for (DevicePart& part : parts) part.old_mappings.erase(device);
}

void Block::set_mapped(int device, Rights rights, Location placement) noexcept {
  const bool was_mapped = is_mapped();
  mapped_to_read.erase(device);
  mapped_to_write.erase(device);
  if (rights == Rights::read) mapped_to_read.insert(device);
  if (rights == Rights::write) mapped_to_write.insert(device);
  if (is_mapped() == was_mapped) return;
  leases += was_mapped ? -1U : 1U;
  writing_leases += was_mapped ? -1U : 1U;
  leased_at = placement;
}

Range::Range(AddressSpan range_pages, std::size_t byte_size, Kind range_kind, int owner,
             HostPages host)
    : pages(range_pages),
      size(byte_size),
      kind(range_kind),
      device(owner),
      host_pages(host),
      readiness(static_cast<std::uint32_t>(round_up(range_pages.size, block_size) / block_size)),
      advice(static_cast<std::uint32_t>(range_pages.size / page_size)) {
  for (std::size_t offset = 0; offset < pages.size; offset += block_size) {
    const std::size_t bytes = std::min(block_size, pages.size - offset);
    blocks.emplace_back(
        pages.begin + offset, static_cast<std::uint32_t>(bytes / page_size),
        kind == Kind::shared ? directory::HostRights::revocable : directory::HostRights::standing);
  }
}

// Pages that were prefetched, or brought because they were expected to be wanted, are no evidence
// of demand.
void Range::forget_host_accesses(Block& block) noexcept {
  const bool asked_for =
      block.host_accesses > plan::dense_after ||
      (block.host_accesses != 0 && !block.expected.load(std::memory_order_relaxed));
  if (asked_for)
    readers.note_read(2 * block.directory.holding(Location::host()).readable.count() >
                      block.directory.extent());
  block.host_accesses = 0;
  block.expected.store(false, std::memory_order_relaxed);
}

Attributes Range::advice_at(Address address) {
  MutexLock lock(advice_mutex);
  return advice.at(static_cast<std::uint32_t>((address - pages.begin) / page_size));
}

}  // namespace sluice::engine
