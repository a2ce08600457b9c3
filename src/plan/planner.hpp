// The planner: makes a plan from a request and the directory. Pure, total, without allocation.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/device_set.hpp"
#include "plan/plan.hpp"
#include "sluice/advice.hpp"

namespace sluice::plan {

// The machine's abilities, as far as plans depend on them.
struct Abilities {
  bool host_can_share = true;  // the host's rights to a page can be downgraded to reading
  // They take page faults, so their rights are taken away in their page tables.
  DeviceSet recoverable_fault_devices{};
  std::uint32_t granule = 1;  // pages: their rights come in so many at once
  // They have one page table together, so a block is mapped from the memory of one of them at a
  // time.
  DeviceSet sharing_devices{};
};

// The means by which a location gets at pages.
enum class Means : std::uint8_t {
  own,          // a copy in its own memory: migration or replication
  host_mapped,  // devices only: it maps host memory, and the bytes stay there
  // devices only: it takes over another device's memory of the block, and the bytes stay there
  borrow,
};

struct Request {
  Location to = Location::host();
  PageMask pages;
  Access access = Access::read;
  Means means = Means::own;
  // Means::host_mapped: pages that are only read although `access` is to write. The host keeps its
  // right to read them.
  PageMask only_read{};  // NOLINT(readability-redundant-member-init)
};

// Makes `request.to` hold the pages with the rights that the access needs. Empty if that is so
// already. A read leaves other copies valid (they lose the right to write); a write makes `to` the
// only holder. Lost pages among the request's are left out: the caller asks the directory and fails
// the access. With Means::host_mapped the whole block is brought to the host and mapped on the
// device, whatever `pages` says. The host loses its rights to `pages` if they are to be written,
// and the right to write them if they are to be read. With Means::borrow the whole block is taken
// over for writing from lender(), which must not be -1.
[[nodiscard]] Plan acquire(const directory::BlockDirectory& block, const Request& request,
                           const Abilities& abilities) noexcept;

// Empties a device of the block: it is unmapped, bytes that only it has go to `to`, which gets no
// rights, and its copies are dropped. A device on which the block is host-mapped is just
// unmapped.
[[nodiscard]] Plan evict(const directory::BlockDirectory& block, int device, Location to,
                         const Abilities& abilities) noexcept;

// Takes away all rights and copies, and ends the loss of lost pages: the pages are untouched
// afterwards. Devices on which the block is host-mapped are unmapped.
[[nodiscard]] Plan discard(const directory::BlockDirectory& block, const PageMask& pages,
                           const Abilities& abilities) noexcept;

// True if a launch on `device` may touch the whole block at once, without a plan.
[[nodiscard]] bool ready(const directory::BlockDirectory& block, int device,
                         Access access) noexcept;
// The same for some pages.
[[nodiscard]] bool ready(const directory::BlockDirectory& block, int device, const PageMask& pages,
                         Access access) noexcept;

// --- policy --------------------------------------------------------------------------------------

// Means for a launch on `device`: host_mapped if the block is best left in host memory (preferred
// there, or there already and the device is named by accessed-by), else own.
[[nodiscard]] Means choose_means(const directory::BlockDirectory& block, int device,
                                 const Attributes& advice, bool maps_host_memory) noexcept;

// The other device that has every page of the block, and could lend its memory to `device`; -1 if
// there is none.
[[nodiscard]] int lender(const directory::BlockDirectory& block, int device) noexcept;
// borrow_after: times that a block went from device to device, by launches that wrote it all,
// before the next borrows the memory. settle_after: launches of the borrower in a row after which
// the bytes move to its own memory after all.
constexpr std::uint32_t borrow_after = 2;
constexpr std::uint32_t settle_after = 4;

// The pages that one host access brings over. Sequential access grows the window from a page to a
// block and then looks ahead.
struct Streak {
  std::uint32_t next_page = 0;  // of the range: where a sequential reader would fault next
  std::uint32_t window = 0;     // pages the last access asked for, with those ahead; 0: no history
};
struct Window {
  PageSpan span;            // pages of the block, containing the page asked for
  std::uint32_t ahead = 0;  // blocks to bring over after this one
};
constexpr std::uint32_t smallest_window = 1;  // page
constexpr std::uint32_t reading_window =
    16;  // pages, for sequential readers or several pages read in one place: 64 KiB
constexpr std::uint32_t growth_in_block = 4;  // times; beyond a block the window doubles
// Where the memory is there and lacks rights alone: the third access in order gets the block.
constexpr std::uint32_t growth_in_memory = 32;
constexpr std::uint32_t blocks_ahead = 32;
// Accesses anywhere in one block after which the next brings all of it: they cost about as
// much as moving the block at once.
constexpr std::uint32_t dense_after = 4;

// Stores that each followed a load of the same page, after which a load takes the right to store
// with it; and the loads after which that is tried again.
constexpr std::uint32_t stores_before_taking = 2;
constexpr std::uint32_t loads_until_doubt = 16;

// Predicts if the next host reader of a block in the range will want all of it, from earlier
// blocks: how much of a block did the host ask for while it had it? The prediction takes several
// dense blocks (more than half) in a row, and fewer sparse ones end it.
class Density {
 public:
  // Call from any thread; of two concurrent calls one may be lost.
  void note(bool most_of_it) noexcept {
    const std::uint32_t score = score_.load(std::memory_order_relaxed);
    score_.store(most_of_it ? std::min(score + 1, most) : score - std::min(score, loss),
                 std::memory_order_relaxed);
  }
  // Call at the first access to a block. The answer is "no" at regular intervals, so that there are
  // always new samples.
  [[nodiscard]] bool expects_all() noexcept {
    return score_.load(std::memory_order_relaxed) >= enough &&
           asked_.fetch_add(1, std::memory_order_relaxed) % no_in != 0;
  }

 private:
  static constexpr std::uint32_t most = 16;
  static constexpr std::uint32_t enough = 8;
  static constexpr std::uint32_t loss = 2;
  static constexpr std::uint32_t no_in = 8;
  std::atomic<std::uint32_t> score_{0};
  std::atomic<std::uint32_t> asked_{0};
};

struct WindowRule {
  std::uint32_t least = smallest_window;   // pages of a window; a block on huge pages
  std::uint32_t growth = growth_in_block;  // times
};
// `page`: within the block; `block`: which block of the range; `extent`: pages of the block.
// Updates the streak.
[[nodiscard]] Window choose_window(Streak& streak, std::uint32_t block, std::uint32_t page,
                                   std::uint32_t extent, const WindowRule& rule = {}) noexcept;

// --- eviction ------------------------------------------------------------------------------------

// eviction_order.hpp chooses the blocks that a launch evicts.

struct Candidate {
  std::size_t index = 0;     // the caller's
  std::size_t size = 0;      // bytes that leave the device
  std::uint64_t chosen = 0;  // when it last was; 0: never
};
// Chooses the mapped ranges to relocate: those chosen longest ago first, until `need` bytes are
// free. A range chosen at `rested` or later is not chosen again yet, so everything that may move
// has its turn before anything moves twice. Empty if the rest are too few. Reorders `candidates`.
[[nodiscard]] std::span<Candidate> choose_relocated(std::span<Candidate> candidates,
                                                    std::size_t need,
                                                    std::uint64_t rested) noexcept;

}  // namespace sluice::plan
