// Userfaultfd: a thin, typed wrapper of Linux's userfaultfd for views of memory files.
//
// Source: Documentation/admin-guide/mm/userfaultfd.rst and ioctl_userfaultfd(2). No EVENT_* feature
// is ever used: with EVENT_FORK, fork waits for the handler, and a handler in malloc then waits for
// fork.
//
// Calls on a fault's path return errnos and allocate nothing.
#pragma once

#include <linux/userfaultfd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/owned_fd.hpp"
#include "sluice/options.hpp"

namespace sluice::os {

class Userfaultfd {
 public:
  // The best grade that the machine offers and that is not above `best`: /dev/userfaultfd, then the
  // full system call, then user mode only. `unsupported` when there is none, with the reason and
  // the remedy.
  [[nodiscard]] static Result<Userfaultfd> open(Grade best);

  [[nodiscard]] Grade grade() const noexcept { return grade_; }                 // full or user
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }  // why not full
  [[nodiscard]] std::uint64_t features() const noexcept { return features_; }
  // True if pages can be mapped write-protected at once (Linux 6.4).
  [[nodiscard]] bool can_share() const noexcept { return can_share_; }
  [[nodiscard]] int file() const noexcept { return file_.get(); }  // for poll; non-blocking
  // True if the program has left the descriptor alone.
  [[nodiscard]] bool is_intact() const noexcept { return file_.is_intact(); }

  // Registers and unregisters a view. Unregistering wakes every thread that waits in the span.
  [[nodiscard]] Result<void> add(AddressSpan view) const;
  void remove(AddressSpan view) const noexcept;

  // The progress of a call, and the errno that stopped it (0: all done). EAGAIN: call again for the
  // rest.
  struct Progress {
    std::size_t done = 0;
    int error = 0;
  };
  // Maps existing pages of the file; wakes no thread. EEXIST: that page is mapped already. EFAULT:
  // it does not exist. ENOENT: the span is not inside one registered mapping.
  [[nodiscard]] Progress map_existing(AddressSpan span, bool write_protected) const noexcept;
  // Sets or clears write protection of the mapped pages; wakes no thread. 0 or an errno.
  [[nodiscard]] int write_protect(AddressSpan span, bool protect) const noexcept;
  void wake(AddressSpan span) const noexcept;
  // The number of pending messages that were read, and the errno if Linux refused to let them be
  // read (0: it did not).
  struct Read {
    std::size_t count = 0;
    int error = 0;
  };
  [[nodiscard]] Read read(std::span<uffd_msg> messages) const noexcept;

 private:
  Userfaultfd() noexcept = default;
  [[nodiscard]] Result<void> agree_on_features();
  [[nodiscard]] bool try_sharing() const;

  OwnedFd file_;
  Grade grade_ = Grade::none;
  std::string reason_;
  std::uint64_t features_ = 0;
  bool can_share_ = false;
};

}  // namespace sluice::os
