// ProtectedView: gives and takes rights in the application view by page protection (mprotect).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "base/rights.hpp"
#include "base/types.hpp"
#include "os/host_memory.hpp"

namespace sluice::fault {

// The part of SignalSource that is independent of signals. Members mean the same as FaultSource's
// members of the same names, and none allocates. They may be called from a handler, since a thread
// that holds one of their locks never touches managed memory.
class ProtectedView {
 public:
  // `mappings`: how many more the process may have. `memory` outlives the view. out_of_host_memory.
  [[nodiscard]] static Result<std::unique_ptr<ProtectedView>> create(os::HostMemory& memory,
                                                                     std::size_t mappings);
  ProtectedView(const ProtectedView&) = delete;
  ProtectedView& operator=(const ProtectedView&) = delete;
  ~ProtectedView();

  [[nodiscard]] Result<void> watch(AddressSpan view) noexcept;
  void unwatch(AddressSpan view) noexcept;
  [[nodiscard]] Result<void> grant(AddressSpan span, Access access) noexcept;
  [[nodiscard]] Result<void> downgrade(AddressSpan span) noexcept;
  [[nodiscard]] Result<void> revoke(AddressSpan span) noexcept;
  [[nodiscard]] Result<void> deny(AddressSpan span) noexcept;
  [[nodiscard]] Result<void> allow(AddressSpan span) noexcept;

  // A page's state for a thread that faulted there, or is about to touch it.
  enum class StandResult : std::uint8_t {
    foreign,  // not watched, or denied: the access is invalid
    lacking,  // it needs a right that has not been given
    given,    // it has the right, and its protection says so now
  };
  [[nodiscard]] StandResult stand(Address page, Access access, bool faulted) noexcept;

  // Borders between pages of unlike protection inside blocks; each may be one mapping more.
  [[nodiscard]] std::size_t borders() const noexcept {
    return borders_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t border_limit() const noexcept { return border_limit_; }

 private:
  enum class Due : std::uint8_t { unwatched, none, read, write, denied };
  struct Page {
    Due due : 4;           // the page's rights
    Rights installed : 4;  // its protection: the same rights, or less
  };
  static_assert(sizeof(Page) == 1);
  struct Part;
  struct Lock {
    RankedMutex mutex{LockRank::host_rights, "host rights"};
  };

  ProtectedView(os::HostMemory& memory, std::size_t border_limit) noexcept;
  template <typename Change>
  [[nodiscard]] Result<void> change(AddressSpan span, const char* what, Change&& due) noexcept;
  template <typename Change>
  [[nodiscard]] int change_part(const Part& part, Change& due) noexcept;
  [[nodiscard]] int install(const Part& part) noexcept;
  [[nodiscard]] int protect(const Part& part, Rights rights) noexcept;
  [[nodiscard]] std::size_t count_borders(const Part& part) const noexcept;
  [[nodiscard]] std::optional<StandResult> try_to_stand(Address page, Access access,
                                                        bool faulted) noexcept;
  bool take_back(std::size_t block) noexcept;
  bool take_back_one() noexcept;
  void keep_within_limit() noexcept;
  [[nodiscard]] bool is_mapped(AddressSpan span) const noexcept;
  [[nodiscard]] AddressSpan span_of(const Part& part) const noexcept;
  [[nodiscard]] RankedMutex& mutex_of(std::size_t block) noexcept {
    return locks_[block % locks_.size()].mutex;
  }
  [[nodiscard]] Page* pages_of(std::size_t block) const noexcept {
    return pages_ + block * pages_per_block;
  }

  os::HostMemory& memory_;
  const std::size_t border_limit_;
  os::ProcessMark process_;
  Page* pages_ = nullptr;  // one for each page of the window, under its block's lock
  std::atomic<std::uint16_t>* borders_of_ = nullptr;  // by block
  std::atomic<std::size_t> borders_{0};
  std::atomic<std::size_t> blocks_used_{0};  // no block from here on was ever watched
  std::atomic<std::size_t> hand_{0};         // where the next block is looked for to be taken back
  std::array<Lock, 64> locks_;               // a block's is found by its number
};

}  // namespace sluice::fault
