// Records the host bytes that a driver keeps in place, and registers more with it.
//
// The registrations lie in an anonymous mapping of eight bytes for each block of the window, so
// untouched parts cost nothing, and testing whether a block is registered is one load. What it does
// not do: unregister to save memory. A range that was once copied keeps its host pages until it is
// freed.
#include "device/pinned_blocks.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/report.hpp"

namespace sluice::device {

Result<void> PinnedBlocks::start() {
  const std::size_t blocks = host_.window.size / block_size;
  void* const table =
      os::calls().mmap(nullptr, blocks * sizeof(*registrations_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) return os::call_failed(errno, "mmap of the table of registrations");
  registrations_ = static_cast<std::atomic<Registration>*>(table);
  return {};
}

PinnedBlocks::~PinnedBlocks() {
  if (registrations_ != nullptr)
    os::calls().munmap(registrations_, host_.window.size / block_size * sizeof(*registrations_));
}

bool PinnedBlocks::is_pinned(AddressSpan span) const noexcept {
  for (std::size_t block = block_of(span.begin); block <= block_of(span.end() - 1); ++block)
    if (registrations_[block].load(std::memory_order_acquire) == 0) return false;
  return true;
}

Result<void> PinnedBlocks::pin(AddressSpan span) {
  if (is_pinned(span)) return {};
  // The mapped part ends with each range. Asked before the lock is taken, because the call takes a
  // lock of the engine's.
  for (Address at = span.begin; at < span.end();) {
    const AddressSpan view = host_.view_at ? host_.view_at(at) : host_.window;
    if (!view.contains(at))
      return fail(ErrorCode::unknown_address,
                  "%#lx is in no range, so its host memory cannot be pinned", at.value);
    const Address end = std::min(span.end(), view.end());
    SLUICE_TRY(pin_part({at, end - at}, view));
    at = end;
  }
  return {};
}

// Host bytes that follow each other are registered together.
Result<void> PinnedBlocks::pin(std::span<const CopyCommand> commands) {
  for (const bool source : {true, false}) {
    AddressSpan run{};
    const auto pin_memory = [&](AddressSpan span) -> Result<void> {
      if (span.size == 0 || goes_on_.load(std::memory_order_relaxed)) return {};
      if (!source) make_memory(span);
      return pin_or_go_on(span);
    };
    for (const CopyCommand& command : commands) {
      const Place& place = source ? command.from : command.to;
      if (!place.location.is_host()) continue;
      const Address begin{place.offset};
      if (run.size != 0 && run.end() == begin) {
        run.size += command.size;
        continue;
      }
      SLUICE_TRY(pin_memory(run));
      run = {begin, command.size};
    }
    SLUICE_TRY(pin_memory(run));
  }
  return {};
}

void PinnedBlocks::make_memory(AddressSpan span) const {
  const std::size_t last = block_of(span.end() - 1);
  for (std::size_t block = block_of(span.begin); block <= last; ++block) {
    if (registrations_[block].load(std::memory_order_acquire) != 0) continue;
    const Address begin = host_.window.begin + block * block_size;
    const Address at = std::max(begin, span.begin);
    const AddressSpan view = host_.view_at ? host_.view_at(at) : host_.window;
    const Address first = std::max(begin, view.begin);
    const Address end = std::min(begin + block_size, view.end());
    if (host_.populate && first < end) host_.populate({first, end - first});
  }
}

Result<void> PinnedBlocks::pin_or_go_on(AddressSpan span) {
  Result<void> pinned = pin(span);
  if (pinned || pinned.error().code() != ErrorCode::out_of_host_memory) return pinned;
  if (!goes_on_.exchange(true))
    os::report("copies are slower from here on: %s", pinned.error().detail().data());
  return {};
}

Result<void> PinnedBlocks::pin_part(AddressSpan part, AddressSpan view) {
  const MutexLock lock(mutex_);
  const std::size_t last = block_of(part.end() - 1);
  const auto is_free = [&](std::size_t block) {
    return registrations_[block].load(std::memory_order_relaxed) == 0;
  };
  for (std::size_t begin = block_of(part.begin); begin <= last;) {
    std::size_t end = begin;
    while (end <= last && is_free(end)) ++end;
    if (end > begin) SLUICE_TRY(pin_run(begin, end, view));
    begin = end + 1;
  }
  return {};
}

Result<void> PinnedBlocks::pin_run(std::size_t first, std::size_t last, AddressSpan view) {
  const Address begin = std::max(host_.window.begin + first * block_size, view.begin);
  const Address end = std::min(host_.window.begin + last * block_size, view.end());
  const auto registered = register_memory(host_.alias + (begin - host_.window.begin), end - begin);
  if (!registered)
    return fail(ErrorCode::out_of_host_memory, "pinning %zu bytes of host memory at %#lx: %s",
                end - begin, begin.value, registered.error().detail().data());
  for (std::size_t block = first; block < last; ++block)
    registrations_[block].store(*registered, std::memory_order_release);
  return {};
}

std::size_t PinnedBlocks::together(Address address, std::size_t size) const noexcept {
  std::size_t block = block_of(address);
  const Registration first = registrations_[block].load(std::memory_order_acquire);
  const Address end = address + size;
  Address reached = host_.window.begin + ++block * block_size;
  while (reached < end && registrations_[block].load(std::memory_order_acquire) == first)
    reached = host_.window.begin + ++block * block_size;
  return std::min(reached, end) - address;
}

// Without the lock: a driver may wait for kernels here, and others pin what their accesses need.
void PinnedBlocks::unpin(AddressSpan span) noexcept {
  const std::size_t last = block_of(span.end() - 1);
  Registration before = 0;
  for (std::size_t block = block_of(span.begin); block <= last; ++block) {
    const Registration found = registrations_[block].exchange(0, std::memory_order_acq_rel);
    if (found != 0 && found != before) unregister_memory(found);
    before = found;
  }
}

}  // namespace sluice::device
