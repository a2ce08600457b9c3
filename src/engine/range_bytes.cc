// Bytes of a space's ranges, read and written for copies.
//
// Managed bytes are never touched through the application view, where an access that cannot be
// answered ends the program: the device may die, and another thread may free the range, in the
// middle of a copy. The block is claimed, its bytes are brought to the host as for any host access,
// and read or written through the alias view. Under a claim no memory may be touched that could
// wait for that claim, so bytes pass through memory of the library's own. Cost: a claim and a plan
// for each part. What it does not do: give the host rights, or order itself against kernels that
// use memory of a device (their fence does).
#include "engine/range_bytes.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/deadline.hpp"
#include "engine/contention.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

using namespace std::chrono_literals;

AddressSpan whole_pages_of(AddressSpan part) noexcept {
  const Address begin{round_down(part.begin.value, page_size)};
  return {begin, round_up(part.end() - begin, page_size)};
}

// Copies between memory of a range, through its alias view, and a buffer.
void move_bytes(std::byte* alias, Access access, std::byte* buffer, std::size_t size) noexcept {
  if (access == Access::write)
    std::memcpy(alias, buffer, size);
  else
    std::memcpy(buffer, alias, size);
}

}  // namespace

Result<RangeBytes::Found> RangeBytes::find(AddressSpan span) const {
  SLUICE_TRY(parts_.checks.alive());
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  // The rest of the last page belongs to the range, but holds none of its bytes.
  if (span.end() > range->pages.begin + range->size)
    return fail(ErrorCode::unknown_address, "%#lx + %zu bytes leaves its range%s %#lx + %zu",
                span.begin.value, span.size, range->label(), range->pages.begin.value, range->size);
  SLUICE_TRY(refuse_lost_bytes(*range, span));
  return Found{range->number, range->kind};
}

Result<void> RangeBytes::refuse_lost_bytes(Range& range, AddressSpan span) const {
  for (std::size_t i = range.index_of(span.begin); i <= range.index_of(span.end() - 1); ++i) {
    Block& block = range.blocks[i];
    MutexLock lock(block.mutex);
    const PageMask lost = block.locked_state().directory.lost() & block.pages_in(span);
    if (!lost.empty())
      return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                  block.hull_of(lost).begin.value);
  }
  return {};
}

// --- bytes that are, or come to be, on the host --------------------------------------------------

Result<void> RangeBytes::copy_host_part(AddressSpan part, std::uint64_t number, Access access,
                                        std::byte* bytes) {
  for (int losses = 0;;) {
    const Pin range = parts_.ranges.find(part.begin, number);
    if (!range)
      return fail(ErrorCode::unknown_address, "%#lx was freed while it was copied",
                  part.begin.value);
    if (range->kind == Kind::host) {
      if (access == Access::write) SLUICE_TRY(parts_.memory.populate(whole_pages_of(part)));
      move_bytes(parts_.memory.alias(part.begin), access, bytes, part.size);
      return {};
    }
    bool done = false;
    auto obstacle = try_host_part(*range, part, access, bytes, done);
    if (!obstacle) {
      SLUICE_TRY(parts_.losses.outlive(obstacle.error(), Location::host(), losses));
    } else if (done) {
      return {};
    } else if (*obstacle) {
      SLUICE_TRY(await_kernel(**obstacle, part.begin));
    } else {
      // A lease keeps the bytes on a device. Like a host access, this waits for its end.
      contention::yield();
    }
  }
}

// If it is not done and no kernel is in the way, a lease is.
Result<std::optional<ActiveUse>> RangeBytes::try_host_part(Range& range, AddressSpan part,
                                                           Access access, std::byte* bytes,
                                                           bool& done) {
  Block& block = range.block_of(part.begin);
  const ScopedClaim claim(block.claim);
  const PageMask named = block.pages_in(part);
  if (block.state().directory.lost().intersects(named))
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                block.hull_of(block.state().directory.lost() & named).begin.value);
  if (block.state().leases().keep_from_host(access)) return std::optional<ActiveUse>{};
  const PageMask pages =
      parts_.mover.widen(block, named, range.host_pages) - block.state().directory.lost();
  const plan::Request request{Location::host(), pages, access};
  Task task{&range,
            &block,
            plan::acquire(block.state().directory, request, parts_.abilities),
            {.cause = Cause::host_access}};
  // The bytes are wanted here, not in the host's page tables.
  task.plan.withhold(pages);
  if (auto obstacle =
          parts_.readiness.take(range, block, parts_.mover.revoke_request_for(request, task)))
    return obstacle;
  // Memory that was never written is not filled to be read.
  const bool zeros = access == Access::read && block.state().directory.untouched().contains(named);
  const bool here = block.state().directory.holding(Location::host()).resident.contains(pages);
  Result<void> moved;
  if (!here && access == Access::write) moved = parts_.memory.populate(block.hull_of(pages));
  if (moved && !zeros) moved = parts_.stages.run({&task, 1});
  parts_.readiness.refresh(range, block);
  if (!moved) return tl::unexpected<Error>(moved.error());
  if (zeros)
    std::memset(bytes, 0, part.size);
  else
    move_bytes(parts_.memory.alias(part.begin), access, bytes, part.size);
  done = true;
  return std::optional<ActiveUse>{};
}

Result<void> RangeBytes::await_kernel(const ActiveUse& use, Address at) {
  const std::chrono::milliseconds limit = bounded(parts_.options.access_timeout);
  const int queue = parts_.timelines.queue_number(use.fence);
  if (limit == 0ms) {
    (void)parts_.timelines.wait(use.fence, {});
    return {};
  }
  const Result<void> ended = parts_.timelines.wait(use.fence, {Deadline::after(limit).time()});
  if (ended || ended.error().code() != ErrorCode::timed_out) return {};
  parts_.observer.count(observe::Counter::stuck_accesses);
  parts_.observer.record(EventKind::access_stuck, {at, page_size},
                         Location::device(use.fence.device), Location::host());
  if (parts_.options.stuck == Stuck::deny)
    return fail(ErrorCode::timed_out,
                "the copy of %#lx waited %lld ms for a kernel on device %d, queue %d, that may "
                "write it",
                at.value, static_cast<long long>(limit.count()), use.fence.device, queue);
  os::report(
      "a copy of %#lx waits since %lld ms: a kernel on device %d, queue %d, may write it and has "
      "not ended",
      at.value, static_cast<long long>(limit.count()), use.fence.device, queue);
  (void)parts_.timelines.wait(use.fence, {});
  return {};
}

// --- bytes that stay in memory of a device -------------------------------------------------------

Result<void> RangeBytes::copy_device_part(AddressSpan part, std::uint64_t number, Access access,
                                          Address buffer) {
  const Pin range = parts_.ranges.find(part.begin, number);
  if (!range)
    return fail(ErrorCode::unknown_address, "%#lx was freed while it was copied", part.begin.value);
  Block& block = range->block_of(part.begin);
  Result<void> done;
  {
    const ScopedClaim claim(block.claim);
    SLUICE_TRY(refuse_lost_bytes(*range, part));
    if (block.state().in_host_memory) {
      move_bytes(parts_.memory.alias(part.begin), access, parts_.memory.alias(buffer), part.size);
      return {};
    }
    const device::Place inside{Location::device(range->device),
                               block.state().part(range->device)->allocation.handle,
                               part.begin - block.begin};
    const device::Place outside = device::Place::host(buffer);
    transfer::Transfer transfer(parts_.devices, parts_.timelines);
    done = transfer.copy(access == Access::read ? device::CopyCommand{inside, outside, part.size}
                                                : device::CopyCommand{outside, inside, part.size});
    if (done) done = transfer.finish();
  }
  if (done || done.error().code() != ErrorCode::device_lost) return done;
  // Its bytes are gone; once the loss is accounted for, the error reports that.
  parts_.losses.await_given_up(range->device);
  SLUICE_TRY(refuse_lost_bytes(*range, part));
  return done;
}

// --- buffers -------------------------------------------------------------------------------------

// A program that frees ranges by guessed addresses may hit this one: it is pinned, so its bytes
// stay until the copy is over.
Result<RangeBytes::Buffer> RangeBytes::make_buffer(std::size_t size) {
  SLUICE_TRY(parts_.checks.alive());
  SLUICE_ASSIGN(base, parts_.allocator.allocate(size, Kind::host, -1, HostPages::small));
  SLUICE_ASSIGN(range, parts_.ranges.find_whole({base, 1}));
  return Buffer{std::move(range), base, parts_.memory.alias(base)};
}

void RangeBytes::end_buffer(Buffer buffer) noexcept {
  buffer.range.release();  // a free waits for that
  if (!parts_.checks.alive()) return;
  if (auto range = parts_.allocator.find_base(buffer.address))
    (void)parts_.allocator.free(std::move(*range), FreeMode::wait);
}

}  // namespace sluice::engine
