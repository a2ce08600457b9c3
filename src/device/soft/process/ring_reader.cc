// Takes commands off a ring and completes them; control_area.hpp has the protocol.
//
// An idle ring costs nothing: its thread sleeps. It spins only right after a command, because the
// next one often comes within microseconds and a wake costs more than the spin.
#include "device/soft/process/ring_reader.hpp"

#include <chrono>

#include "os/futex.hpp"

namespace sluice::device::soft::process {
namespace {

constexpr auto never = std::chrono::steady_clock::time_point::max();

}  // namespace

RingReader::RingReader(Ring& ring, FailureLog& failures, Spin::Microseconds longest_spin) noexcept
    : ring_(ring),
      failures_(failures),
      spin_(longest_spin),
      last_(Ring::value_of(ring.completed.load())),
      any_failed_(ring.completed.load() & Ring::any_failed) {}

std::uint64_t RingReader::next() noexcept {
  const auto arrived = [this] { return ring_.tail.load(std::memory_order_acquire) > last_; };
  if (!spin_.until(arrived)) {
    for (;;) {
      ring_.sleeping.store(1);
      if (ring_.tail.load() > last_) break;
      os::futex_wait(ring_.sleeping, 1, never);
    }
    ring_.sleeping.store(0, std::memory_order_relaxed);
  }
  ring_.running.store(last_ + 1, std::memory_order_relaxed);
  return last_ + 1;
}

void RingReader::complete(std::uint64_t value, const Failure& failure) noexcept {
  if (failure) {
    failures_.append(value, failure);
    ring_.slot(value).failure.store(failure);
    any_failed_ = Ring::any_failed;
  }
  last_ = value;
  ring_.running.store(0, std::memory_order_relaxed);
  ring_.completed.store(value | any_failed_);
  if (ring_.client_waiters.load() + ring_.device_waiters.load() != 0) {
    ring_.wake.fetch_add(1);
    os::futex_wake_all(ring_.wake);
  }
}

void await(Ring& ring, std::uint64_t value, Spin& spin) noexcept {
  const auto reached = [&] { return Ring::value_of(ring.completed.load()) >= value; };
  if (spin.until(reached)) return;
  ring.device_waiters.fetch_add(1);
  for (;;) {
    const std::uint32_t seen = ring.wake.load();
    if (reached()) break;
    os::futex_wait(ring.wake, seen, never);
  }
  ring.device_waiters.fetch_sub(1);
}

}  // namespace sluice::device::soft::process
