// Takes commands off a ring and completes them; control_area.hpp has the protocol.
//
// An idle ring costs nothing: its thread sleeps. It spins only right after a command, because the next one often comes
// within microseconds and a wake costs more than the spin.
#include "device/soft/process/ring_reader.hpp"

#include "device/soft/futex.hpp"

namespace sluice::device::soft::process {

RingReader::RingReader(Ring& ring, FailureLog& failures, std::chrono::microseconds spin) noexcept
    : ring_(ring),
      failures_(failures),
      spin_(spin),
      last_(Ring::value_of(ring.completed.load())),
      any_failed_(ring.completed.load() & Ring::any_failed) {}

std::uint64_t RingReader::next() noexcept {
  const auto arrived = [this] { return ring_.tail.load(std::memory_order_acquire) > last_; };
  if (!spin_until(arrived, spin_)) {
    for (;;) {
      ring_.sleeping.store(1);
      const std::uint64_t tail = ring_.tail.load();
      if (tail > last_) break;
      futex_wait(&ring_.tail, static_cast<std::uint32_t>(tail));
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
    futex_wake(&ring_.wake);
  }
}

void await(Ring& ring, std::uint64_t value, std::chrono::microseconds spin) noexcept {
  const auto reached = [&] { return Ring::value_of(ring.completed.load()) >= value; };
  if (spin_until(reached, spin)) return;
  ring.device_waiters.fetch_add(1);
  for (;;) {
    const std::uint32_t seen = ring.wake.load();
    if (reached()) break;
    futex_wait(&ring.wake, seen);
  }
  ring.device_waiters.fetch_sub(1);
}

}  // namespace sluice::device::soft::process
