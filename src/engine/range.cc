// Range: construction, advice, and what is learned of its readers.
//
// Cost: a range costs its blocks (block.cc). What it does not do: enter the table of ranges, or
// tell the tracker (allocator.cc does).
#include "engine/range.hpp"

#include <algorithm>
#include <utility>

namespace sluice::engine {

std::string label_of(const std::string& name) { return name.empty() ? "" : " '" + name + "'"; }

Range::Range(AddressSpan range_pages, std::size_t byte_size, Kind range_kind, int owner,
             HostPages host, std::string given_name)
    : pages(range_pages),
      size(byte_size),
      kind(range_kind),
      device(owner),
      host_pages(host),
      name(std::move(given_name)),
      readiness(static_cast<std::uint32_t>(round_up(range_pages.size, block_size) / block_size)),
      label_(label_of(name)),
      advice_(static_cast<std::uint32_t>(range_pages.size / page_size)) {
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
      block.host_accesses.dense() || (block.host_accesses.any() && !block.signs.expected());
  if (asked_for)
    readers.note_read(2 * block.state().directory.holding(Location::host()).readable.count() >
                      block.extent());
  block.host_accesses.forget();
  block.signs.forget();
}

Attributes Range::advice_at(Address address) {
  const MutexLock lock(advice_mutex_);
  return advice_.at(static_cast<std::uint32_t>((address - pages.begin) / page_size));
}

}  // namespace sluice::engine
