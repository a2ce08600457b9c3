// StalledAccess: infers from a queue's faults which pages one access of a kernel needs together.
// Pure.
//
// A device with recoverable faults asks for one page at a time. But one access may need several at
// once: it spans two pages, or moves bytes from one place to another. Where memory is short, or
// others want the same pages, the first page may be gone before the second has come, and then the
// two faults alternate for ever. So the engine keeps this for each queue: when a queue comes back
// for a page that it was given a moment ago, all pages that it asked for since are brought
// together, and kept together until the access has retired.
//
// Progress: while an access has not retired, each fault adds a page to its set, or finds the set
// complete. The pages that one instruction can touch are few, so after finitely many faults the set
// holds all of them; they are there together, they cannot be taken away, and the instruction
// retires. Other queues and the host may want the same pages: they wait for one instruction, and
// not for a kernel. tests/model/device_access.m tries every order.
//
// Cost: a look at the last few faults. What it does not do: tell an access that must be helped from
// a kernel that polls a page which the host writes; that one gets the page a little longer.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "sluice/access.hpp"

namespace sluice::plan {

struct PageDemand {
  Address page;
  Access access = Access::read;

  friend bool operator==(const PageDemand&, const PageDemand&) noexcept = default;
};

// Not thread-safe. Allocates.
class StalledAccess {
 public:
  // An instruction touches a few pages: one that moves bytes, and crosses a page boundary at both
  // ends, touches four.
  static constexpr std::size_t remembered = 8;
  // A larger set cannot be one instruction: the end of an earlier one was missed.
  static constexpr std::size_t most_together = 64;

  // The queue asks for a page. Returns true if the pages of together() must be there at once, until
  // the access has retired.
  [[nodiscard]] bool ask(const PageDemand& demand);
  // The pages do not all fit at once. Those that earlier accesses asked for may be among them, so
  // only this one is kept, and others that the access asks for are added as they come. Returns
  // false if it was so already: the access does need all of them.
  [[nodiscard]] bool narrow_to(const PageDemand& demand);
  // Each page once, with the strongest access asked for.
  [[nodiscard]] std::span<const PageDemand> together() const noexcept { return together_; }
  void retired() noexcept;

 private:
  void add(const PageDemand& demand);

  std::vector<PageDemand> recent_;    // the oldest first
  std::vector<PageDemand> together_;  // empty: nothing came back
  bool is_exact_ = false;             // together_ holds pages of one access only
};

}  // namespace sluice::plan
