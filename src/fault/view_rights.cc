// Rights in the application view, by userfaultfd.
//
// A page of a watched view has one of these page-table states, set by these calls:
//   nothing (or a mark)    revoke(), or Linux at any time (see restore()): every access faults
//   write-protected entry  grant(read): reads go on, the first write faults
//   writable entry         grant(write)
// The bytes are in the memory file all the time, so dropping an entry loses no store (checked by
// storms of increments).
//
// There are two ways from read to write. Lifting the protection costs one call, but for shared
// files Linux leaves the entry read-only and the next store takes another 0.6 us fault per page;
// dropping the entries and mapping them again costs 16 us + 33 us for 2 MiB and no further fault.
// So short runs are lifted and long ones mapped again.
//
// Measured (6.18): map 0.065 us a page in long runs, 0.3 us a call; take away 2 MiB of 4 KiB
// entries 16 us.
//
// Not done: merging of spans from different calls (process_madvise), which saves 10 to 30 % only
// for scattered spans.
#include "fault/view_rights.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "fault/view_span.hpp"
#include "os/address_window.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/report.hpp"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24  // Linux 5.18
#endif

namespace sluice::fault {
namespace {

using os::calls;
using os::pointer_for_call;

// An ioctl that lacks memory has waited for it (os/memory_shortage.hpp).
tl::unexpected<Error> ioctl_error(int error, const char* what, AddressSpan span) noexcept {
  return error == ENOMEM ? os::call_failed(error, what, span) : view_error(error, what, span);
}

constexpr std::size_t lift_at_most = 4 * page_size;
// How often a walk starts anew at one place because others change the same pages.
constexpr int most_restarts = 8;

}  // namespace

// A grant on its way through its span.
struct ViewRights::Walk {
  Address at;
  Address end;
  std::size_t granule;  // a page, or a block on huge pages
  std::size_t run;      // how much to ask for at once; shortened where the span crosses mappings
  bool exclusive;       // stores must go through without a fault
  int restarts = 0;     // without coming any further

  void advance(std::size_t done) noexcept {
    at = at + done;
    run *= 2;
    restarts = 0;
  }
  [[nodiscard]] AddressSpan rest() const noexcept { return {at, end - at}; }
  [[nodiscard]] AddressSpan next() const noexcept { return {at, std::min(run, end - at)}; }
};

ViewRights::ViewRights(os::Userfaultfd userfaultfd, os::HostMemory& memory) noexcept
    : userfaultfd_(std::move(userfaultfd)), memory_(memory), drop_entries_(MADV_DONTNEED) {
  // Advice about nothing is refused only if the kernel does not know it.
  if (calls().madvise(pointer_for_call(memory.window().begin), 0, MADV_DONTNEED_LOCKED) == 0)
    drop_entries_ = MADV_DONTNEED_LOCKED;
}

// Entries may be there already: under mlockall(MCL_FUTURE), or because the view was in use before.
Result<void> ViewRights::watch(AddressSpan view) {
  SLUICE_TRY(check_span(memory_, process_, view));
  SLUICE_TRY(check_descriptor());
  SLUICE_TRY(userfaultfd_.add(view));
  auto revoked = revoke(view);
  if (!revoked) userfaultfd_.remove(view);
  return revoked;
}

void ViewRights::unwatch(AddressSpan view) noexcept {
  if (!process_.inherited()) userfaultfd_.remove(view);
}

Result<void> ViewRights::grant(AddressSpan span, Access access) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  const bool protect = access == Access::read && userfaultfd_.can_share();
  Walk walk{.at = span.begin,
            .end = span.end(),
            .granule = memory_.granule_at(span.begin),
            .run = span.size,
            .exclusive = access == Access::write && userfaultfd_.can_share()};
  while (walk.at < walk.end) {
    const AddressSpan asked = walk.next();
    const os::Userfaultfd::Progress progress = userfaultfd_.map_existing(asked, protect);
    if (progress.done != 0) {
      walk.advance(progress.done);
      continue;
    }
    switch (progress.error) {
      case EAGAIN:  // another thread changes the address space
        break;
      case EEXIST:
        SLUICE_TRY(step_past_mapped(walk));
        break;
      case EFAULT:
        SLUICE_TRY(step_over_hole(walk));
        break;
      case ENOENT:  // the span crosses from one mapping to the next, as mlock of a part leaves them
        if (asked.size <= walk.granule)
          return ioctl_error(progress.error, "ioctl UFFDIO_CONTINUE to give rights to", asked);
        walk.run = round_up(asked.size / 2, walk.granule);
        break;
      default:
        return ioctl_error(progress.error, "ioctl UFFDIO_CONTINUE to give rights to", asked);
    }
  }
  return {};
}

// Handles a page that has an entry. If stores must go through, the entry may be write-protected.
Result<void> ViewRights::step_past_mapped(Walk& walk) noexcept {
  if (walk.exclusive && walk.end - walk.at > lift_at_most && walk.granule == page_size &&
      walk.restarts < most_restarts) {
    ++walk.restarts;
    return revoke(walk.rest());
  }
  const AddressSpan here{walk.at, walk.granule};
  if (walk.exclusive)
    if (const int error = userfaultfd_.write_protect(here, false); error != 0)
      return ioctl_error(error, "ioctl UFFDIO_WRITEPROTECT to lift protection of", here);
  walk.advance(here.size);
  return {};
}

// Handles a page that the file does not hold yet: it reads as zero.
Result<void> ViewRights::step_over_hole(Walk& walk) noexcept {
  if (++walk.restarts > most_restarts)
    return fail(ErrorCode::busy,
                "[%#zx, +%zu bytes) is discarded again and again while it is accessed",
                static_cast<std::size_t>(walk.at.value), walk.rest().size);
  return memory_.populate(walk.rest());
}

// An existing entry means that another access was answered meanwhile, or is write-protected though
// stores may go on. Long runs are not remapped as grant() does it: that would take rights from
// threads that are using them.
Result<void> ViewRights::restore(AddressSpan page, AddressSpan around, Access access) noexcept {
  SLUICE_TRY(check_span(memory_, process_, page));
  SLUICE_TRY(check_span(memory_, process_, around));
  const bool protect = access == Access::read && userfaultfd_.can_share();
  for (int restarts = 0;;) {
    const os::Userfaultfd::Progress progress = userfaultfd_.map_existing(page, protect);
    if (progress.done != 0) break;
    if (progress.error == EAGAIN) continue;
    if (progress.error == EEXIST) {
      if (access == Access::read || !userfaultfd_.can_share()) return {};
      const int error = userfaultfd_.write_protect(page, false);
      return error == 0
                 ? Result<void>{}
                 : ioctl_error(error, "ioctl UFFDIO_WRITEPROTECT to lift protection of", page);
    }
    if (progress.error != EFAULT || ++restarts > most_restarts)
      return ioctl_error(progress.error, "ioctl UFFDIO_CONTINUE to give rights again to", page);
    SLUICE_TRY(memory_.populate(page));  // the program punched a hole there itself
  }
  restore_rest({around.begin, page.begin - around.begin}, page.size, protect);
  restore_rest({page.end(), around.end() - page.end()}, page.size, protect);
  return {};
}

// Pages that cannot be restored here are left to a later access.
void ViewRights::restore_rest(AddressSpan span, std::size_t granule, bool protect) noexcept {
  for (Address at = span.begin; at < span.end();) {
    const auto progress = userfaultfd_.map_existing({at, span.end() - at}, protect);
    if (progress.done == 0 && progress.error == EAGAIN) continue;
    at = at + (progress.done != 0 ? progress.done : granule);
  }
}

Result<void> ViewRights::downgrade(AddressSpan span) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  if (!userfaultfd_.can_share())
    return fail(ErrorCode::unsupported,
                "this kernel cannot take writes and leave reads; Linux 6.4 can");
  if (const int error = userfaultfd_.write_protect(span, true); error != 0)
    return ioctl_error(error, "ioctl UFFDIO_WRITEPROTECT to protect", span);
  return {};
}

Result<void> ViewRights::revoke(AddressSpan span) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  if (calls().madvise(pointer_for_call(span.begin), span.size, drop_entries_) != 0)
    return view_error(errno, "madvise to take rights from", span);
  return {};
}

Result<void> ViewRights::deny(AddressSpan span) noexcept {
  SLUICE_TRY(check_span(memory_, process_, span));
  if (calls().mprotect(pointer_for_call(span.begin), span.size, PROT_NONE) != 0) {
    const int error = errno;
    // It is not mapped any more, or this would be one mapping too many.
    if (calls().madvise(pointer_for_call(span.begin), span.size, MADV_NORMAL) != 0)
      return view_error(error, "mprotect to deny", span);
    return os::call_failed(error, "mprotect to deny", span);
  }
  wake(span);
  return {};
}

// This is one call, which splits no mapping.
void ViewRights::deny_everything() noexcept {
  const AddressSpan window = memory_.window();
  if (calls().mprotect(pointer_for_call(window.begin), window.size, PROT_NONE) == 0) return;
  os::report("mprotect: %s: the memory of the space cannot be closed", os::errno_name(errno));
  std::abort();
}

Result<void> ViewRights::check_descriptor() const noexcept {
  if (userfaultfd_.is_intact()) return {};
  return fail(ErrorCode::system, "the program closed descriptor %d, the userfaultfd of the space",
              userfaultfd_.file());
}

Result<void> ViewRights::allow(AddressSpan span) noexcept {
  SLUICE_TRY(check_descriptor());
  SLUICE_TRY(revoke(span));
  if (calls().mprotect(pointer_for_call(span.begin), span.size, PROT_READ | PROT_WRITE) != 0)
    return os::call_failed(errno, "mprotect to allow", span);
  return {};
}

}  // namespace sluice::fault
