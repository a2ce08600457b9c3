// Copies requested by a program: memmove() over plain memory and the ranges of every space of the
// process.
//
// Bytes pass through a buffer of the library's own (range_bytes.cc says why). Memory of one device
// passes through a host range, which the device reaches. Plain memory is touched without claims or
// locks: an invalid pointer faults in the caller's thread, as in memcpy(). Cost: one more copy
// through a buffer that stays in the CPU's cache; a claim and a plan for each 256 KiB. What it does
// not do: order itself against kernels that use memory of a device (their fence does), or give the
// host rights.
#include "engine/copy.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "engine/range_bytes.hpp"
#include "engine/spaces.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t heap_buffer = std::size_t{256} << 10;

// Holds bytes in transit: memory of the library's own, or a host range of a space, which its
// devices reach.
class CopyBuffer {
 public:
  [[nodiscard]] static Result<CopyBuffer> on_heap(std::size_t size) {
    CopyBuffer buffer;
    buffer.size_ = std::min(size, heap_buffer);
    buffer.heap_.reset(new std::byte[buffer.size_]);
    buffer.bytes_ = buffer.heap_.get();
    return buffer;
  }
  [[nodiscard]] static Result<CopyBuffer> in_space(RangeBytes& space, std::size_t size) {
    CopyBuffer buffer;
    buffer.size_ = std::min(round_up(size, page_size), block_size);
    SLUICE_ASSIGN(made, space.make_buffer(buffer.size_));
    buffer.space_ = &space;
    buffer.bytes_ = made.alias;
    buffer.range_ = std::move(made);
    return buffer;
  }
  CopyBuffer(CopyBuffer&& other) noexcept
      : heap_(std::move(other.heap_)),
        space_(std::exchange(other.space_, nullptr)),
        range_(std::move(other.range_)),
        bytes_(other.bytes_),
        size_(other.size_) {}
  CopyBuffer& operator=(CopyBuffer&&) = delete;
  ~CopyBuffer() {
    if (space_ != nullptr) space_->end_buffer(std::move(range_));
  }

  [[nodiscard]] Address address() const noexcept { return range_.address; }
  [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  CopyBuffer() noexcept = default;

  std::unique_ptr<std::byte[]> heap_;
  RangeBytes* space_ = nullptr;
  RangeBytes::Buffer range_;
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
};

// One side of a copy: plain memory, or bytes of one range.
class CopySide {
 public:
  [[nodiscard]] static Result<CopySide> find(AddressSpan span) {
    if (span.end() < span.begin)
      return fail(ErrorCode::invalid_argument, "%#lx + %zu bytes overflows", span.begin.value,
                  span.size);
    CopySide side;
    side.space_ = spaces::touched_by(span);
    if (side.space_ == nullptr) return side;
    SLUICE_ASSIGN(found, side.space_->find(span));
    side.found_ = found;
    return side;
  }

  [[nodiscard]] bool is_managed() const noexcept { return space_ != nullptr; }
  [[nodiscard]] bool is_on_device() const noexcept {
    return is_managed() && found_.kind == Kind::device;
  }
  [[nodiscard]] const RangeBytes* space() const noexcept { return space_.get(); }
  [[nodiscard]] Result<CopyBuffer> make_buffer(std::size_t size) const {
    return CopyBuffer::in_space(*space_, size);
  }

  // Returns how many of `most` bytes from `begin` on lie in its block; and how many up to `end` lie
  // in the block of the last byte.
  [[nodiscard]] std::size_t part_from(Address begin, std::size_t most) const noexcept {
    return is_managed() ? std::min(most, block_size - space_->offset_in_block(begin)) : most;
  }
  [[nodiscard]] std::size_t part_until(Address end, std::size_t most) const noexcept {
    return is_managed() ? std::min(most, space_->offset_in_block(end - 1) + 1) : most;
  }

  // Moves bytes between memory and the start of the buffer; Access::write fills the memory.
  [[nodiscard]] Result<void> move(AddressSpan part, Access access, const CopyBuffer& buffer) const {
    if (is_on_device())
      return space_->copy_device_part(part, found_.range, access, buffer.address());
    if (is_managed()) return space_->copy_host_part(part, found_.range, access, buffer.bytes());
    if (access == Access::write)
      std::memcpy(reinterpret_cast<void*>(part.begin.value), buffer.bytes(), part.size);
    else
      std::memcpy(buffer.bytes(), reinterpret_cast<const void*>(part.begin.value), part.size);
    return {};
  }

 private:
  CopySide() noexcept = default;

  std::shared_ptr<RangeBytes> space_;  // null: plain memory
  RangeBytes::Found found_;
};

// Makes a buffer for both sides: where one is memory of a device, that device must reach it.
Result<CopyBuffer> shared_buffer(const CopySide& from, const CopySide& to, std::size_t size) {
  if (from.is_on_device()) return from.make_buffer(size);
  if (to.is_on_device()) return to.make_buffer(size);
  return CopyBuffer::on_heap(size);
}

// No host range is reachable by devices of two spaces.
Result<std::optional<CopyBuffer>> second_buffer(const CopySide& from, const CopySide& to,
                                                std::size_t size) {
  std::optional<CopyBuffer> buffer;
  if (from.is_on_device() && to.is_on_device() && from.space() != to.space()) {
    SLUICE_ASSIGN(made, to.make_buffer(size));
    buffer.emplace(std::move(made));
  }
  return buffer;
}

}  // namespace

Result<void> copy(void* to, const void* from, std::size_t size) {
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
  // As in memmove(): where the target begins inside the origin, bytes that are still to be read
  // must not be overwritten.
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

}  // namespace sluice::engine
