// Maps the two views of a space's host memory.
//
// Pieces are mapped without rights first and opened by mprotect last. Under mlockall(MCL_FUTURE) a
// mapping that is accessible from the start would be filled with pages at once, and pages that were
// never written would cost memory; mprotect does not fill shared mappings. Cost of map_view: nine
// system calls, about 10 us. Neighbouring pieces merge in the kernel, so a space has a few mappings
// for each run of live ranges, not for each range.
//
// Memory is handed out as zeros or not at all. It is given back through the alias view
// (MADV_REMOVE), which takes neither a descriptor nor a mapping; memory that cannot be given back
// now is noted by block, and cleaned before it is handed out again.
//
// What it does not do: list what is mapped (the engine does). If the program itself unmaps managed
// memory (munmap), the calls here answer with an error or find nothing to do; if it then maps
// memory of its own there, that memory is taken for a view.
#include "os/host_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/machine.hpp"
#include "os/memory_file.hpp"
#include "os/private_tmpfs.hpp"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26U)
#endif

namespace sluice::os {
namespace {

// Debuggers print a file's name when they miss its bytes in a core dump (and may then show zeros),
// so the name gives the reason.
constexpr const char* file_name = "sluice: not in core dumps";
constexpr const char* huge_file_name = "sluice huge: not in core dumps";

constexpr int view_flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
constexpr int advice_for_views[] = {MADV_DONTFORK, MADV_DONTDUMP};

// The bit of one of the two files.
std::uint8_t file_bit(HostPages pages) noexcept { return pages == HostPages::huge ? 2 : 1; }

tl::unexpected<Error> file_lost(int file) noexcept {
  return fail(ErrorCode::system,
              "descriptor %d, a memory file of this library, was closed by the program; nothing "
              "more can be mapped from it",
              file);
}

}  // namespace

Result<std::unique_ptr<HostMemory>> HostMemory::create(AddressWindow window, HostPages wanted) {
  std::unique_ptr<HostMemory> memory(new HostMemory(std::move(window)));
  const AddressSpan span = memory->window();
  SLUICE_TRY(memory->open_file(wanted));

  const std::size_t blocks = span.size / block_size;
  void* const table = calls().mmap(nullptr, blocks * sizeof(BlockState), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) return call_failed(errno, "mmap of the table of blocks");
  memory->blocks_ =
      static_cast<BlockState*>(table);  // zero pages: nothing is mapped, and all is clean

  // Block-aligned, like the window: huge pages must fit. The kernel does not align by itself, so
  // one block more is asked for.
  void* const alias = calls().mmap(nullptr, span.size + block_size, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (alias == MAP_FAILED) return call_failed(errno, "mmap to reserve the alias view of", span);
  auto* const begin = static_cast<std::byte*>(alias);
  memory->alias_ =
      begin + (round_up(Address::of(begin).value, block_size) - Address::of(begin).value);
  const std::size_t before = static_cast<std::size_t>(memory->alias_ - begin);
  if (before != 0) calls().munmap(begin, before);
  calls().munmap(memory->alias_ + span.size, block_size - before);

  SLUICE_TRY(memory->reserve_alias(span));
  SLUICE_ASSIGN(guard, ForkGuard::over(span));
  memory->guard_ = std::move(guard);
  return memory;
}

// A private tmpfs comes first: its fallocate takes huge pages where they are wanted, and nowhere
// else.
Result<void> HostMemory::open_file(HostPages wanted) {
  const std::size_t size = window().size;
  if (wanted == HostPages::small) {
    no_private_tmpfs_ = "small pages are asked for";
  } else if (auto made = make_private_tmpfs_file(file_name, size)) {
    file_ = std::move(*made);
    automatic_ = HostPages::transparent;
    return {};
  } else {
    no_private_tmpfs_ = made.error().detail();
  }
  SLUICE_ASSIGN(file, make_memory_file(file_name, size));
  file_ = std::move(file);
  if (transparent_shared_pages()) automatic_ = HostPages::transparent;
  return {};
}

HostMemory::~HostMemory() {
  delete huge_file_.load();
  if (blocks_ != nullptr) calls().munmap(blocks_, window().size / block_size * sizeof(BlockState));
  // A forked child never had the alias (MADV_DONTFORK); something of its own may be there by now.
  if (alias_ != nullptr && !guard_.inherited()) calls().munmap(alias_, window().size);
}

Result<std::unique_ptr<HostMemory>> HostMemory::reserve(std::size_t size, std::size_t others,
                                                        HostPages wanted_pages) {
  const std::size_t least = std::min(size, AddressWindow::smallest_size);
  std::size_t wanted = std::clamp(std::min(affordable_window(others), largest_file()), least, size);
  while (true) {
    wanted = round_down(wanted, block_size);
    SLUICE_ASSIGN(window, AddressWindow::reserve(wanted, least));
    wanted = window.span().size;
    auto made = create(std::move(window), wanted_pages);
    // Retry smaller where there are addresses for one view and not for two.
    if (made || made.error().code() != ErrorCode::out_of_host_memory || wanted / 2 < least)
      return made;
    wanted /= 2;
  }
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

HostMemory::BlockState& HostMemory::block_at(Address address) const noexcept {
  return blocks_[(address - window().begin) / block_size];
}

int HostMemory::huge_file() const noexcept {
  const OwnedFd* const file = huge_file_.load(std::memory_order_acquire);
  return file != nullptr ? file->get() : -1;
}

const OwnedFd& HostMemory::file_of(HostPages pages) const noexcept {
  return pages == HostPages::huge ? *huge_file_.load(std::memory_order_acquire) : file_;
}

bool HostMemory::has_files() const noexcept {
  const OwnedFd* const huge = huge_file_.load(std::memory_order_acquire);
  return file_.is_intact() && (huge == nullptr || huge->is_intact());
}

HostPages HostMemory::pages_at(Address address) const noexcept {
  const HostPages pages = block_at(address).pages.load(std::memory_order_acquire);
  return pages == HostPages::automatic ? HostPages::small : pages;
}

Result<void> HostMemory::reserve_alias(AddressSpan span) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  void* const begin = alias(span.begin);
  if (!file_.is_intact()) return file_lost(file());
  if (calls().mmap(begin, span.size, PROT_NONE, view_flags, file(), offset) == MAP_FAILED)
    return call_failed(errno, "mmap to reserve the alias view of", span);
  for (const int advice : advice_for_views)
    if (calls().madvise(begin, span.size, advice) != 0)
      return call_failed(errno, "madvise for the alias view of", span);
  return {};
}

// Maps both views of `span`.
Result<void> HostMemory::map_both(AddressSpan span, HostPages pages) const noexcept {
  if (!file_of(pages).is_intact()) return file_lost(file_of(pages).get());
  const int from = file_of(pages).get();
  SLUICE_TRY(map_at(alias(span.begin), span, from, pages));
  return map_at(pointer_for_call(span.begin), span, from, pages);
}

int HostMemory::huge_page_advice(HostPages pages) const noexcept {
  if (pages == HostPages::transparent) return MADV_HUGEPAGE;
  return pages == HostPages::small && has_private_tmpfs() ? MADV_NOHUGEPAGE : MADV_NORMAL;
}

// Maps one view of `span`, which begins at `begin`.
Result<void> HostMemory::map_at(void* begin, AddressSpan span, int from,
                                HostPages pages) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  if (calls().mmap(begin, span.size, PROT_NONE, view_flags, from, offset) == MAP_FAILED)
    return call_failed(errno, "mmap of a view of", span);
  for (const int advice : advice_for_views)
    if (calls().madvise(begin, span.size, advice) != 0)
      return call_failed(errno, "madvise for a view of", span);
  const int advice = huge_page_advice(pages);
  if (advice != MADV_NORMAL && calls().madvise(begin, span.size, advice) != 0)
    return call_failed(errno, "madvise about transparent huge pages in", span);
  if (calls().mprotect(begin, span.size, PROT_READ | PROT_WRITE) != 0)
    return call_failed(errno, "mprotect to open a view of", span);
  return {};
}

Result<void> HostMemory::map_alias(AddressSpan span) {
  SLUICE_TRY(check(span, page_size));
  SLUICE_TRY(mappings_.take());
  if (!file_.is_intact()) return file_lost(file());
  Result<void> mapped = map_at(alias(span.begin), span, file(), HostPages::small);
  if (mapped)
    clean_again(span, HostPages::small);
  else
    close_alias(span);
  return mapped;
}

Result<void> HostMemory::take_huge_pages(AddressSpan span) {
  if (huge_file() < 0) {
    auto made = make_memory_file(huge_file_name, window().size, MFD_HUGETLB | MFD_HUGE_2MB);
    if (!made)
      return fail(made.error().code() == ErrorCode::out_of_host_memory
                      ? ErrorCode::out_of_host_memory
                      : ErrorCode::unsupported,
                  "no 2 MiB huge pages here (%s); choose transparent pages",
                  std::string(made.error().detail()).c_str());
    auto owned = std::make_unique<OwnedFd>(std::move(*made));
    const OwnedFd* none = nullptr;
    if (huge_file_.compare_exchange_strong(none, owned.get(), std::memory_order_acq_rel))
      (void)owned.release();
  }
  if (!file_of(HostPages::huge).is_intact()) return file_lost(huge_file());
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  if (calls().fallocate(huge_file(), 0, offset, static_cast<off_t>(span.size)) == 0) return {};
  const int error = errno;
  (void)punch(span, HostPages::huge);  // returns pages taken before the pool ran dry
  return fail(
      error == ENOSPC || error == ENOMEM ? ErrorCode::out_of_host_memory : ErrorCode::system,
      "the pool of huge pages cannot hold %zu bytes (%s); raise vm.nr_hugepages or choose "
      "transparent pages",
      span.size, errno_name(error));
}

Result<HostPages> HostMemory::map_view(AddressSpan span, HostPages wanted) {
  HostPages pages = wanted;
  if (wanted == HostPages::automatic)
    pages = span.size >= block_size ? automatic_ : HostPages::small;
  SLUICE_TRY(check(span, pages == HostPages::huge ? block_size : page_size));
  SLUICE_TRY(mappings_.take());
  if (pages == HostPages::huge) SLUICE_TRY(take_huge_pages(span));
  // A fault in a view takes small pages unless huge ones are asked for; populate() knows density.
  const bool by_density = wanted == HostPages::automatic && has_private_tmpfs();
  Result<void> mapped = map_both(span, by_density ? HostPages::small : pages);
  if (!mapped) {
    // The piece that stays mapped holds no bytes yet. The caller abandons these addresses.
    if (!close_application(span)) note_unclean(span, pages);
    close_alias(span);
    if (pages == HostPages::huge) (void)punch(span, pages);
    return tl::unexpected<Error>(std::move(mapped).error());
  }
  clean_again(span, pages);
  for (Address block = {round_down(span.begin.value, block_size)}; block < span.end();
       block = block + block_size)
    block_at(block).pages.store(pages, std::memory_order_release);
  return pages;
}

Result<void> HostMemory::unmap_view(AddressSpan span) noexcept {
  SLUICE_TRY(check(span, page_size));
  const HostPages pages = pages_at(span.begin);
  SLUICE_TRY(check(span, granule_at(span.begin)));
  // Close the application view first: while the program can write there, bytes may appear that must
  // not be handed out.
  const bool closed = close_application(span);
  Result<void> given_back = give_back(span, pages);
  // At least the bytes are given back, where a view of the engine's is open.
  if (!given_back && block_at(span.begin).pages.load() != HostPages::automatic)
    given_back = clear(span);
  if (!closed || !given_back) note_unclean(span, pages);
  close_alias(span);
  // A block at an edge may also belong to a neighbour that is still mapped, on small or transparent
  // pages like this one.
  for (Address block = {round_up(span.begin.value, block_size)}; block + block_size <= span.end();
       block = block + block_size)
    block_at(block).pages.store(HostPages::automatic, std::memory_order_release);
  return given_back;
}

// Without a mapping to spare, it closes by protection alone. Returns false if that fails, too.
bool HostMemory::close_application(AddressSpan span) const noexcept {
  return window_.clear(span) ||
         calls().mprotect(pointer_for_call(span.begin), span.size, PROT_NONE) == 0;
}

// Only the engine accesses this view, so one that stays open does no harm.
void HostMemory::close_alias(AddressSpan span) const noexcept {
  if (!reserve_alias(span)) (void)calls().mprotect(alias(span.begin), span.size, PROT_NONE);
}

void HostMemory::note_unclean(AddressSpan span, HostPages pages) const noexcept {
  for (Address block = {round_down(span.begin.value, block_size)}; block < span.end();
       block = block + block_size)
    block_at(block).unclean.fetch_or(file_bit(pages), std::memory_order_acq_rel);
}

// Cleans a span when its views are open again. A block of which this is a part stays noted: the
// rest of it may be unclean as well.
void HostMemory::clean_again(AddressSpan span, HostPages pages) const noexcept {
  const std::uint8_t bit = file_bit(pages);
  bool unclean = false;
  for (Address block = {round_down(span.begin.value, block_size)}; block < span.end();
       block = block + block_size)
    unclean = unclean || (block_at(block).unclean.load(std::memory_order_acquire) & bit) != 0;
  if (!unclean) return;
  if (pages == HostPages::huge || !give_back(span, pages))
    std::memset(alias(span.begin), 0, span.size);
  for (Address block = {round_up(span.begin.value, block_size)}; block + block_size <= span.end();
       block = block + block_size)
    block_at(block).unclean.fetch_and(static_cast<std::uint8_t>(~bit), std::memory_order_acq_rel);
}

// Uses the alias view, which must be open. Linux refuses that for locked memory; then it uses the
// file, if it still is ours.
Result<void> HostMemory::give_back(AddressSpan span, HostPages pages) const noexcept {
  if (calls().madvise(alias(span.begin), span.size, MADV_REMOVE) == 0) return {};
  return punch(span, pages);
}

Result<void> HostMemory::punch(AddressSpan span, HostPages pages) const noexcept {
  const off_t offset = static_cast<off_t>(span.begin - window().begin);
  if (!file_of(pages).is_intact()) return file_lost(file_of(pages).get());
  if (calls().fallocate(file_of(pages).get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                        static_cast<off_t>(span.size)) != 0)
    return call_failed(errno, "fallocate to return the memory of", span);
  return {};
}

}  // namespace sluice::os
