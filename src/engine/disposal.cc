// Ends freed ranges behind the program's back.
//
// To give back gigabytes takes Linux, and a driver that had registered them, tens of milliseconds,
// which a program need not wait for. One thread takes ranges off the devices, another ends them: so
// callers that need memory of a device never wait for a driver that waits for kernels. Cost: a
// place in a ring. What it does not do: decide which ranges are worth it, or wait for users of a
// range (allocator_release.cc does both).
#include "engine/disposal.hpp"

#include <chrono>

#include "os/futex.hpp"

namespace sluice::engine {

void Disposal::note(std::atomic<std::uint32_t>& done) noexcept {
  done.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(done);
}

Result<void> Disposal::start() {
  const auto end = [this](Range* const& range) {
    const std::size_t size = range->pages.size;
    steps_.end(std::unique_ptr<Range>(range));
    pending_.fetch_sub(size, std::memory_order_relaxed);
    note(ended_);
  };
  SLUICE_TRY(ending_.start("sluice-free", end, steps_.idle));
  return leaving_.start("sluice-leave", [this](Range* const& range) {
    steps_.leave_devices(*range);
    note(left_);
    ending_.wait_and_add([&] { return range; });
  });
}

void Disposal::stop() noexcept {
  leaving_.stop();
  ending_.stop();
}

void Disposal::forget() noexcept {
  leaving_.forget();
  ending_.forget();
}

std::unique_ptr<Range> Disposal::take(std::unique_ptr<Range> range) noexcept {
  const std::size_t size = range->pages.size;
  if (pending_.fetch_add(size, std::memory_order_relaxed) + size <= most_pending) {
    const bool added = leaving_.add([&] {
      taken_.fetch_add(1, std::memory_order_relaxed);
      return range.release();
    });
    if (added) return nullptr;
  }
  pending_.fetch_sub(size, std::memory_order_relaxed);
  return range;
}

bool Disposal::wait_for(const std::atomic<std::uint32_t>& done) const noexcept {
  const std::uint32_t taken = taken_.load(std::memory_order_acquire);
  std::uint32_t now = done.load(std::memory_order_acquire);
  if (static_cast<std::int32_t>(taken - now) <= 0) return false;
  for (; static_cast<std::int32_t>(taken - now) > 0; now = done.load(std::memory_order_acquire))
    os::futex_wait(done, now, std::chrono::steady_clock::time_point::max());
  return true;
}

}  // namespace sluice::engine
