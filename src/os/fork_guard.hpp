// ForkGuard: replaces managed memory in a forked child, and lets code detect that it runs in one.
//
// Managed memory is not inherited: the parent's page tables, handlers and devices do not come
// along, and sharing the file would let the child's stores reach the parent. In the child the whole
// window is an inaccessible mapping named "sluice: not inherited by fork", and, if SIGSEGV has no
// handler there, the first touch writes one line that says so before it ends the child. system(),
// posix_spawn() and vfork() are not affected. A child made by a raw clone or by _Fork() runs no
// handlers: it finds unmapped addresses, without the line.
#pragma once

#include <cstdint>
#include <utility>

#include "base/result.hpp"
#include "base/types.hpp"

namespace sluice::os {

// Remembers the process that made it. Works for children of fork, clone and _Fork alike, for a few
// nanoseconds.
class ProcessMark {
 public:
  ProcessMark() noexcept;
  // True if this is a copy in a forked child.
  [[nodiscard]] bool inherited() const noexcept;

 private:
  std::uint64_t generation_;
};

// True if this process was forked from one that had used this library.
[[nodiscard]] bool in_forked_child() noexcept;

// While one exists, a fork of this process waits, so that a descriptor which is being made is noted
// for the child to close (owned_fd.hpp) before there is one. A fork waits for a second at most, and
// not at all for its own thread. Thread-safe; for microseconds, as a fork holds up the program.
class ForkPause {
 public:
  ForkPause() noexcept;
  ~ForkPause();
  ForkPause(const ForkPause&) = delete;
  ForkPause& operator=(const ForkPause&) = delete;
};

// Protects forked children from one window, for as long as it lives.
class ForkGuard {
 public:
  ForkGuard() noexcept = default;
  // out_of_host_memory when too many windows (64) are guarded or libc cannot take the handler.
  [[nodiscard]] static Result<ForkGuard> over(AddressSpan window);

  ForkGuard(ForkGuard&& other) noexcept
      : slot_(std::exchange(other.slot_, -1)), mark_(other.mark_) {}
  ForkGuard& operator=(ForkGuard&& other) noexcept {
    std::swap(slot_, other.slot_);
    std::swap(mark_, other.mark_);
    return *this;
  }
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
  ~ForkGuard();

  [[nodiscard]] bool inherited() const noexcept { return mark_.inherited(); }

 private:
  explicit ForkGuard(int slot) noexcept : slot_(slot) {}

  int slot_ = -1;
  ProcessMark mark_;
};

}  // namespace sluice::os
