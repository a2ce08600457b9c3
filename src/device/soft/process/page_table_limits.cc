// Limits of the page table: the mapped memory that the running launch may reach. This is the
// device's half of strict mode.
//
// The list of extents stays as the client made it; only the mappings made in Linux are restricted,
// to runs of pages with equal limits. So a change of limits drops the cache and fills it again: a
// launch with other grants than the one before it costs about 10 us, and 5 us more for each run. A
// launch with the same grants costs a comparison.
//
// What it does not do: limits finer than a page. Linux has none.
#include <sys/mman.h>

#include <algorithm>

#include "device/soft/process/page_table.hpp"

namespace sluice::device::soft::process {

static_assert(Rights::none == Rights{0}, "fresh memory grants nothing");

bool PageTable::make_limits() noexcept {
  void* memory = mmap(nullptr, size_ / page_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  limits_ = static_cast<Rights*>(memory);
  return true;
}

void PageTable::limit(std::span<const GrantPart> grants) {
  const std::lock_guard lock(mutex_);
  if (limited_ && !widened_ &&
      std::equal(grants.begin(), grants.end(), granted_.begin(), granted_.end()))
    return;
  madvise(limits_, size_ / page_size, MADV_DONTNEED);
  granted_.assign(grants.begin(), grants.end());
  limited_ = true;
  widened_ = false;
  drop_cache(begin_, size_);
  for (const GrantPart& grant : granted_) {
    if (!in_window(grant.address) || grant.size > begin_ + size_ - grant.address) continue;
    for (std::uintptr_t at = round_down(grant.address, page_size); at < grant.address + grant.size;
         at += page_size)
      limit_at(at) = std::max(limit_at(at), Rights{static_cast<std::uint8_t>(grant.rights)});
  }
  for (const GrantPart& grant : granted_)
    if (in_window(grant.address) && grant.size <= begin_ + size_ - grant.address)
      cache_within_limits(grant.address, grant.address + grant.size);
}

void PageTable::end_limits() {
  const std::lock_guard lock(mutex_);
  if (!limited_) return;
  limited_ = false;
  granted_.clear();
  // Mappings that Linux refuses are left to the faults that refill the cache.
  for (const auto& [begin, extent] : extents_)
    if (cache(begin, extent) != 0) return;
}

void PageTable::widen_limits(std::uintptr_t address, Access access) noexcept {
  const std::lock_guard lock(mutex_);
  if (!limited_ || allows(limit_at(address), access)) return;
  limit_at(address) = rights_for(access);
  widened_ = true;
}

std::uintptr_t PageTable::cache_run(std::uintptr_t address, std::uintptr_t begin,
                                    const Extent& extent, int& error) noexcept {
  const Rights limit = limit_at(address);
  std::uintptr_t first = round_down(address, page_size);
  std::uintptr_t end = first + page_size;
  while (end < extent.end && limit_at(end) == limit) end += page_size;
  if (limit == Rights::none) return end;
  while (first > begin && limit_at(first - page_size) == limit) first -= page_size;
  error = cache(first, {end, extent.offset + (first - begin), extent.generation, extent.memory,
                        std::min(extent.rights, limit)});
  return end;
}

// Kernels may make threads, and faults on those are not answered: so the memory granted to a launch
// is mapped before it begins.
void PageTable::cache_within_limits(std::uintptr_t begin, std::uintptr_t end) noexcept {
  auto it = extents_.upper_bound(begin);
  if (it != extents_.begin()) --it;
  for (; it != extents_.end() && it->first < end; ++it)
    for (std::uintptr_t at = std::max(begin, it->first); at < std::min(end, it->second.end);) {
      int error = 0;
      at = cache_run(at, it->first, it->second, error);
      if (error != 0) return;  // left to the faults that refill
    }
}

}  // namespace sluice::device::soft::process
