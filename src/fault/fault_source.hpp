// FaultSource: delivers host accesses without sufficient rights to the engine, and gives and takes
// rights.
//
// The application view's page tables hold the rights. A source watches parts of that view; when a
// thread touches a page without sufficient rights, the source asks the Resolver on one of its own
// threads (or on the faulting thread), and the access continues once it is answered.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/rights.hpp"
#include "base/types.hpp"
#include "sluice/options.hpp"

namespace sluice::fault {

struct AccessFault {
  Address address;  // of the page
  Access access;
  std::int32_t thread;      // kernel thread id of the faulting thread; 0: the one that asks
  Address exact = {};       // of the byte, where the source tells it
  std::uintptr_t code = 0;  // the instruction that made it; 0: it was not looked at
  std::uint64_t began = 0;  // Resolver::clock(); 0: not asked

  // Computed on demand: the system call costs more than many an answer.
  [[nodiscard]] std::int32_t thread_id() const noexcept {
    return thread != 0 ? thread : static_cast<std::int32_t>(::gettid());
  }
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Gives the rights that the access needs (through FaultSource::grant), and returns the span in
  // which waiting threads may now be woken. An empty span: the access must wait longer, and the
  // resolver will call wake() itself. Must not allocate, and must not touch managed memory.
  [[nodiscard]] virtual AddressSpan resolve(const AccessFault& fault) noexcept = 0;
  // Before resolve(), the time of a beginning that is to be told; 0: it is not.
  [[nodiscard]] virtual std::uint64_t clock() const noexcept { return 0; }
  // True if the source is to look at the instruction of that access, which takes it some time.
  [[nodiscard]] virtual bool wants_code(std::uint64_t /*began*/) noexcept { return false; }
};

// Spans are page-aligned parts of the application view. All members are thread-safe; none but
// watch/unwatch allocates.
class FaultSource {
 public:
  virtual ~FaultSource() = default;

  [[nodiscard]] virtual Grade grade() const noexcept = 0;
  // The reason why a better grade is not in force; empty for Grade::full.
  [[nodiscard]] virtual const std::string& reason() const noexcept = 0;
  // True if grant(read) really withholds writes. If not, readers must be given exclusive pages.
  [[nodiscard]] virtual bool can_share() const noexcept = 0;

  // Starts and ends watching a freshly mapped part of the view. unwatch wakes every waiting thread.
  [[nodiscard]] virtual Result<void> watch(AddressSpan view) = 0;
  virtual void unwatch(AddressSpan view) noexcept = 0;

  // Gives rights. Bytes that were never written appear as zeros. Wakes no thread. Idempotent; from
  // read to write is allowed.
  [[nodiscard]] virtual Result<void> grant(AddressSpan span, Access access) noexcept = 0;
  // Gives standing rights again that the page tables may have lost: Linux drops entries when it
  // pages out, splits and collapses pages, or is told to. `around` contains `page`; where the
  // page's own entry was gone, the rest is given again too. Takes nothing away, and leaves existing
  // entries as they are. Wakes no thread.
  [[nodiscard]] virtual Result<void> restore(AddressSpan page, AddressSpan around,
                                             Access access) noexcept = 0;
  // Lowers write to read. Only if can_share().
  [[nodiscard]] virtual Result<void> downgrade(AddressSpan span) noexcept = 0;
  // Takes all rights; no store is lost, and the bytes stay in the memory file.
  [[nodiscard]] virtual Result<void> revoke(AddressSpan span) noexcept = 0;
  // Lets threads that wait for an access in the span try again.
  virtual void wake(AddressSpan span) noexcept = 0;

  // Makes every access to the span end in SIGSEGV (the bytes are lost), and takes that back.
  [[nodiscard]] virtual Result<void> deny(AddressSpan span) noexcept = 0;
  [[nodiscard]] virtual Result<void> allow(AddressSpan span) noexcept = 0;
  // Denies every access to the whole window permanently. Takes no mapping, and cannot fail.
  virtual void deny_everything() noexcept = 0;
};

}  // namespace sluice::fault
