// Copies that a program asks for: memmove() over plain memory and the ranges of every space of the process.
//
// Managed bytes are never touched through the application view, where an access that cannot be answered ends the program: the
// device may die, and another thread may free the range, in the middle of a copy. The block is claimed, its bytes are brought to
// the host as for any access of the host, and read or written through the alias view. Under a claim nothing may be touched that
// could wait for that claim, so bytes pass through a buffer of the library's own. Memory of one device passes through a host
// range, which the device reaches. Plain memory is touched with nothing held: a pointer that leads nowhere faults in the
// caller's thread, as memcpy() would.
// Cost: one more copy through a buffer that stays in the CPU's cache; a claim and a plan for each 256 KiB.
// What it does not do: order itself against kernels that use memory of a device (their fence does), or give the host rights.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "engine/engine.hpp"
#include "engine/spaces.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t heap_buffer = std::size_t{256} << 10;

AddressSpan whole_pages_of(AddressSpan part) noexcept {
  const Address begin{round_down(part.begin.value, page_size)};
  return {begin, round_up(part.end() - begin, page_size)};
}

// Between memory of a range, through its alias view, and a buffer.
void move_bytes(std::byte* alias, Access access, std::byte* buffer, std::size_t size) noexcept {
  if (access == Access::write)
    std::memcpy(alias, buffer, size);
  else
    std::memcpy(buffer, alias, size);
}

// Bytes on their way: memory of the library's own, or a host range of a space, which its devices reach. A program that frees ranges
// which are not its own may hit that one: it is pinned, so its bytes stay until the copy is over.
class CopyBuffer {
 public:
  struct Memory {
    Pin range;
    std::byte* alias;
  };
  [[nodiscard]] static Result<CopyBuffer> on_heap(std::size_t size) {
    CopyBuffer buffer;
    buffer.size_ = std::min(size, heap_buffer);
    buffer.heap_.reset(new std::byte[buffer.size_]);
    buffer.bytes_ = buffer.heap_.get();
    return buffer;
  }
  [[nodiscard]] static Result<CopyBuffer> in_space(Engine& engine,
                                                   Result<Memory> (*memory_at)(Engine&, Address),
                                                   std::size_t size) {
    CopyBuffer buffer;
    buffer.size_ = std::min(round_up(size, page_size), block_size);
    SLUICE_ASSIGN(base, engine.allocate(buffer.size_, Kind::host, -1, HostPages::small));
    SLUICE_ASSIGN(memory, memory_at(engine, base));
    buffer.engine_ = &engine;
    buffer.address_ = base;
    buffer.bytes_ = memory.alias;
    buffer.range_ = std::move(memory.range);
    return buffer;
  }
  CopyBuffer(CopyBuffer&& other) noexcept
      : heap_(std::move(other.heap_)),
        engine_(std::exchange(other.engine_, nullptr)),
        range_(std::move(other.range_)),
        address_(other.address_),
        bytes_(other.bytes_),
        size_(other.size_) {}
  CopyBuffer& operator=(CopyBuffer&&) = delete;
  ~CopyBuffer() {
    range_.release();  // a free waits for that
    if (engine_ != nullptr) (void)engine_->free(address_, FreeMode::wait);
  }

  [[nodiscard]] const Engine* engine() const noexcept { return engine_; }
  [[nodiscard]] Address address() const noexcept { return address_; }
  [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  CopyBuffer() noexcept = default;

  std::unique_ptr<std::byte[]> heap_;
  Engine* engine_ = nullptr;
  Pin range_;
  Address address_;
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

// One side of a copy: plain memory, or bytes of one range.
class CopySide {
 public:
  //   invalid_argument  the span overflows
  //   unknown_address   it touches the addresses of a space, and is not all in one live range there
  //   data_lost         bytes of it existed only on a device that was lost
  [[nodiscard]] static Result<CopySide> find(AddressSpan span) {
    if (span.end() < span.begin)
      return fail(ErrorCode::invalid_argument, "%#lx + %zu bytes overflows", span.begin.value,
                  span.size);
    CopySide side;
    side.engine_ = spaces::touched_by(span);
    if (side.engine_ == nullptr) return side;
    SLUICE_TRY(side.engine_->alive());
    SLUICE_ASSIGN(range, side.engine_->ranges_.find_whole(span));
    // The rest of the last page is the range's, but holds none of its bytes.
    if (span.end() > range->pages.begin + range->size)
      return fail(ErrorCode::unknown_address, "%#lx + %zu bytes leaves its range %#lx + %zu",
                  span.begin.value, span.size, range->pages.begin.value, range->size);
    SLUICE_TRY(side.engine_->refuse_lost_bytes(*range, span));
    side.range_ = range->number;
    side.kind_ = range->kind;
    return side;
  }

  [[nodiscard]] bool is_managed() const noexcept { return engine_ != nullptr; }
  [[nodiscard]] bool is_on_device() const noexcept { return is_managed() && kind_ == Kind::device; }
  [[nodiscard]] const Engine* engine() const noexcept { return engine_.get(); }
  [[nodiscard]] Result<CopyBuffer> make_buffer(std::size_t size) const {
    return CopyBuffer::in_space(
        *engine_,
        [](Engine& engine, Address at) -> Result<CopyBuffer::Memory> {
          SLUICE_ASSIGN(range, engine.ranges_.find_whole({at, 1}));
          return CopyBuffer::Memory{std::move(range), engine.memory_->alias(at)};
        },
        size);
  }

  // Of `most` bytes from `begin` on, those in its block; and those up to `end` in the block of the last byte.
  [[nodiscard]] std::size_t part_from(Address begin, std::size_t most) const noexcept {
    return is_managed() ? std::min(most, block_size - offset_in_block(begin)) : most;
  }
  [[nodiscard]] std::size_t part_until(Address end, std::size_t most) const noexcept {
    return is_managed() ? std::min(most, offset_in_block(end - 1) + 1) : most;
  }

  // Between memory and the first bytes of the buffer; Access::write fills the memory.
  [[nodiscard]] Result<void> move(AddressSpan part, Access access, const CopyBuffer& buffer) const {
    if (is_on_device()) return engine_->copy_device_part(part, range_, access, buffer.address());
    if (is_managed()) return engine_->copy_host_part(part, range_, access, buffer.bytes());
    if (access == Access::write)
      std::memcpy(reinterpret_cast<void*>(part.begin.value), buffer.bytes(), part.size);
    else
      std::memcpy(buffer.bytes(), reinterpret_cast<const void*>(part.begin.value), part.size);
    return {};
  }

 private:
  CopySide() noexcept = default;
  [[nodiscard]] std::size_t offset_in_block(Address at) const noexcept {
    return (at - engine_->ranges_.window().begin) % block_size;
  }

  std::shared_ptr<Engine> engine_;  // null: plain memory
  std::uint64_t range_ = 0;
  Kind kind_ = Kind::shared;
};

namespace {

// A buffer for both sides: where one is memory of a device, that device must reach it.
Result<CopyBuffer> shared_buffer(const CopySide& from, const CopySide& to, std::size_t size) {
  if (from.is_on_device()) return from.make_buffer(size);
  if (to.is_on_device()) return to.make_buffer(size);
  return CopyBuffer::on_heap(size);
}

// Devices of two spaces reach no host range in common.
Result<std::optional<CopyBuffer>> second_buffer(const CopySide& from, const CopySide& to,
                                                std::size_t size) {
  std::optional<CopyBuffer> buffer;
  if (from.is_on_device() && to.is_on_device() && from.engine() != to.engine()) {
    SLUICE_ASSIGN(made, to.make_buffer(size));
    buffer.emplace(std::move(made));
  }
  return buffer;
}

}  // namespace

Result<void> Engine::copy(void* to, const void* from, std::size_t size) {
  SLUICE_TRY(alive());
  if (size == 0) return {};
  if (to == nullptr || from == nullptr)
    return fail(ErrorCode::invalid_argument, "a copy of %zu bytes %s a null pointer", size,
                to == nullptr ? "to" : "from");
  const Address target = Address::of(to);
  const Address origin = Address::of(from);
  SLUICE_ASSIGN(out, CopySide::find({origin, size}));
  SLUICE_ASSIGN(in, CopySide::find({target, size}));
  if (!out.is_managed() && !in.is_managed()) {
    std::memmove(to, from, size);
    return {};
  }
  SLUICE_ASSIGN(buffer, shared_buffer(out, in, size));
  SLUICE_ASSIGN(second, second_buffer(out, in, size));
  // As memmove(): where the target begins inside the origin, bytes that are still to be read must not be overwritten.
  const bool backward = target > origin && target - origin < size;
  for (std::size_t done = 0; done < size;) {
    const std::size_t most = std::min(size - done, buffer.size());
    const Address origin_end = origin + (size - done);
    const Address target_end = target + (size - done);
    const std::size_t part = backward
                                 ? in.part_until(target_end, out.part_until(origin_end, most))
                                 : in.part_from(target + done, out.part_from(origin + done, most));
    const AddressSpan read{backward ? origin_end - part : origin + done, part};
    const AddressSpan written{backward ? target_end - part : target + done, part};
    SLUICE_TRY(out.move(read, Access::read, buffer));
    if (second) std::memcpy(second->bytes(), buffer.bytes(), part);
    SLUICE_TRY(in.move(written, Access::write, second ? *second : buffer));
    done += part;
  }
  return {};
}

Result<void> Engine::refuse_lost_bytes(Range& range, AddressSpan span) const {
  for (std::size_t i = range.index_of(span.begin); i <= range.index_of(span.end() - 1); ++i) {
    Block& block = range.blocks[i];
    MutexLock lock(block.mutex);
    if (block.directory.lost().intersects(block.pages_in(span)))
      return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                  block.hull_of(block.directory.lost() & block.pages_in(span)).begin.value);
  }
  return {};
}

// --- bytes that are, or come to be, on the host ---------------------------------------------------------------------------

Result<void> Engine::copy_host_part(AddressSpan part, std::uint64_t number, Access access,
                                    std::byte* bytes) {
  for (int losses = 0;;) {
    const Pin range = ranges_.find(part.begin, number);
    if (!range)
      return fail(ErrorCode::unknown_address, "%#lx was freed while it was copied",
                  part.begin.value);
    if (range->kind == Kind::host) {
      if (access == Access::write) SLUICE_TRY(memory_->populate(whole_pages_of(part)));
      move_bytes(memory_->alias(part.begin), access, bytes, part.size);
      return {};
    }
    bool done = false;
    auto obstacle = try_host_part(*range, part, access, bytes, done);
    if (!obstacle) {
      SLUICE_TRY(outlive(obstacle.error(), Location::host(), losses));
    } else if (done) {
      return {};
    } else if (*obstacle) {
      SLUICE_TRY(await_copied_kernel(**obstacle, part.begin));
    } else {
      // A lease keeps the bytes on a device. As a host access would, this waits for its end.
      std::this_thread::sleep_for(Room::moment);
    }
  }
}

// Not done, and no kernel in the way: a lease is.
Result<std::optional<ActiveUse>> Engine::try_host_part(Range& range, AddressSpan part,
                                                       Access access, std::byte* bytes,
                                                       bool& done) {
  Block& block = range.block_of(part.begin);
  const Claim claim(block.claim);
  const PageMask named = block.pages_in(part);
  if (block.directory.lost().intersects(named))
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                block.hull_of(block.directory.lost() & named).begin.value);
  if (block.leases != 0 && block.leased_at.is_device() &&
      (access == Access::write || block.writing_leases != 0))
    return std::optional<ActiveUse>{};
  const PageMask pages = widen(block, named, range.host_pages) - block.directory.lost();
  const plan::Request request{Location::host(), pages, access};
  Task task{&range, &block, plan::acquire(block.directory, request, abilities_)};
  // The bytes are wanted here, not in the host's page tables.
  task.plan.withhold(pages);
  if (auto obstacle = gate_->take(range, block, taking_for(request, task))) return obstacle;
  // Memory that nobody wrote is not filled to be read.
  const bool zeros = access == Access::read && block.directory.untouched().contains(named);
  const bool here = block.directory.holding(Location::host()).resident.contains(pages);
  Result<void> moved;
  if (!here && access == Access::write) moved = memory_->populate(block.hull_of(pages));
  if (moved && !zeros) moved = stages_->run({&task, 1});
  gate_->refresh(range, block);
  if (!moved) return tl::unexpected<Error>(moved.error());
  if (zeros)
    std::memset(bytes, 0, part.size);
  else
    move_bytes(memory_->alias(part.begin), access, bytes, part.size);
  done = true;
  return std::optional<ActiveUse>{};
}

Result<void> Engine::await_copied_kernel(const ActiveUse& use, Address at) {
  const std::chrono::milliseconds limit =
      std::min<std::chrono::milliseconds>(options_.access_timeout, std::chrono::hours(24 * 365));
  if (limit == 0ms) {
    (void)timelines_.wait(use.fence, {});
    return {};
  }
  const Result<void> ended = timelines_.wait(use.fence, {device::Clock::now() + limit});
  if (ended || ended.error().code() != ErrorCode::timed_out) return {};
  observer_.count(observe::Counter::stuck_accesses);
  observer_.record(EventKind::access_stuck, {at, page_size}, Location::device(use.fence.device),
                   Location::host());
  if (options_.stuck == Stuck::deny)
    return fail(ErrorCode::timed_out,
                "the copy of %#lx waited %lld ms for a kernel on device %d, queue %u, that may "
                "write it",
                at.value, static_cast<long long>(limit.count()), use.fence.device,
                use.fence.timeline);
  os::report(
      "a copy of %#lx waits since %lld ms: a kernel on device %d, queue %u, may write it and has "
      "not ended",
      at.value, static_cast<long long>(limit.count()), use.fence.device, use.fence.timeline);
  (void)timelines_.wait(use.fence, {});
  return {};
}

// --- bytes that stay in memory of a device --------------------------------------------------------------------------------

Result<void> Engine::copy_device_part(AddressSpan part, std::uint64_t number, Access access,
                                      Address buffer) {
  const Pin range = ranges_.find(part.begin, number);
  if (!range)
    return fail(ErrorCode::unknown_address, "%#lx was freed while it was copied", part.begin.value);
  Block& block = range->block_of(part.begin);
  Result<void> done;
  {
    const Claim claim(block.claim);
    SLUICE_TRY(refuse_lost_bytes(*range, part));
    if (block.away) {
      move_bytes(memory_->alias(part.begin), access, memory_->alias(buffer), part.size);
      return {};
    }
    const device::Place inside{Location::device(range->device),
                               block.part(range->device)->piece.handle, part.begin - block.begin};
    const device::Place outside = device::Place::host(buffer);
    transfer::Transfer transfer(devices_, timelines_);
    done = transfer.copy(access == Access::read ? device::CopyCommand{inside, outside, part.size}
                                                : device::CopyCommand{outside, inside, part.size});
    if (done) done = transfer.finish();
  }
  if (done || done.error().code() != ErrorCode::device_lost) return done;
  // Its bytes are gone; once that is accounted for, the error says so.
  await_given_up(range->device);
  SLUICE_TRY(refuse_lost_bytes(*range, part));
  return done;
}

}  // namespace sluice::engine
