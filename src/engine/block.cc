// Block: the small changes of its state, and look-ups that need no plan.
//
// A block costs about half a kilobyte, and about 600 bytes more for each device that ever held some
// of it. What it does not do: decide who may change it. Its claim and its mutex say that, and the
// compiler checks them (docs/locks.md).
#include "engine/block.hpp"

#include <algorithm>

namespace sluice::engine {

// --- leases and mappings -------------------------------------------------------------------------

void BlockLeases::add(Access access, Location location) noexcept {
  ++count_;
  if (access == Access::write) ++writing_;
  location_ = location;
}

void BlockLeases::end(Access access) noexcept {
  --count_;
  if (access == Access::write) --writing_;
}

void MappedDevices::set(int device, Rights rights) noexcept {
  to_read_.erase(device);
  to_write_.erase(device);
  if (rights == Rights::read) to_read_.insert(device);
  if (rights == Rights::write) to_write_.insert(device);
}

void BlockState::set_mapped(int device, Rights rights, Location placement) noexcept {
  const bool was_mapped = !mapped_.empty();
  mapped_.set(device, rights);
  if (mapped_.empty() != was_mapped) return;
  if (was_mapped)
    leases_.end(Access::write);
  else
    leases_.add(Access::write, placement);
  leases_.move_to(placement);
}

// --- devices -------------------------------------------------------------------------------------

DevicePart* BlockState::part(int device) noexcept {
  for (DevicePart& part : parts)
    if (part.device == device) return &part;
  return nullptr;
}

const DevicePart* BlockState::part(int device) const noexcept {
  for (const DevicePart& part : parts)
    if (part.device == device) return &part;
  return nullptr;
}

void BlockState::forget_old_mapping(int device) noexcept {
  for (DevicePart& part : parts) part.old_mappings.erase(device);
}

void Block::admit(int device) {
  if (state().part(device) != nullptr) return;
  const MutexLock lock(mutex);
  BlockState& changed = change();
  // Nothing may be thrown between the directory and the part.
  changed.parts.reserve(changed.parts.size() + 1);
  changed.directory.admit(device);
  changed.parts.push_back({.device = device, .allocation = {}});
}

// --- pages ---------------------------------------------------------------------------------------

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

}  // namespace sluice::engine
