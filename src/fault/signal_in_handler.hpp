// PLEASE READ before changing: this code runs inside a SIGSEGV handler, in the thread that faulted,
// which may hold any lock of the program or of libc. No allocation, no stdio, no lock that is held
// while managed memory is touched. Add no includes.
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

// Threads sleep on this while their accesses wait.
struct WaitSlot {
  std::atomic<std::uint32_t> wakes{0};    // changes when they are to try again
  std::atomic<std::uint32_t> threads{0};  // that may be about to sleep
};

struct Answer {
  bool is_ours = false;         // the access may be made (again), after the sleep, if there is one
  WaitSlot* waiting = nullptr;  // the thread sleeps here, and was counted already; null: no sleep
  std::uint32_t seen = 0;       // while `wakes` is this
};

// Answers accesses in a window of managed addresses.
class Answerer {
 public:
  // Runs on one of our few stacks, so it does not sleep until a kernel is done: it returns where to
  // sleep.
  [[nodiscard]] virtual Answer answer(const Touch& touch) noexcept = 0;

 protected:
  ~Answerer() = default;
};

// Adds a window; false if there are too many (64). remove() returns when no handler is in that
// answerer any more.
[[nodiscard]] bool add(AddressSpan window, Answerer& answerer) noexcept;
void remove(Answerer& answerer) noexcept;

// Makes us the first to receive SIGSEGV: through the guard, if it is loaded, else as the process's
// handler, which passes other faults on to the handler that it found. Idempotent. 0 or an errno.
[[nodiscard]] int hear_segmentation_faults() noexcept;
// True if the guard keeps us first.
[[nodiscard]] bool is_guarded() noexcept;

}  // namespace sluice::fault::in_handler
