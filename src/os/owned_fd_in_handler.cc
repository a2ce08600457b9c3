// The descriptors of this library, by number, as a forked child needs them. See the notice in the
// header.
//
// A table of tables, each made by the first descriptor that falls into it and never unmapped: 16
// KiB for 1024 numbers. A descriptor beyond the last table is not noted; Linux allows no such
// number unless fs.nr_open was raised.
#include "os/owned_fd_in_handler.hpp"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "os/calls.hpp"

namespace sluice::os::in_handler {
namespace {

constexpr int files_per_table = 1024;
constexpr int most_tables = 1024;

struct Note {
  std::atomic<std::uint64_t> device;
  std::atomic<std::uint64_t> inode;  // 0: none is noted here
};
constexpr std::size_t table_size = files_per_table * sizeof(Note);

constinit std::atomic<Note*> tables[most_tables] = {};

// Zero pages: nothing is noted.
Note* table_for(int number) noexcept {
  std::atomic<Note*>& slot = tables[number];
  Note* table = slot.load(std::memory_order_acquire);
  if (table != nullptr) return table;
  void* const pages =
      ::mmap(nullptr, table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  auto* const made = static_cast<Note*>(pages);
  if (slot.compare_exchange_strong(table, made, std::memory_order_acq_rel)) return made;
  ::munmap(pages, table_size);
  return table;
}

}  // namespace

bool names(int file, dev_t device, ino_t inode) noexcept {
  struct stat facts = {};
  if (::fstat(file, &facts) != 0)
    return errno != EBADF;  // a sandbox that refuses the call tells nothing
  return facts.st_dev == device && facts.st_ino == inode;
}

void note_owned(int file, dev_t device, ino_t inode) noexcept {
  if (file < 0 || file / files_per_table >= most_tables) return;
  Note* const table = table_for(file / files_per_table);
  if (table == nullptr) return;
  table[file % files_per_table].device.store(device, std::memory_order_relaxed);
  table[file % files_per_table].inode.store(inode, std::memory_order_release);
}

void forget_owned(int file) noexcept {
  if (file < 0 || file / files_per_table >= most_tables) return;
  if (Note* const table = tables[file / files_per_table].load(std::memory_order_acquire))
    table[file % files_per_table].inode.store(0, std::memory_order_release);
}

void close_owned_in_child() noexcept {
  const int saved_errno = errno;
  for (int number = 0; number < most_tables; ++number) {
    Note* const table = tables[number].load(std::memory_order_acquire);
    if (table == nullptr) continue;
    for (int i = 0; i < files_per_table; ++i) {
      const std::uint64_t inode = table[i].inode.exchange(0, std::memory_order_acquire);
      const std::uint64_t device = table[i].device.load(std::memory_order_relaxed);
      const int file = number * files_per_table + i;
      if (inode != 0 && names(file, device, inode)) ::close(file);
    }
  }
  errno = saved_errno;
}

}  // namespace sluice::os::in_handler
