// One function for each kind of packet. Layouts: Linux 6.1, drivers/gpu/drm/amd/amdgpu/
// vega10_sdma_pkt_open.h.
#include "face/kfd/uapi/sdma.hpp"

#include <algorithm>
#include <array>
#include <atomic>

namespace sluice::kfd {
namespace {

using Words = std::span<const std::uint32_t>;

constexpr std::uint32_t count_mask = 0x3fffffff;

std::uint64_t address_at(Words words, std::size_t low) noexcept {
  return std::uint64_t{words[low + 1]} << 32 | words[low];
}

PacketOutcome done_if(bool moved) noexcept {
  return moved ? PacketOutcome::done : PacketOutcome::fault;
}

template <typename T>
PacketOutcome store(GpuMemory& memory, std::uint64_t address, T value) {
  T* const place = memory.word<T>(address);
  if (place == nullptr) return PacketOutcome::fault;
  std::atomic_ref<T>(*place).store(value);
  return PacketOutcome::done;
}

bool is_broadcast(std::uint32_t header) noexcept { return (header >> 27 & 1) != 0; }

PacketOutcome copy_linear(Words words, GpuMemory& memory) {
  const std::uint64_t bytes = std::uint64_t{words[1] & count_mask} + 1;
  const std::uint64_t from = address_at(words, 3);
  if (!memory.copy(address_at(words, 5), from, bytes)) return PacketOutcome::fault;
  if (!is_broadcast(words[0])) return PacketOutcome::done;
  return done_if(memory.copy(address_at(words, 7), from, bytes));
}

PacketOutcome write_data(Words words, GpuMemory& memory) {
  return done_if(memory.write(address_at(words, 1), std::as_bytes(words.subspan(4))));
}

bool holds(std::uint32_t function, std::uint32_t value, std::uint32_t wanted) noexcept {
  switch (function) {
    case 1:
      return value < wanted;
    case 2:
      return value <= wanted;
    case 3:
      return value == wanted;
    case 4:
      return value != wanted;
    case 5:
      return value >= wanted;
    case 6:
      return value > wanted;
    default:
      return true;
  }
}

// A poll of memory. One of a register only flushes what the host wrote, which needs nothing here.
PacketOutcome poll(Words words, GpuMemory& memory) {
  if ((words[0] >> 31) == 0) return PacketOutcome::done;
  std::uint32_t* const place = memory.word<std::uint32_t>(address_at(words, 1));
  if (place == nullptr) return PacketOutcome::fault;
  const std::uint32_t value = std::atomic_ref<std::uint32_t>(*place).load() & words[4];
  return holds(words[0] >> 28 & 7, value, words[3]) ? PacketOutcome::done : PacketOutcome::waits;
}

PacketOutcome add(Words words, GpuMemory& memory) {
  constexpr std::uint32_t add_32 = 15;
  constexpr std::uint32_t add_64 = 47;
  const std::uint32_t operation = words[0] >> 25;
  const std::uint64_t address = address_at(words, 1);
  if (operation == add_64) {
    auto* const place = memory.word<std::uint64_t>(address);
    if (place == nullptr) return PacketOutcome::fault;
    std::atomic_ref<std::uint64_t>(*place).fetch_add(address_at(words, 3));
    return PacketOutcome::done;
  }
  if (operation != add_32) return PacketOutcome::unknown;
  auto* const place = memory.word<std::uint32_t>(address);
  if (place == nullptr) return PacketOutcome::fault;
  std::atomic_ref<std::uint32_t>(*place).fetch_add(words[3]);
  return PacketOutcome::done;
}

PacketOutcome fill(Words words, GpuMemory& memory) {
  constexpr std::uint32_t by_words = 2;
  std::uint64_t address = address_at(words, 1);
  std::uint64_t left = std::uint64_t{words[4] & count_mask} + 1;
  std::array<std::uint32_t, 1024> pattern;
  const std::uint32_t byte = words[3] & 0xff;
  pattern.fill((words[0] >> 30) == by_words ? words[3] : byte * 0x01010101U);
  while (left > 0) {
    const auto part = std::as_bytes(std::span(pattern)).first(std::min(left, sizeof pattern));
    if (!memory.write(address, part)) return PacketOutcome::fault;
    address += part.size();
    left -= part.size();
  }
  return PacketOutcome::done;
}

enum Operation : std::uint32_t {
  nop = 0,
  copying = 1,
  writing = 2,
  fencing = 5,
  trapping = 6,
  polling = 8,
  atomic = 10,
  filling = 11,
  timestamp = 13
};

// 0: no such packet. The word that tells the length of a WRITE may be missing yet.
std::uint32_t length_of(Words words) noexcept {
  const std::uint32_t header = words[0];
  const std::uint32_t kind = header >> 8 & 0xff;
  switch (header & 0xff) {
    case nop:
      return 1 + (header >> 16 & 0x3fff);
    case copying:
      return kind != 0 ? 0 : is_broadcast(header) ? 9 : 7;
    case writing:
      if (kind != 0) return 0;
      return words.size() < 4 ? 4 : 5 + (words[3] & 0xfffff);
    case fencing:
      return 4;
    case trapping:
      return 2;
    case polling:
      return kind != 0 ? 0 : 6;
    case atomic:
      return 8;
    case filling:
      return 5;
    case timestamp:
      return kind == 1 || kind == 2 ? 3 : 0;
    default:
      return 0;
  }
}

PacketOutcome run_operation(Words words, GpuMemory& memory, std::uint64_t ticks) {
  switch (words[0] & 0xff) {
    case copying:
      return copy_linear(words, memory);
    case writing:
      return write_data(words, memory);
    case fencing:
      return store(memory, address_at(words, 1), words[3]);
    case polling:
      return poll(words, memory);
    case atomic:
      return add(words, memory);
    case filling:
      return fill(words, memory);
    case timestamp:
      return store(memory, address_at(words, 1), ticks);
    default:
      return PacketOutcome::done;
  }
}

}  // namespace

PacketResult run_sdma_packet(Words words, GpuMemory& memory, std::uint64_t ticks) {
  constexpr std::uint32_t context_mask = 0x0fffffff;
  PacketResult result;
  result.words = length_of(words);
  if (result.words == 0 || result.words > longest_sdma_packet) {
    result.outcome = PacketOutcome::unknown;
    return result;
  }
  if (words.size() < result.words) {
    result.outcome = PacketOutcome::incomplete;
    return result;
  }
  result.outcome = run_operation(words.first(result.words), memory, ticks);
  if ((words[0] & 0xff) == trapping) {
    result.interrupts = true;
    result.context = words[1] & context_mask;
  }
  return result;
}

}  // namespace sluice::kfd
