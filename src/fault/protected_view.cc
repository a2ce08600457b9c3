// Rights in the application view, by mprotect.
//
// The bytes stay in the memory file and, unlike with userfaultfd, the page-table entries stay as
// well: taking rights away only changes their protection, so the next access costs no page fault of
// the kernel's own.
//
// Every stretch of pages with one protection is a mapping, and a process may have 65530 of them
// (vm.max_map_count). Accesses in random order would use them up within a few GiB. So a page's
// rights and its protection are kept apart. When there are too many borders between unlike pages,
// whole blocks are made inaccessible again, one after the other; their rights stand, and the next
// access restores its protection without the resolver (stand()). Rights thus are exact to the page,
// the number of mappings is bounded, and beyond the bound each access to such a block costs one
// fault more.
//
// Cost: one mprotect (0.4 us for 64 KiB, 10 us for 2 MiB of entries) under one of 64 mutexes; a
// byte of memory for each page. What it does not do: fill holes (the kernel does, at the access,
// and kills where there is no memory left), or keep a protection that the program itself set on
// managed memory: the next access undoes it.
#include "fault/protected_view.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "fault/view_span.hpp"
#include "os/address_window.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"

namespace sluice::fault {
namespace {

using os::calls;
using os::pointer_for_call;

constexpr std::size_t restore_pages = 16;  // restored around an access in a taken-back block
constexpr int attempts = 64;               // blocks taken back for one call that found no mapping

int protection_for(Rights rights) noexcept {
  switch (rights) {
    case Rights::none:
      return PROT_NONE;
    case Rights::read:
      return PROT_READ;
    case Rights::write:
      return PROT_READ | PROT_WRITE;
  }
  return PROT_NONE;
}

void* map_table(std::size_t size) noexcept {
  return calls().mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

}  // namespace

// Pages [first, end) of one block.
struct ProtectedView::Part {
  std::size_t block;
  std::size_t first;
  std::size_t end;
};

ProtectedView::ProtectedView(os::HostMemory& memory, std::size_t border_limit) noexcept
    : memory_(memory), border_limit_(border_limit) {}

Result<std::unique_ptr<ProtectedView>> ProtectedView::create(os::HostMemory& memory,
                                                             std::size_t mappings) {
  // Half is left to the program and to the borders between blocks, which are not counted.
  std::unique_ptr<ProtectedView> view(new ProtectedView(memory, mappings / 2));
  const std::size_t blocks = memory.window().size / block_size;
  void* const pages = map_table(blocks * pages_per_block);
  if (pages == MAP_FAILED) return os::call_failed(errno, "mmap of the table of rights");
  view->pages_ = static_cast<Page*>(pages);  // zero: unwatched
  void* const borders = map_table(blocks * sizeof(std::uint16_t));
  if (borders == MAP_FAILED) return os::call_failed(errno, "mmap of the table of borders");
  view->borders_of_ = static_cast<std::atomic<std::uint16_t>*>(borders);
  return view;
}

ProtectedView::~ProtectedView() {
  const std::size_t blocks = memory_.window().size / block_size;
  if (pages_ != nullptr) calls().munmap(pages_, blocks * pages_per_block);
  if (borders_of_ != nullptr) calls().munmap(borders_of_, blocks * sizeof(std::uint16_t));
}

AddressSpan ProtectedView::span_of(const Part& part) const noexcept {
  return {memory_.window().begin + part.block * block_size + part.first * page_size,
          (part.end - part.first) * page_size};
}

std::size_t ProtectedView::count_borders(const Part& part) const noexcept {
  const Page* const pages = pages_of(part.block);
  const std::size_t last = std::min(part.end, pages_per_block - 1);
  std::size_t count = 0;
  for (std::size_t i = std::max<std::size_t>(part.first, 1); i <= last; ++i)
    count += pages[i].installed != pages[i - 1].installed ? 1 : 0;
  return count;
}

// Returns 0 or an errno; on an error part of it may be done.
int ProtectedView::protect(const Part& part, Rights rights) noexcept {
  const AddressSpan span = span_of(part);
  if (calls().mprotect(pointer_for_call(span.begin), span.size, protection_for(rights)) != 0)
    return errno;
  const std::size_t before = count_borders(part);
  Page* const pages = pages_of(part.block);
  for (std::size_t i = part.first; i < part.end; ++i) pages[i].installed = rights;
  const std::size_t after = count_borders(part);
  if (after == before) return 0;  // as where a reader moves the one border before it
  borders_of_[part.block].fetch_add(static_cast<std::uint16_t>(after - before),
                                    std::memory_order_relaxed);
  borders_.fetch_add(after - before, std::memory_order_relaxed);
  return 0;
}

// Makes the protection equal to the rights: one call for each run of like pages that has one to
// change.
int ProtectedView::install(const Part& part) noexcept {
  const auto allowed = [](Due due) {
    return due == Due::write ? Rights::write : due == Due::read ? Rights::read : Rights::none;
  };
  Page* const pages = pages_of(part.block);
  for (std::size_t run = part.first; run < part.end;) {
    const Rights rights = allowed(pages[run].due);
    std::size_t first = part.end;
    std::size_t last = run;
    std::size_t i = run;
    for (; i < part.end && allowed(pages[i].due) == rights; ++i) {
      if (pages[i].installed == rights) continue;
      first = std::min(first, i);
      last = i;
    }
    if (first < part.end)
      if (const int error = protect({part.block, first, last + 1}, rights); error != 0)
        return error;
    run = i;
  }
  return 0;
}

bool ProtectedView::is_mapped(AddressSpan span) const noexcept {
  return calls().madvise(pointer_for_call(span.begin), span.size, MADV_NORMAL) == 0;
}

// Makes all of a block inaccessible; that takes no further mapping. Its rights stand. Call under
// the block's lock.
bool ProtectedView::take_back(std::size_t block) noexcept {
  const Page* const pages = pages_of(block);
  std::size_t first = 0;
  while (first < pages_per_block && pages[first].due == Due::unwatched) ++first;
  std::size_t end = pages_per_block;
  while (end > first && pages[end - 1].due == Due::unwatched) --end;
  return first < end && protect({block, first, end}, Rights::none) == 0;
}

// Searches all blocks once for one with borders. Returns false if there is none.
bool ProtectedView::take_back_one() noexcept {
  const std::size_t blocks = blocks_used_.load(std::memory_order_acquire);
  for (std::size_t looked = 0; looked < blocks; ++looked) {
    const std::size_t block = hand_.fetch_add(1, std::memory_order_relaxed) % blocks;
    if (borders_of_[block].load(std::memory_order_relaxed) == 0) continue;
    MutexLock lock(mutex_of(block));
    if (take_back(block)) return true;
  }
  return false;
}

void ProtectedView::keep_within_limit() noexcept {
  while (borders() > border_limit_ && take_back_one()) {
  }
}

// Changes the rights of a part to due(old rights), and the protection with them. 0 or an errno;
// then the rights are as before, and any new protection is reverted.
template <typename Change>
int ProtectedView::change_part(const Part& part, Change& due) noexcept {
  std::array<Due, pages_per_block> before;
  MutexLock lock(mutex_of(part.block));
  Page* const pages = pages_of(part.block);
  for (std::size_t i = part.first; i < part.end; ++i) {
    before[i] = pages[i].due;
    pages[i].due = due(before[i]);
  }
  const int error = install(part);
  if (error == 0) return 0;
  for (std::size_t i = part.first; i < part.end; ++i) pages[i].due = before[i];
  (void)take_back(part.block);
  return error;
}

template <typename Change>
Result<void> ProtectedView::change(AddressSpan span, const char* what, Change&& due) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  const std::size_t begin = (span.begin - memory_.window().begin) / page_size;
  const std::size_t end = begin + span.size / page_size;
  for (std::size_t at = begin; at < end;) {
    const std::size_t block = at / pages_per_block;
    const Part part{block, at % pages_per_block,
                    std::min(end - block * pages_per_block, pages_per_block)};
    keep_within_limit();
    int error = change_part(part, due);
    for (int attempt = 0; error == ENOMEM && attempt < attempts; ++attempt) {
      // It is not mapped any more, or this would be one mapping too many.
      if (!is_mapped(span_of(part))) return view_error(error, what, span_of(part));
      if (!take_back_one() && attempt != 0) break;
      error = change_part(part, due);
    }
    if (error != 0) return os::call_failed(error, what, span_of(part));
    at = (block + 1) * pages_per_block;
  }
  return {};
}

Result<void> ProtectedView::watch(AddressSpan view) noexcept {
  SLUICE_TRY(check_span(memory_, process_, view));
  const std::size_t end = (view.end() - 1 - memory_.window().begin) / block_size + 1;
  std::size_t known = blocks_used_.load(std::memory_order_relaxed);
  while (known < end && !blocks_used_.compare_exchange_weak(known, end)) {
  }
  // The view's present protection is not counted in borders(); `write` is that of a fresh one.
  const auto fresh = change(view, "mprotect to watch", [](Due) { return Due::write; });
  auto watched = fresh ? change(view, "mprotect to watch", [](Due) { return Due::none; }) : fresh;
  if (!watched) unwatch(view);
  return watched;
}

// Afterwards it is plain memory. Pieces that the program has unmapped itself stay unmapped.
void ProtectedView::unwatch(AddressSpan view) noexcept {
  if (!check_span(memory_, process_, view)) return;
  (void)change(view, "mprotect to unwatch", [](Due) { return Due::write; });
  const std::size_t begin = (view.begin - memory_.window().begin) / page_size;
  for (std::size_t at = begin; at < begin + view.size / page_size; ++at) {
    const std::size_t block = at / pages_per_block;
    MutexLock lock(mutex_of(block));
    pages_of(block)[at % pages_per_block].due = Due::unwatched;
  }
}

Result<void> ProtectedView::grant(AddressSpan span, Access access) noexcept {
  const Due due = access == Access::write ? Due::write : Due::read;
  return change(span, "mprotect to give rights to", [due](Due before) {
    return before == Due::unwatched || before == Due::denied ? before : std::max(before, due);
  });
}

Result<void> ProtectedView::downgrade(AddressSpan span) noexcept {
  return change(span, "mprotect to protect",
                [](Due before) { return before == Due::write ? Due::read : before; });
}

Result<void> ProtectedView::revoke(AddressSpan span) noexcept {
  return change(span, "mprotect to take rights from", [](Due before) {
    return before == Due::unwatched || before == Due::denied ? before : Due::none;
  });
}

Result<void> ProtectedView::deny(AddressSpan span) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  if (!is_mapped(span)) return view_error(ENOMEM, "mprotect to deny", span);
  return change(span, "mprotect to deny", [](Due) { return Due::denied; });
}

Result<void> ProtectedView::allow(AddressSpan span) noexcept {
  return change(span, "mprotect to allow",
                [](Due before) { return before == Due::unwatched ? before : Due::none; });
}

ProtectedView::StandResult ProtectedView::stand(Address page, Access access,
                                                bool faulted) noexcept {
  keep_within_limit();
  for (int attempt = 0;; ++attempt) {
    const std::optional<StandResult> standing = try_to_stand(page, access, faulted);
    if (standing) return *standing;
    // One mapping too many. The page has its right, so no grant will follow; make room here.
    if (attempt == attempts || !take_back_one()) return StandResult::lacking;
  }
}

// Nothing: the protection could not be set.
std::optional<ProtectedView::StandResult> ProtectedView::try_to_stand(Address page, Access access,
                                                                      bool faulted) noexcept {
  const std::size_t number = (page - memory_.window().begin) / page_size;
  const std::size_t block = number / pages_per_block;
  const std::size_t index = number % pages_per_block;
  MutexLock lock(mutex_of(block));
  Page* const pages = pages_of(block);
  const Due due = pages[index].due;
  if (due == Due::unwatched || due == Due::denied) return StandResult::foreign;
  if (due == Due::none || (due == Due::read && access == Access::write))
    return StandResult::lacking;
  const bool huge = memory_.granule_at(page) == block_size;
  const std::size_t unit = huge ? pages_per_block : restore_pages;
  const Part around{block, index / unit * unit, (index / unit + 1) * unit};
  // Another thread may have been faster, or the program has set a protection of its own: setting it
  // again is safe.
  if (pages[index].installed != (due == Due::write ? Rights::write : Rights::read)) {
    if (install(around) == 0) return StandResult::given;
    return std::nullopt;
  }
  if (!faulted) return StandResult::given;
  const Part here{block, index, huge ? pages_per_block : index + 1};
  return protect(here, pages[index].installed) == 0 ? StandResult::given : StandResult::foreign;
}

}  // namespace sluice::fault
