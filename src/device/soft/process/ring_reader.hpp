// RingReader: the device's end of one ring. One thread owns it.
#pragma once

#include <cstdint>

#include "device/soft/control_area.hpp"
#include "device/soft/failure_log.hpp"
#include "device/soft/spin.hpp"

namespace sluice::device::soft::process {

class RingReader {
 public:
  // Goes on after the last completed command, so a fresh process continues the timelines of the one
  // before it.
  RingReader(Ring& ring, FailureLog& failures, Spin::Microseconds longest_spin) noexcept;

  // The value of the next command. Spins a little, then sleeps, until there is one.
  [[nodiscard]] std::uint64_t next() noexcept;
  // Ends that command: stores its outcome first, then its completion.
  void complete(std::uint64_t value, const Failure& failure) noexcept;

  [[nodiscard]] Ring& ring() const noexcept { return ring_; }

 private:
  Ring& ring_;
  FailureLog& failures_;
  Spin spin_;
  std::uint64_t last_;
  std::uint64_t any_failed_;
};

// Sleeps until the timeline of `ring` has reached `value`. For commands that wait for another ring.
void await(Ring& ring, std::uint64_t value, Spin& spin) noexcept;

}  // namespace sluice::device::soft::process
