// The bytes of host memory that is mapped: they are made, cleared and given back.
//
// All of it goes through the alias view or the file, because the application view may be closed.
// Cost: one system call for each span, or for each block that is to be a huge page. Fault handlers
// call the members that say so; nothing here allocates on the heap. What it does not do: change
// mappings, or wait longer than a shortage of memory may last (memory_shortage.hpp).
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/host_memory.hpp"
#include "os/memory_shortage.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace sluice::os {
namespace {

// The error of a call about addresses that the engine believes mapped: ENOMEM then means that the
// program unmapped them.
tl::unexpected<Error> view_call_failed(int error, const char* what, AddressSpan span) noexcept {
  if (error == ENOMEM || error == EFAULT)
    return fail(ErrorCode::out_of_host_memory,
                "%s [%#zx, +%zu bytes): host memory is exhausted or the mapping is gone", what,
                static_cast<std::size_t>(span.begin.value), span.size);
  return call_failed(error, what, span);
}

}  // namespace

Result<void> HostMemory::discard(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  if (pages_at(span.begin) != HostPages::huge && give_back(span, HostPages::small)) return {};
  return clear(span);  // a hole in the pool might not be filled again
}

Result<void> HostMemory::clear(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  std::memset(alias(span.begin), 0, span.size);
  return {};
}

// The file is written, and not the alias view: a page fault for each page would take longer than to
// clear it.
bool HostMemory::clear_whole(AddressSpan span) noexcept {
  static constexpr std::byte zeros[64 << 10]{};
  if (!check(span, page_size) || !file_.is_intact() || pages_at(span.begin) == HostPages::huge)
    return false;
  off_t at = static_cast<off_t>(span.begin - window().begin);
  const off_t end = at + static_cast<off_t>(span.size);
  if (calls().lseek(file(), at, SEEK_HOLE) < end) return false;
  while (at < end) {
    const auto size = std::min(sizeof zeros, static_cast<std::size_t>(end - at));
    const ssize_t written = calls().pwrite(file(), zeros, size, at);
    if (written > 0)
      at += written;
    else if (errno != EINTR)
      return false;
  }
  return true;
}

Result<void> HostMemory::populate(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  Address at = span.begin;
  for (Address block{round_up(at.value, block_size)};
       has_private_tmpfs() && block + block_size <= span.end(); block = block + block_size) {
    if (pages_at(block) != HostPages::transparent || !fill_block(block)) continue;
    SLUICE_TRY(fill({at, block - at}));
    at = block + block_size;
  }
  return fill({at, span.end() - at});
}

bool HostMemory::populate_without_waiting(AddressSpan span) noexcept {
  if (!check(span, page_size)) return false;
  if (span.size == block_size && take_huge_page(span.begin)) return true;
  while (calls().madvise(alias(span.begin), span.size, MADV_POPULATE_WRITE) != 0)
    if (errno != EINTR) return false;
  return true;
}

bool HostMemory::take_huge_page(Address block) noexcept {
  return has_private_tmpfs() && pages_at(block) == HostPages::transparent && fill_block(block);
}

// The first access clears a huge page. That is made here, and not under the lock of the driver that
// is to register it.
void HostMemory::populate_to_register(AddressSpan span) noexcept {
  if (!check(span, page_size)) return;
  if (span.size == block_size) (void)take_huge_page(span.begin);
  while (calls().madvise(alias(span.begin), span.size, MADV_POPULATE_WRITE) != 0)
    if (errno != EINTR) return;
}

// Takes one huge page, or small ones where Linux has none to give. The alias view stays without
// entries, which MADV_POPULATE_WRITE would make. False: it was not done, for whatever reason.
bool HostMemory::fill_block(Address block) const noexcept {
  if (!file_.is_intact()) return false;
  const off_t offset = static_cast<off_t>(block - window().begin);
  while (calls().fallocate(file(), 0, offset, block_size) != 0)
    if (errno != EINTR) return false;
  return true;
}

Result<void> HostMemory::fill(AddressSpan span) const noexcept {
  MemoryShortage shortage;
  while (span.size != 0 &&
         calls().madvise(alias(span.begin), span.size, MADV_POPULATE_WRITE) != 0) {
    const int error = errno;
    if (error == EINTR || error == EAGAIN) continue;
    // Or the program has unmapped it.
    const bool is_mapped = calls().madvise(alias(span.begin), span.size, MADV_NORMAL) == 0;
    if (error == ENOMEM && is_mapped && shortage.wait()) continue;
    return view_call_failed(error, "madvise to fill", span);
  }
  return {};
}

}  // namespace sluice::os
