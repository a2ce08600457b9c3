// PageTable: the memory that kernels may reach at managed addresses.
//
// The table is a list of extents; the process's own mappings are its translation cache. Almost
// always the two are equal: map and unmap change both, and hardware does the look-up. But Linux
// limits the mappings of a process (vm.max_map_count, 65530), and unmapping a part of one needs
// more of them, while unmapping must never fail. So when Linux refuses, the whole cache is dropped
// (which always works) and refilled by faults, extent by extent.
//
// Cost: map or unmap 2 to 10 us, most of it mmap; nothing for kernels unless the limit was hit
// (then 5 us an extent).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "base/rights.hpp"
#include "base/types.hpp"
#include "device/soft/control_area.hpp"
#include "device/soft/process/memories.hpp"

namespace sluice::device::soft::process {

class PageTable {
 public:
  explicit PageTable(const Memories& memories) noexcept : memories_(memories) {}

  // Reserves the window for good. False when something is in its place already.
  [[nodiscard]] static bool reserve(std::uintptr_t begin, std::size_t size) noexcept;
  void set_window(std::uintptr_t begin, std::size_t size) noexcept { begin_ = begin, size_ = size; }
  [[nodiscard]] bool in_window(std::uintptr_t address) const noexcept {
    return address - begin_ < size_;
  }

  // Applies one mapping command. Returns an errno, 0 for success. Only mapping can fail.
  [[nodiscard]] int apply(const MappingPart& part);

  // True if all of it is mapped with rights that allow the access.
  [[nodiscard]] bool covers(std::uintptr_t address, std::size_t size, Access access);
  // Limits: mapped memory may be reached only where the running launch was granted it. A byte for
  // each page of the window holds the granted rights, so that a fault handler can look, and can add
  // a page, without allocating. This takes address space (a 4096th of the window), and memory only
  // where something was granted. False if Linux refuses.
  [[nodiscard]] bool make_limits() noexcept;
  // From now on only these may be reached. Where they are the same as before nothing changes.
  void limit(std::span<const GrantPart> grants);
  // From now on all mapped memory may be reached again.
  void end_limits();
  // Called by the thread that faulted: the page may be reached too, until the next limit().
  void widen_limits(std::uintptr_t address, Access access) noexcept;

  // Called by the thread that faulted: true if the table allows the access, so that it can be
  // retried.
  [[nodiscard]] bool admit(std::uintptr_t address, Access access) noexcept;

 private:
  struct Extent {
    std::uintptr_t end;
    std::uint64_t offset;
    std::uint32_t generation;  // of the memory
    std::uint8_t memory;
    Rights rights;
  };
  using Extents = std::map<std::uintptr_t, Extent>;

  void forget(std::uintptr_t begin, std::uintptr_t end);
  void record(std::uintptr_t begin, Extent extent);
  [[nodiscard]] int cache(std::uintptr_t begin, const Extent& extent) noexcept;
  // Caches the run of pages with equal limits that holds the address, as far as the limits allow,
  // and returns the run's end. May cache nothing.
  std::uintptr_t cache_run(std::uintptr_t address, std::uintptr_t begin, const Extent& extent,
                           int& error) noexcept;
  void cache_within_limits(std::uintptr_t begin, std::uintptr_t end) noexcept;
  [[nodiscard]] Rights& limit_at(std::uintptr_t address) const noexcept {
    return limits_[(address - begin_) / page_size];
  }
  void drop_cache(std::uintptr_t begin, std::size_t size) const noexcept;

  const Memories& memories_;
  std::uintptr_t begin_ = 0;
  std::size_t size_ = 0;
  // Taken by the mapping thread, and by a kernel's thread only inside the fault handler: never
  // twice by one thread.
  std::mutex mutex_;
  Extents extents_;

  Rights* limits_ = nullptr;  // by page of the window
  bool limited_ = false;
  bool widened_ = false;            // since the last limit()
  std::vector<GrantPart> granted_;  // by the last limit()
};

}  // namespace sluice::device::soft::process
