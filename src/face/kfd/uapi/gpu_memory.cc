// Translates, a piece at a time, and copies.
#include "face/kfd/uapi/gpu_memory.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice::kfd {
namespace {

constexpr std::uint64_t page_of_gpu = 4096;
constexpr std::size_t bounce_bytes = 16 * 1024;

}  // namespace

bool GpuMemory::note_fault(std::uint64_t address) noexcept {
  fault_ = address / page_of_gpu * page_of_gpu;
  return false;
}

GpuMemory::Extent GpuMemory::extent(std::uint64_t address, std::uint64_t size, bool writes) {
  const auto place = memory_.at(gpu_, address);
  if (!place) {
    const std::uint64_t in_range = memory_.beyond(gpu_, address, writes);
    if (in_range == 0) (void)note_fault(address);
    return {nullptr, address, std::min(size, in_range)};
  }
  const Buffer& buffer = *place->buffer;
  const std::uint64_t in_row = std::min(size, buffer.backing() - place->offset);
  if (buffer.user_address != 0) return {nullptr, buffer.user_address + place->offset, in_row};
  std::byte* const all = surroundings_.bytes(
      buffer.shared ? *buffer.shared : *memory_.file(buffer.gpu), buffer.offset, buffer.backing());
  if (all == nullptr) {
    (void)note_fault(address);
    return {};
  }
  return {all + place->offset, 0, in_row};
}

bool GpuMemory::read(std::uint64_t address, std::span<std::byte> to) {
  while (!to.empty()) {
    const Extent from = extent(address, to.size(), false);
    if (from.size == 0) return false;
    const auto part = to.first(from.size);
    if (from.bytes != nullptr)
      std::memcpy(part.data(), from.bytes, part.size());
    else if (!surroundings_.read(from.user_address, part))
      return note_fault(address);
    address += from.size;
    to = to.subspan(from.size);
  }
  return true;
}

bool GpuMemory::write(std::uint64_t address, std::span<const std::byte> from) {
  while (!from.empty()) {
    const Extent to = extent(address, from.size(), true);
    if (to.size == 0) return false;
    const auto part = from.first(to.size);
    if (to.bytes != nullptr)
      std::memcpy(to.bytes, part.data(), part.size());
    else if (!surroundings_.write(to.user_address, part))
      return note_fault(address);
    address += to.size;
    from = from.subspan(to.size);
  }
  return true;
}

bool GpuMemory::copy(std::uint64_t to, std::uint64_t from, std::uint64_t size) {
  std::array<std::byte, bounce_bytes> bounce;
  while (size > 0) {
    const Extent source = extent(from, size, false);
    if (source.size == 0) return false;
    std::uint64_t moved = source.size;
    if (source.bytes != nullptr) {
      // The pieces of both may be one mapping, so the second question must not move the first.
      if (!write(to, {source.bytes, moved})) return false;
    } else {
      moved = std::min<std::uint64_t>(moved, bounce.size());
      const auto part = std::span(bounce).first(moved);
      if (!read(from, part) || !write(to, part)) return false;
    }
    from += moved;
    to += moved;
    size -= moved;
  }
  return true;
}

std::byte* GpuMemory::word_bytes(std::uint64_t address, std::size_t size) {
  const Extent found = address % size == 0 ? extent(address, size, true) : Extent{};
  std::byte* bytes = found.bytes;
  if (found.size == size && bytes == nullptr)
    bytes = surroundings_.user_bytes(found.user_address, size);
  if (found.size != size || bytes == nullptr) {
    (void)note_fault(address);
    return nullptr;
  }
  return bytes;
}

}  // namespace sluice::kfd
