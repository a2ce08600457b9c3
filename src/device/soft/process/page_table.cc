// Keeps the list of extents and the process's mappings in step; see the header for why there are
// two.
//
// Neighbours that continue each other in the same memory with the same rights are one extent, as
// they are one mapping in Linux, so a range mapped in blocks stays cheap to look up and to refill.
#include "device/soft/process/page_table.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>

namespace sluice::device::soft::process {
namespace {

void* pointer(std::uintptr_t address) noexcept { return reinterpret_cast<void*>(address); }

int protection(Rights rights) noexcept {
  return rights == Rights::write ? PROT_READ | PROT_WRITE : PROT_READ;
}

}  // namespace

bool PageTable::reserve(std::uintptr_t begin, std::size_t size) noexcept {
  return mmap(pointer(begin), size, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
              0) == pointer(begin);
}

int PageTable::apply(const MappingPart& part) {
  const Rights rights{part.rights};
  if (rights != Rights::none)
    static_cast<void>(
        memories_.file(part.memory, part.peer_generation));  // may wait, and not under the lock
  const std::lock_guard lock(mutex_);
  if (rights == Rights::none) {
    forget(part.address, part.address + part.size);
    drop_cache(part.address, part.size);
    return 0;
  }
  const Extent extent{part.address + part.size, part.offset, part.peer_generation, part.memory,
                      rights};
  // Like unmapping, a change of rights must not fail: changes that Linux would refuse are left to
  // the faults that refill the cache.
  if (part.rights_only || limited_)
    drop_cache(part.address, part.size);
  else if (const int error = cache(part.address, extent); error != 0)
    return error;
  forget(part.address, extent.end);
  record(part.address, extent);
  if (limited_) cache_within_limits(part.address, extent.end);
  return 0;
}

bool PageTable::covers(std::uintptr_t address, std::size_t size, Access access) {
  const std::lock_guard lock(mutex_);
  const std::uintptr_t end = address + size;
  auto at = extents_.upper_bound(address);
  if (at == extents_.begin()) return false;
  for (--at; at != extents_.end() && at->first <= address; ++at) {
    if (address >= at->second.end || !allows(at->second.rights, access)) return false;
    address = at->second.end;
    if (address >= end) return true;
  }
  return false;
}

bool PageTable::admit(std::uintptr_t address, Access access) noexcept {
  const std::lock_guard lock(mutex_);
  auto after = extents_.upper_bound(address);
  if (after == extents_.begin()) return false;
  const auto& [begin, extent] = *--after;
  if (address >= extent.end || !allows(extent.rights, access)) return false;
  if (!limited_) return cache(begin, extent) == 0;
  if (!allows(limit_at(address), access)) return false;
  int error = 0;
  cache_run(address, begin, extent, error);
  return error == 0;
}

// Cuts [begin, end) out of the list.
void PageTable::forget(std::uintptr_t begin, std::uintptr_t end) {
  auto it = extents_.lower_bound(begin);
  if (it != extents_.begin()) {
    auto before = std::prev(it);
    const Extent whole = before->second;
    if (whole.end > begin) {
      before->second.end = begin;
      if (whole.end > end) {
        it = extents_
                 .emplace(end, Extent{whole.end, whole.offset + (end - before->first),
                                      whole.generation, whole.memory, whole.rights})
                 .first;
      }
    }
  }
  while (it != extents_.end() && it->first < end) {
    if (it->second.end > end) {
      const auto& [first, whole] = *it;
      extents_.emplace(end, Extent{whole.end, whole.offset + (end - first), whole.generation,
                                   whole.memory, whole.rights});
    }
    it = extents_.erase(it);
  }
}

// Enters an extent into a gap, joined with the neighbours that it continues.
void PageTable::record(std::uintptr_t begin, Extent extent) {
  const auto joins = [](std::uintptr_t left_begin, const Extent& left, const Extent& right) {
    return left.memory == right.memory && left.generation == right.generation &&
           left.rights == right.rights && left.offset + (left.end - left_begin) == right.offset;
  };
  auto next = extents_.lower_bound(extent.end);
  if (next != extents_.end() && next->first == extent.end && joins(begin, extent, next->second)) {
    extent.end = next->second.end;
    next = extents_.erase(next);
  }
  if (next != extents_.begin()) {
    auto before = std::prev(next);
    if (before->second.end == begin && joins(before->first, before->second, extent)) {
      before->second.end = extent.end;
      return;
    }
  }
  extents_.emplace_hint(next, begin, extent);
}

int PageTable::cache(std::uintptr_t begin, const Extent& extent) noexcept {
  for (bool dropped = false;; dropped = true) {
    if (mmap(pointer(begin), extent.end - begin, protection(extent.rights),
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             memories_.file(extent.memory, extent.generation),
             static_cast<off_t>(extent.offset)) != MAP_FAILED) {
      // The host alone decides which of its pages are huge. The advice may be refused.
      if (extent.memory == host_memory)
        madvise(pointer(begin), extent.end - begin, MADV_NOHUGEPAGE);
      return 0;
    }
    if (errno != ENOMEM || dropped) return errno;
    drop_cache(begin_, size_);
  }
}

void PageTable::drop_cache(std::uintptr_t begin, std::size_t size) const noexcept {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(pointer(begin), size, PROT_NONE, flags, -1, 0) != MAP_FAILED) return;
  // At the limit Linux refuses every mmap, also one that would replace mappings. munmap of the
  // whole window splits nothing and always works; no other mapping can take the place meanwhile,
  // because unhinted mappings go to the top of the address space.
  munmap(pointer(begin_), size_);
  if (mmap(pointer(begin_), size_, PROT_NONE, flags, -1, 0) == MAP_FAILED) std::abort();
}

}  // namespace sluice::device::soft::process
