// Maps memory files as a whole for the copy engines.
//
// A peer that was reset has a new file. The old mapping stays, because a copy may still be running
// on it; the client empties the old file, so what stays is address space only.
#include "device/soft/process/memories.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "os/futex.hpp"

namespace sluice::device::soft::process {
namespace {

constexpr auto never = std::chrono::steady_clock::time_point::max();

}  // namespace

bool Memories::add(std::uint8_t memory, int file, std::size_t size,
                   std::uint32_t generation) noexcept {
  void* bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (bytes == MAP_FAILED) return false;
  // The host alone decides which of its pages are huge. Either advice may be refused.
  madvise(bytes, size, memory == host_memory ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  madvise(bytes, size, MADV_DONTDUMP);  // a crashed device's core is about its own state
  // The file of a peer's former memory is of no use any more: its mappings are gone.
  const int former = entries_[memory].file.exchange(file, std::memory_order_acq_rel);
  if (former >= 0) close(former);
  entries_[memory].bytes.store(static_cast<std::byte*>(bytes), std::memory_order_release);
  entries_[memory].generation.store(generation, std::memory_order_release);
  additions_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(additions_);
  return true;
}

std::byte* Memories::at(std::uint8_t memory, std::uint32_t generation) const noexcept {
  const Entry& entry = entries_[memory];
  for (;;) {
    const std::uint32_t seen = additions_.load(std::memory_order_acquire);
    std::byte* bytes = entry.bytes.load(std::memory_order_acquire);
    if (bytes != nullptr && entry.generation.load(std::memory_order_acquire) >= generation) {
      return entry.bytes.load(std::memory_order_acquire);
    }
    os::futex_wait(additions_, seen, never);
  }
}

}  // namespace sluice::device::soft::process
