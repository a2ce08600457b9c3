// Journey 1: answers one host access. read_ahead.cc fetches the bytes that come next.
//
// Runs on fault-handler threads: nothing here allocates, and no lock is held over a device wait
// (the claim is, by intent). Cost: a look-up, two short mutexes and the plan, well under a
// microsecond; then the copy and the system calls. What it does not do: wait for kernels (parked.cc
// does), or touch the application view.
#include "engine/host_access.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "os/report.hpp"

namespace sluice::engine {
namespace {

// A look at the instruction of an access takes some 5 us: at most one part in a hundred.
constexpr std::chrono::nanoseconds between_looks = std::chrono::microseconds(500);

// The host has the bytes but no rights to them: they were prefetched for a reader, which has come.
// (Or a kernel used them in place and took the rights; that is no evidence of readers.)
bool is_withheld(const Block& block, std::uint32_t page) SLUICE_REQUIRES(block.claim) {
  const directory::Holding& host = block.state().directory.holding(Location::host());
  return host.resident.contains(page) && !host.readable.contains(page) &&
         block.state().directory.host_mapped().empty();
}

// A small range is filled or read whole: one answer costs little more for all of it than for a
// page. A store to bytes that a device has takes its page alone.
bool is_for_all(const Range& range, const Block& block, const fault::AccessFault& access)
    SLUICE_REQUIRES(block.claim) {
  return range.pages.size <= plan::reading_window * page_size &&
         (access.access == Access::read || block.state().directory.holders().empty());
}

}  // namespace

Result<void> HostAccess::start(fault::FaultSource& source) {
  source_ = &source;
  SLUICE_TRY(parked_.start(source));
  return ahead_.start(source);
}

void HostAccess::forget() noexcept {
  parked_.forget();
  ahead_.forget();
}

// --- the journey ---------------------------------------------------------------------------------

AddressSpan HostAccess::resolve(const fault::AccessFault& access) noexcept {
  parts_.observer.count(observe::Counter::cpu_faults);
  const std::uint64_t began = access.began != 0 ? access.began : parts_.observer.clock();

  // Look up the page's range. It may have been freed since; then the retried access segfaults like
  // any invalid access.
  const Pin range = parts_.ranges.find(access.address);
  if (!range) return answer_stray(access);

  range->traffic.note_fault();

  // While the block is claimed, no other thread changes it.
  Block& block = range->block_of(access.address);
  Claim claim(block.claim);

  // Ask the directory, make a plan, run it: copy, publish, grant. Or park the access until a kernel
  // ends.
  const std::uint64_t link = parts_.observer.new_link();
  const AddressSpan given = give_access(*range, block, std::move(claim), access, link);
  const Address byte = access.exact.value == 0 ? access.address : access.exact;
  const bool is_in = byte >= given.begin && byte < given.end();
  parts_.observer.record(EventKind::cpu_fault, given, Location::host(), Location::host(), began,
                         access.thread,
                         {.cause = Cause::host_access,
                          .writes = access.access == Access::write,
                          .touched = static_cast<std::uint32_t>(is_in ? byte - given.begin : 0),
                          .link = link,
                          .code = access.code});
  return given;
}

bool HostAccess::wants_code(std::uint64_t began) noexcept {
  constexpr auto pause = static_cast<std::uint64_t>(between_looks.count());
  std::uint64_t due = next_look_.load(std::memory_order_relaxed);
  return began >= due &&
         next_look_.compare_exchange_strong(due, began + pause, std::memory_order_relaxed);
}

// --- its steps -----------------------------------------------------------------------------------

// No range has the page. The views of a segment are open there all the same.
AddressSpan HostAccess::answer_stray(const fault::AccessFault& access) noexcept {
  using State = RangeTable::StrayAddress::State;
  const std::size_t unit = parts_.memory.granule_at(access.address);
  const AddressSpan page{{round_down(access.address.value, unit)}, unit};
  const RangeTable::StrayAddress stray = parts_.ranges.close(access.address);
  // The access comes back until its page is in a range, or is free.
  if (stray.state == State::changing) return page;
  // Its unowned neighbours are denied with it: one page of each cell would be two mappings more.
  if (stray.state != State::none && source_->deny(stray.pages)) return page;
  // Its view may still be mapped, and cannot be denied, if the process had no mapping left for
  // that. The access does not get the range's bytes.
  (void)source_->restore(page, page, Access::write);
  return page;
}

AddressSpan HostAccess::give_access(Range& range, Block& block, Claim claim,
                                    const fault::AccessFault& access, std::uint64_t link) noexcept {
  block.claim.assert_held();
  const AddressSpan page{access.address, page_size};
  const std::uint32_t index = block.page_at(access.address);
  if (block.state().directory.lost().contains(index))
    return refuse(access, "its bytes existed only on a device that was lost");
  // The directory records the right, but the access faulted all the same.
  const directory::Holding& held = block.state().directory.holding(Location::host());
  if ((access.access == Access::write ? held.writable : held.readable).contains(index))
    return give_again(range, block, access);
  // A lease on a device keeps its bytes there. end_lease() wakes the waiting accesses.
  if (block.state().leases().keep_from_host(access.access)) return {};

  Access wanted = with_forecast(block, access.access, held.readable.contains(index));
  const bool all_wanted = block.host_accesses.note() && range.readers.expects_all();
  plan::Window window =
      window_for(range, block, access.address, all_wanted || is_for_all(range, block, access));
  PageMask pages = parts_.mover.widen(block, PageMask(window.span), range.host_pages) -
                   block.state().directory.lost();
  const bool came_ahead = is_withheld(block, index);
  // Readers that arrive before the bytes fetched for them take the whole block at once: several
  // would contend for it.
  const bool expected = came_ahead || block.signs.expected();
  const bool dense = all_wanted || block.host_accesses.dense();
  // Blocks of which a little is stored are no reason to make all of the next ones.
  const bool in_order = window.ahead != 0;
  bool rest_follows = false;
  if (parts_.options.access_window == 0 && (dense || expected)) {
    if (window.ahead == 0)
      window = range.readers.window_of(static_cast<std::uint32_t>(range.index_of(block.begin)),
                                       block.extent());
    // Memory that was never written is not filled for it, unless it is to be written and most of
    // the block was already.
    PageMask all = block.every_page() - block.state().directory.lost();
    const PageMask untouched = block.state().directory.untouched();
    if (access.access == Access::read || 2 * untouched.count() > block.extent()) all -= untouched;
    // Random readers go elsewhere next, and need not wait for the rest.
    rest_follows = !expected && window.ahead == 0 && !pages.contains(all);
    if (!rest_follows) pages |= all;
  }
  // A host that cannot share takes pages over even to read them.
  const auto taken = [&] { return parts_.abilities.host_can_share ? wanted : Access::write; };
  RevokeRequest revoke{.span = block.hull_of(pages), .access = taken()};
  std::optional<ActiveUse> obstacle = parts_.readiness.take(range, block, revoke);
  if (obstacle) {
    // A kernel may write some of the window, or read some of it; perhaps it does not write this
    // page.
    wanted = access.access;
    revoke.access = taken();
    pages = parts_.mover.widen(block, PageMask(PageSpan{index, 1}), range.host_pages);
    revoke.span = block.hull_of(pages);
    obstacle = parts_.readiness.take(range, block, revoke);
  }
  if (obstacle) return parked_.park(access, *obstacle) ? AddressSpan{} : page;

  const bool is_first = access.access == Access::write && block.state().directory.holders().empty();
  if (is_first && !pages.contains(block.every_page()))
    ahead_.guess_density(range, block, access.thread_id());
  const Task task{
      &range,
      &block,
      plan::acquire(block.state().directory, {Location::host(), pages, wanted}, parts_.abilities),
      {Cause::host_access, link}};
  const Result<void> done = parts_.stages.run({&task, 1});
  parts_.readiness.refresh(range, block);
  if (!done) {
    // The bytes of a lost device are accounted for by loss_accounting.cc; the access comes back
    // until that has happened.
    if (done.error().code() == ErrorCode::device_lost) return page;
    return refuse(access, done.error().detail().data());
  }
  if (is_first) first_touches_.look_ahead(range);
  if (window.ahead != 0) {
    const bool fills = in_order && access.access == Access::write;
    ahead_.look_ahead(range, block, window, access.access,
                      fills ? AheadJob::Purpose::fill : AheadJob::Purpose::fetch);
  }
  if (access.access == Access::write &&
      block.state().directory.holding(Location::host()).resident.contains(block.every_page()))
    ahead_.note_filled(range, block);
  if (rest_follows) ahead_.fetch_rest(range, block, std::move(claim), access.access);
  return revoke.span;
}

// A load takes the right to store, too, where stores to this block followed loads before.
Access HostAccess::with_forecast(Block& block, Access access, bool loaded_before) {
  if (access == Access::write) {
    const bool shared = block.state().directory.holders() != LocationSet(Location::host());
    if (loaded_before && shared) block.stores.note_store_after_load();
    return access;
  }
  const bool may_store = !block.state().leases().keep_from_host(Access::write);
  return may_store && block.stores.suggests_store() ? Access::write : access;
}

// Linux has dropped page-table entries (it does so when it pages out, splits and collapses pages),
// or another access to the page was answered meanwhile. The rights stand, so there is nothing to
// wait for and nothing to plan.
AddressSpan HostAccess::give_again(Range& range, Block& block,
                                   const fault::AccessFault& access) noexcept {
  const std::size_t unit = parts_.memory.granule_at(access.address);
  const AddressSpan page{{round_down(access.address.value, unit)}, unit};
  const auto index = static_cast<std::uint32_t>((page.begin - block.begin) / page_size);
  const directory::Holding& held = block.state().directory.holding(Location::host());
  const bool writable = held.writable.contains(index);
  const PageMask alike = writable ? held.writable : held.readable - held.writable;
  // Finds the run of pages around this one that have the same rights, within the window of
  // accesses.
  AddressSpan around = page;
  const PageMask window(window_for(range, block, page.begin, false).span);
  (alike & window).for_each_run([&](PageSpan run) {
    if (unit == page_size && index >= run.first && index < run.end()) around = block.span_of(run);
  });
  if (const auto given = source_->restore(page, around, writable ? Access::write : access.access);
      !given)
    return refuse(access, given.error().detail().data());
  return around;
}

plan::Window HostAccess::window_for(Range& range, Block& block, Address page, bool all_wanted) {
  const auto index = static_cast<std::uint32_t>((page - block.begin) / page_size);
  const std::uint32_t extent = block.extent();
  if (parts_.options.access_window != 0) {
    const auto pages =
        static_cast<std::uint32_t>(std::min(parts_.options.access_window, block_size) / page_size);
    const std::uint32_t first = index / pages * pages;
    return {{first, std::min(pages, extent - first)}, 0};
  }
  const auto number = static_cast<std::uint32_t>(range.index_of(page));
  const std::uint32_t least = range.host_pages == HostPages::huge ? pages_per_block
                              : all_wanted                        ? plan::reading_window
                                                                  : plan::smallest_window;
  const std::uint32_t growth =
      block.fill.guessed() ? plan::growth_in_memory : plan::growth_in_block;
  return range.readers.window_at(number, index, extent, {.least = least, .growth = growth});
}

AddressSpan HostAccess::refuse(const fault::AccessFault& access, const char* why) noexcept {
  os::report("thread %d: the access to %#lx cannot be answered: %s", access.thread_id(),
             access.address.value, why);
  // A page without its bytes must never be visible, and to close one alone takes mappings. To close
  // the window takes none.
  if (const auto denied = source_->deny({access.address, page_size});
      !denied && denied.error().code() == ErrorCode::out_of_host_memory) {
    os::report(
        "no mapping is left to close that page (sysctl vm.max_map_count); all memory of the "
        "space is inaccessible from now on");
    source_->deny_everything();
  }
  return {access.address, page_size};
}

}  // namespace sluice::engine
