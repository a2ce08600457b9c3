// Machine: the abilities of this machine and this process, for decisions and for `sluice doctor`.
//
// Everything is read when asked; nothing is cached, nothing is changed. Values that cannot be read
// keep their "unknown".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "sluice/options.hpp"

namespace sluice::os {

struct FaultDelivery {
  Grade best = Grade::none;    // the grade of userfaultfd for this process
  std::string reason;          // why not full, and the remedy; empty for full
  std::uint64_t features = 0;  // UFFD_FEATURE_* as the kernel reports them
  bool can_share = false;      // reads can be given without writes (Linux 6.4)
};

struct HugePages {
  std::size_t pool = 0;  // 2 MiB pages in the pool, and those free
  std::size_t pool_free = 0;
  std::string transparent;  // the mode in force for ordinary memory: always, madvise, never
  std::string
      transparent_shared;  // for memory files: always, within_size, advise, never, deny, force
};

struct Limits {
  std::size_t mappings = 0;  // vm.max_map_count, and those in use
  std::size_t mappings_in_use = 0;
  std::size_t locked_memory = 0;  // RLIMIT_MEMLOCK in bytes; SIZE_MAX: none
  std::size_t open_files = 0;     // RLIMIT_NOFILE
  std::size_t address_space = 0;  // RLIMIT_AS in bytes; SIZE_MAX: none
  int overcommit = -1;            // vm.overcommit_memory
};

struct Memory {
  std::size_t total = 0;  // bytes of the machine, and those available without swapping
  std::size_t available = 0;
  std::optional<std::size_t> cgroup_limit;  // the tightest limit above this process
};

struct SegvOwner {
  std::string action;   // "default", "ignored" or "handler"
  std::string library;  // of the handler, when its file is known
  std::string symbol;   // of the handler, when it has one
  const void* handler = nullptr;
};

struct Machine {
  std::string kernel;  // release, as uname prints it
  int cpus = 0;        // that this process may run on
  FaultDelivery faults;
  HugePages huge_pages;
  Limits limits;
  Memory memory;
  SegvOwner segv;
  std::optional<bool>
      page_table_isolation;  // each system call and fault then costs some 100 ns more
};

[[nodiscard]] Machine inspect_machine();

// The parts that decisions need.
struct MappingLimit {
  std::size_t most = 65530;  // vm.max_map_count; Linux's own default where it cannot be read
  std::size_t in_use = 0;
};
[[nodiscard]] MappingLimit inspect_mapping_limit();
// Bytes of addresses that a window, which is mapped twice, may have: three eighths of what
// RLIMIT_AS leaves once `others` are mapped. SIZE_MAX: no limit.
[[nodiscard]] std::size_t affordable_window(std::size_t others);
[[nodiscard]] FaultDelivery inspect_fault_delivery();
[[nodiscard]] bool
transparent_shared_pages();  // true if MADV_HUGEPAGE has an effect on memory files
// True if no file of a tmpfs gets huge pages, whatever its mount says (shmem_enabled: deny).
[[nodiscard]] bool shared_huge_pages_denied();
[[nodiscard]] int usable_cpus() noexcept;
// Bytes that this process may take before the machine or one of its memory groups has none left
// (memory.max, memory.high; memory.limit_in_bytes). A group's page cache counts as taken. 0 where
// that cannot be found out for want of memory. Costs 0.1 ms.
[[nodiscard]] std::size_t memory_headroom() noexcept;

}  // namespace sluice::os
