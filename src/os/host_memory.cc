// Maps the two views of a space's host memory.
//
// Pieces are mapped without rights first and opened by mprotect last. Under mlockall(MCL_FUTURE) a mapping that is accessible
// from the start would be filled with pages at once, and "pages that were never written cost nothing" would be over; mprotect
// does not fill shared mappings. Cost of map_view: eight system calls, about 10 us. Neighbouring pieces merge in the kernel, so
// the mappings of a space number a few for each run of live ranges and not one a range.
//
// It does not keep a list of what is mapped: that is the engine's. If the program itself unmaps managed memory (munmap), the
// calls here answer with an error or find nothing to do; if it then maps memory of its own there, that memory is taken for a view.
#include "os/host_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/machine.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26U)
#endif

namespace sluice::os {
namespace {

// Debuggers print a file's name when they miss its bytes in a core dump (and may then show zeros), so the name explains.
constexpr const char* file_name = "sluice: not in core dumps";
constexpr const char* huge_file_name = "sluice huge: not in core dumps";

constexpr int view_flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
constexpr int advice_for_views[] = {MADV_DONTFORK, MADV_DONTDUMP};

// A failed call about addresses that the engine believes mapped: ENOMEM then means that the program unmapped them.
tl::unexpected<Error> view_call_failed(int error, const char* what, AddressSpan span) noexcept {
  if (error == ENOMEM || error == EFAULT)
    return fail(ErrorCode::out_of_host_memory,
                "%s [%#zx, +%zu bytes): host memory is exhausted or the mapping is gone", what,
                static_cast<std::size_t>(span.begin.value), span.size);
  return call_failed(error, what, span);
}

}  // namespace

Result<std::unique_ptr<HostMemory>> HostMemory::create(AddressWindow window) {
  std::unique_ptr<HostMemory> memory(new HostMemory(std::move(window)));
  const AddressSpan span = memory->window();
  memory->file_ = OwnedFd(calls().memfd_create(file_name, MFD_CLOEXEC));
  if (!memory->file_.is_open()) return call_failed(errno, "creating the memory file");
  if (calls().ftruncate(memory->file(), static_cast<off_t>(span.size)) != 0)
    return call_failed(errno, "sizing the memory file for", span);

  const std::size_t blocks = span.size / block_size;
  void* const table = calls().mmap(nullptr, blocks, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) return call_failed(errno, "mapping the table of page sizes");
  memory->pages_ = static_cast<PagesOfBlock*>(
      table);  // zero pages: every entry is `automatic`, which means nothing mapped

  // Block-aligned, like the window: huge pages must fit. The kernel does not align by itself, so one block more is asked for.
  void* const alias = calls().mmap(nullptr, span.size + block_size, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (alias == MAP_FAILED) return call_failed(errno, "reserving the alias view of", span);
  auto* const begin = static_cast<std::byte*>(alias);
  memory->alias_ =
      begin + (round_up(Address::of(begin).value, block_size) - Address::of(begin).value);
  const std::size_t before = static_cast<std::size_t>(memory->alias_ - begin);
  if (before != 0) calls().munmap(begin, before);
  calls().munmap(memory->alias_ + span.size, block_size - before);

  SLUICE_TRY(memory->reserve_alias(span));
  if (transparent_shared_pages()) memory->automatic_ = HostPages::transparent;
  SLUICE_ASSIGN(guard, ForkGuard::over(span));
  memory->guard_ = std::move(guard);
  return memory;
}

HostMemory::~HostMemory() {
  if (const int huge = huge_file(); huge >= 0) calls().close(huge);
  if (pages_ != nullptr) calls().munmap(pages_, window().size / block_size);
  // A forked child never had the alias (MADV_DONTFORK); something of its own may be there by now.
  if (alias_ != nullptr && !guard_.inherited()) calls().munmap(alias_, window().size);
}

Result<void> HostMemory::check(AddressSpan span, std::size_t unit) const noexcept {
  if (guard_.inherited())
    return fail(ErrorCode::unsupported,
                "managed memory is not inherited by fork; see docs/host-side.md");
  const AddressSpan all = window();
  const bool inside = span.begin >= all.begin && span.size <= all.size &&
                      span.begin - all.begin <= all.size - span.size;
  if (span.size == 0 || !inside || span.begin.value % unit != 0 || span.size % unit != 0)
    return fail(ErrorCode::invalid_argument,
                "[%#zx, +%zu bytes) is no part of the window [%#zx, +%zu) in units of %zu bytes",
                static_cast<std::size_t>(span.begin.value), span.size,
                static_cast<std::size_t>(all.begin.value), all.size, unit);
  return {};
}

HostMemory::PagesOfBlock& HostMemory::pages_of_block(Address address) const noexcept {
  return pages_[(address - window().begin) / block_size];
}

HostPages HostMemory::pages_at(Address address) const noexcept {
  const HostPages pages = pages_of_block(address).load(std::memory_order_acquire);
  return pages == HostPages::automatic ? HostPages::small : pages;
}

Result<void> HostMemory::reserve_alias(AddressSpan span) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  void* const begin = alias(span.begin);
  if (calls().mmap(begin, span.size, PROT_NONE, view_flags, file(), offset) == MAP_FAILED)
    return call_failed(errno, "reserving the alias view of", span);
  for (const int advice : advice_for_views)
    if (calls().madvise(begin, span.size, advice) != 0)
      return call_failed(errno, "setting up the alias view of", span);
  return {};
}

// Both views of `span`, from `file`.
Result<void> HostMemory::map_both(AddressSpan span, int from, HostPages pages) const noexcept {
  SLUICE_TRY(map_at(alias(span.begin), span, from, pages));
  return map_at(pointer_for_call(span.begin), span, from, pages);
}

// One view of `span`, which begins at `begin`.
Result<void> HostMemory::map_at(void* begin, AddressSpan span, int from,
                                HostPages pages) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  if (calls().mmap(begin, span.size, PROT_NONE, view_flags, from, offset) == MAP_FAILED)
    return call_failed(errno, "mapping a view of", span);
  for (const int advice : advice_for_views)
    if (calls().madvise(begin, span.size, advice) != 0)
      return call_failed(errno, "setting up a view of", span);
  if (pages == HostPages::transparent && calls().madvise(begin, span.size, MADV_HUGEPAGE) != 0)
    return call_failed(errno, "asking for transparent huge pages in", span);
  if (calls().mprotect(begin, span.size, PROT_READ | PROT_WRITE) != 0)
    return call_failed(errno, "opening a view of", span);
  return {};
}

Result<void> HostMemory::map_alias(AddressSpan span) {
  SLUICE_TRY(check(span, page_size));
  Result<void> mapped = map_at(alias(span.begin), span, file(), HostPages::small);
  if (!mapped) (void)reserve_alias(span);
  return mapped;
}

Result<void> HostMemory::take_huge_pages(AddressSpan span) {
  if (huge_file() < 0) {
    OwnedFd made(calls().memfd_create(huge_file_name, MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
    if (!made.is_open())
      return fail(ErrorCode::unsupported, "no 2 MiB huge pages here (%s); choose transparent pages",
                  errno_name(errno));
    if (calls().ftruncate(made.get(), static_cast<off_t>(window().size)) != 0)
      return call_failed(errno, "sizing the memory file of huge pages for", span);
    int none = -1;
    if (huge_file_.compare_exchange_strong(none, made.get(), std::memory_order_acq_rel))
      (void)made.release();
  }
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  if (calls().fallocate(huge_file(), 0, offset, static_cast<off_t>(span.size)) == 0) return {};
  const int error = errno;
  (void)punch(span, HostPages::huge);  // what was taken before the pool ran dry
  return fail(
      error == ENOSPC || error == ENOMEM ? ErrorCode::out_of_host_memory : ErrorCode::system,
      "the pool of huge pages cannot hold %zu bytes (%s); raise vm.nr_hugepages or choose "
      "transparent pages",
      span.size, errno_name(error));
}

Result<HostPages> HostMemory::map_view(AddressSpan span, HostPages pages) {
  if (pages == HostPages::automatic)
    pages = span.size >= block_size ? automatic_ : HostPages::small;
  SLUICE_TRY(check(span, pages == HostPages::huge ? block_size : page_size));
  if (pages == HostPages::huge) SLUICE_TRY(take_huge_pages(span));
  if (auto mapped = map_both(span, pages == HostPages::huge ? huge_file() : file(), pages);
      !mapped) {
    (void)window_.clear(
        span);  // best effort: the process is out of mappings, and the caller gives these addresses up
    (void)reserve_alias(span);
    if (pages == HostPages::huge) (void)punch(span, pages);
    return tl::unexpected<Error>(std::move(mapped).error());
  }
  for (Address block = {round_down(span.begin.value, block_size)}; block < span.end();
       block = block + block_size)
    pages_of_block(block).store(pages, std::memory_order_release);
  return pages;
}

Result<void> HostMemory::unmap_view(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  const HostPages pages = pages_at(span.begin);
  SLUICE_TRY(check(span, granule_at(span.begin)));
  SLUICE_TRY(window_.clear(span));
  SLUICE_TRY(reserve_alias(span));
  // A block at an edge may also belong to a neighbour that is still mapped, on small or transparent pages like this one.
  for (Address block = {round_up(span.begin.value, block_size)}; block + block_size <= span.end();
       block = block + block_size)
    pages_of_block(block).store(HostPages::automatic, std::memory_order_release);
  return punch(span, pages);
}

Result<void> HostMemory::punch(AddressSpan span, HostPages pages) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  const int from = pages == HostPages::huge ? huge_file() : file();
  if (calls().fallocate(from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                        static_cast<off_t>(span.size)) != 0)
    return call_failed(errno, "returning the memory of", span);
  return {};
}

Result<void> HostMemory::discard(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  if (pages_at(span.begin) != HostPages::huge) return punch(span, HostPages::small);
  return clear(span);  // a hole in the pool might not be filled again
}

Result<void> HostMemory::clear(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  std::memset(alias(span.begin), 0, span.size);
  return {};
}

Result<void> HostMemory::populate(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  while (calls().madvise(alias(span.begin), span.size, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    return view_call_failed(errno, "filling", span);
  }
  return {};
}

}  // namespace sluice::os
