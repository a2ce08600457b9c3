// PLEASE READ before changing: what is declared here runs inside a SIGSEGV handler, in the thread that faulted, which may hold any
// lock of the program or of libc. No allocation, no stdio, no lock that is held while managed memory is touched. Add no includes.
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

// Who answers for a window of managed addresses.
class Answerer {
 public:
  // Whether the access may be made (again). False: it is none of ours.
  [[nodiscard]] virtual bool answer(const Touch& touch) noexcept = 0;

 protected:
  ~Answerer() = default;
};

// Adds a window; false if there are too many (64). remove() returns when no handler is in that answerer any more.
[[nodiscard]] bool add(AddressSpan window, Answerer& answerer) noexcept;
void remove(Answerer& answerer) noexcept;

// Makes us the first to hear of SIGSEGV: through the guard, if it is loaded, else as the process's handler, which passes on
// what is not ours to the handler that it found. Idempotent. 0 or an errno.
[[nodiscard]] int hear_segmentation_faults() noexcept;
// Whether the guard keeps us first.
[[nodiscard]] bool is_guarded() noexcept;

}  // namespace sluice::fault::in_handler
