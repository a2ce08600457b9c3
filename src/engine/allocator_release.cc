// Releases ranges.
//
// Freeing waits for kernels that use the range, and makes the application view inaccessible. The
// rest of it, for large ranges and those that may be pooled, happens on threads of its own
// (disposal.hpp): there the memory of devices is given back, and that of the host, or it is cleared
// for the next range of that size (host_pool.hpp). A caller that is short of memory meanwhile waits
// for them. Cost for a program: one system call. What it does not do: fail for want of resources;
// memory that cannot be given back now is cleaned before it is handed out (os/host_memory.cc).
#include <algorithm>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "engine/allocator.hpp"
#include "engine/lease_rules.hpp"

namespace sluice::engine {

using namespace std::chrono_literals;

namespace {

// Bytes of a range from which on Linux takes milliseconds to take its pages back.
constexpr std::size_t large_range = std::size_t{64} << 20;

Result<void> refuse_held(Range& range) {
  if (range.has_mapping_operations())
    return fail(ErrorCode::busy, "a mapping operation on the range%s at %#lx is under way",
                range.label(), range.pages.begin.value);
  for (Block& block : range.blocks) {
    const ScopedClaim claim(block.claim);
    if (block.state().leases().any()) return held_by_leases(block, "freeing its range");
  }
  return {};
}

}  // namespace

Result<Pin> Allocator::find_base(Address base) const {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole({base, 1}));
  if (range->pages.begin == base) return std::move(range);
  return fail(ErrorCode::unknown_address, "%#lx is inside a range; its base is %#lx", base.value,
              range->pages.begin.value);
}

Result<void> Allocator::free(Pin range, FreeMode mode) {
  const Address base = range->pages.begin;
  while (true) {
    SLUICE_TRY(refuse_held(*range));
    std::optional<ActiveUse> obstacle;
    parts_.readiness.find_pending(*range, range->pages, [&](const ActiveUse& use) {
      obstacle = use;
      return true;
    });
    if (!obstacle) break;
    if (mode == FreeMode::refuse)
      return fail(ErrorCode::busy, "%#lx is in use by a kernel on device %d", base.value,
                  obstacle->fence.device);
    (void)parts_.timelines.wait(obstacle->fence, {});
  }
  range.release();
  std::unique_ptr<Range> removed = parts_.ranges.remove(base);
  if (removed == nullptr)
    return fail(ErrorCode::unknown_address, "%#lx was freed by another thread", base.value);
  await_users(*removed);
  // From now on an access is a segmentation fault.
  if (retain_unused(*removed)) return {};
  if (is_disposed_of_later(*removed) && parts_.source.deny(removed->pages))
    removed = disposal_.take(std::move(removed));
  if (removed != nullptr) dispose(std::move(removed));
  return {};
}

void Allocator::free_all() noexcept {
  disposal_.stop();
  (void)empty_pool();
  while (std::unique_ptr<Range> range = parts_.ranges.remove_any()) {
    await_users(*range);
    dispose(std::move(range));
  }
  while (const auto segment = parts_.ranges.remove_segment()) end_segment(*segment);
}

// The disposal may have filled the pool.
bool Allocator::reclaim() noexcept {
  const bool waited = disposal_.finish();
  return empty_pool() || waited;
}

// Drivers take their time to forget host memory, and Linux to take back many pages. In grade signal
// an access to a view that is denied would be answered, so there the call ends the range.
bool Allocator::is_disposed_of_later(const Range& range) const noexcept {
  if (parts_.source.grade() == Grade::signal) return false;
  if (range.kind != Kind::shared || parts_.ranges.is_in_segment(range.pages.begin)) return false;
  const std::size_t size = range.pages.size;
  if (size < large_range && size > parts_.pool.largest()) return false;
  // The next range may come to be before this one has ended, at the host and on a device.
  return parts_.headroom.bytes() / 2 >= size;
}

void Allocator::retain_or_return(std::unique_ptr<Range> range) noexcept {
  if (!retain(*range)) return return_all(std::move(range));
  range.reset();
  // Half of what is left, at most: the program may need more before it frees again.
  const std::size_t most = std::min(parts_.pool.limit(), parts_.headroom.bytes() / 2);
  while (parts_.pool.size() > most)
    if (const auto oldest = parts_.pool.take_oldest()) end_pooled(*oldest);
}

// Puts the views of a range that is denied into the pool, if all of its host memory exists: what is
// sparse would take more memory than it had.
bool Allocator::retain(const Range& range) noexcept {
  if (range.pages.size > parts_.pool.largest()) return false;
  if (!parts_.source.revoke(range.pages) || !parts_.memory.clear_whole(range.pages)) return false;
  return put_into_pool(range);
}

// No page of a range exists that nobody ever used, and no device knows of it. So its views alone
// are kept, which took most of the time to make it.
bool Allocator::retain_unused(const Range& range) noexcept {
  if (range.is_used() || range.kind != Kind::shared || range.host_pages == HostPages::huge ||
      parts_.ranges.is_in_segment(range.pages.begin) || !parts_.pool.wants_without_memory())
    return false;
  return parts_.source.deny(range.pages) && put_into_pool(range);
}

bool Allocator::put_into_pool(const Range& range) noexcept {
  // From here on another range may have the addresses.
  parts_.observer.record(EventKind::release, range.pages, Location::host(), Location::host());
  parts_.observer.range_names().end(range.pages.begin);
  try {
    parts_.pool.put({range.pages, range.wanted_pages, range.host_pages, range.is_used()});
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Returns true if it gave something back.
bool Allocator::empty_pool() noexcept {
  bool any = false;
  for (; const auto oldest = parts_.pool.take_oldest(); any = true) end_pooled(*oldest);
  return any;
}

void Allocator::end_pooled(const PooledViews& views) noexcept {
  return_pooled(views);
  parts_.host_budget.give_back(views.pages.size);
}

void Allocator::return_pooled(const PooledViews& views) noexcept {
  parts_.source.unwatch(views.pages);
  return_views(views.pages);
  return_addresses(views.pages);
}

void Allocator::dispose(std::unique_ptr<Range> range) noexcept {
  end_on_devices(*range);
  return_all(std::move(range));
}

void Allocator::return_all(std::unique_ptr<Range> range) noexcept {
  const AddressSpan span = range->pages;
  const bool on_host = range->kind != Kind::device;
  return_host_memory(*range);
  range.reset();
  parts_.observer.record(EventKind::release, span, Location::host(), Location::host());
  parts_.observer.range_names().end(span.begin);
  return_addresses(span);
  if (on_host) parts_.host_budget.give_back(span.size);
}

void Allocator::take_down(Range& range) noexcept {
  await_users(range);
  end_on_devices(range);
  return_host_memory(range);
}

void Allocator::await_users(Range& range) noexcept {
  // No look-up finds it any more. Only a program that frees memory which it still uses makes this
  // wait: accesses and launches that had found the range complete first.
  while (range.is_pinned()) std::this_thread::sleep_for(50us);
  parts_.readiness.leave(range);
}

void Allocator::end_on_devices(Range& range) noexcept {
  // A lost device has no mappings any more.
  transfer::Transfer transfer(parts_.devices, parts_.timelines, transfer::OnLoss::done);
  for (Block& block : range.blocks) {
    const ScopedClaim claim(block.claim);
    for (const DevicePart& part : block.state().parts)
      if (block.state().directory.mapping(part.device) != directory::Mapping::none)
        (void)parts_.stages.unmap(part.device, block, transfer);
  }
  (void)transfer.finish();
  for (Block& block : range.blocks) {
    const ScopedClaim claim(block.claim);
    for (const DevicePart& part : block.state().parts) parts_.residency.release(block, part.device);
  }
}

void Allocator::return_host_memory(Range& range) noexcept {
  for (Block& block : range.blocks) {
    const ScopedClaim claim(block.claim);
    if (!block.state().in_host_memory) continue;
    (void)parts_.memory.unmap_view(block.span());
    parts_.host_budget.give_back(block.span().size);
  }
  if (range.kind == Kind::device || parts_.ranges.is_in_segment(range.pages.begin)) return;
  if (range.kind == Kind::shared) parts_.source.unwatch(range.pages);
  return_views(range.pages);
}

void Allocator::return_views(AddressSpan pages) noexcept {
  for (const auto& device : parts_.devices) device->forget_host_memory(pages);
  (void)parts_.memory.unmap_view(pages);
}

}  // namespace sluice::engine
