// PLEASE READ before changing: what is declared here runs inside a SIGSEGV handler, in the thread
// that faulted, which may hold any lock of the program or of libc. No allocation, no stdio, no lock
// that is held while managed memory is touched. Add no includes.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/types.hpp"
#include "sluice/access.hpp"

namespace sluice::fault::in_handler {

struct Touch {
  Address address;
  Access access;
  std::uint64_t mask;  // signals that the thread blocks
  bool faulted;        // else the kernel is about to make the access
};

// What threads sleep on whose access waits for something else.
struct Waiting {
  std::atomic<std::uint32_t> wakes{0};    // changes when they are to try again
  std::atomic<std::uint32_t> threads{0};  // that may be about to sleep
};

struct Answer {
  bool is_ours = false;        // the access may be made (again), after the sleep, if there is one
  Waiting* waiting = nullptr;  // the thread sleeps here, and was counted already; null: no sleep
  std::uint32_t seen = 0;      // while `wakes` is this
};

// Who answers for a window of managed addresses.
class Answerer {
 public:
  // Runs on a stack of ours, of which there may be few, so it does not sleep until a kernel is
  // done: it says where to.
  [[nodiscard]] virtual Answer answer(const Touch& touch) noexcept = 0;

 protected:
  ~Answerer() = default;
};

// Adds a window; false if there are too many (64). remove() returns when no handler is in that
// answerer any more.
[[nodiscard]] bool add(AddressSpan window, Answerer& answerer) noexcept;
void remove(Answerer& answerer) noexcept;

// Makes us the first to hear of SIGSEGV: through the guard, if it is loaded, else as the process's
// handler, which passes on what is not ours to the handler that it found. Idempotent. 0 or an
// errno.
[[nodiscard]] int hear_segmentation_faults() noexcept;
// Whether the guard keeps us first.
[[nodiscard]] bool is_guarded() noexcept;

}  // namespace sluice::fault::in_handler
