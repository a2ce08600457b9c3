// RangeTable: the live ranges of a space, and which of its addresses are free.
//
// Every range starts on a block's border or, in a segment, on a cell's: so an address finds its
// range by one index into an array, or two. Fault-handler threads look up here, without allocating
// or waiting for a thread that does.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/range.hpp"
#include "engine/segments.hpp"

namespace sluice::engine {

class RangeTable {
 public:
  explicit RangeTable(AddressSpan window);

  // Takes free addresses of a part of the window for `size` bytes (whole blocks are taken).
  // out_of_host_memory when no gap is large enough.
  [[nodiscard]] Result<Address> take_addresses(std::size_t size, AddressSpan zone);
  // Gives back addresses from take_addresses(); without effect for any others.
  void return_addresses(Address begin) noexcept;

  // Adds a segment: addresses from take_addresses(), with open views. Without memory for its
  // records it throws bad_alloc.
  void add_segment(Address begin);
  // Takes cells of a segment for `size` bytes, less than a block; nothing if no segment has room.
  [[nodiscard]] std::optional<Address> take_cells(std::size_t size) noexcept;
  // Gives them back. `reusable`: they read as zeros, and nobody has rights to them; if not, they
  // are not taken again. Returns a segment that is no longer in the table, and whose views and
  // addresses are to be given back.
  [[nodiscard]] std::optional<Address> return_cells(AddressSpan cells, bool reusable) noexcept;
  // The same for any segment, when no range is left; nothing if there is none.
  [[nodiscard]] std::optional<Address> remove_segment() noexcept;
  [[nodiscard]] bool is_in_segment(Address address) const noexcept;

  // An address in the view of a segment that is in no range.
  struct StrayAddress {
    enum class State : std::uint8_t {
      none,      // it is in no segment
      changing,  // its cell is being given to a range, or taken from one
      reserved,  // no range gets its page while `beside` is held, which has the rest of the cell
      closed,    // no range gets its cell any more
    };
    State state = State::none;
    Pin beside;
    AddressSpan pages{};  // of reserved and closed: the address's page, and all with the same state
  };
  // Makes sure that no range gets the pages, as far as `state` says.
  [[nodiscard]] StrayAddress close(Address address) noexcept;

  // Takes the range; without memory for its records it throws bad_alloc and the caller keeps the
  // range.
  void insert(std::unique_ptr<Range>&& range);
  // Takes the range out, so that no look-up finds it any more; pins may still be held.
  [[nodiscard]] std::unique_ptr<Range> remove(Address base);
  // The same for any range; returns null if there is none.
  [[nodiscard]] std::unique_ptr<Range> remove_any() noexcept;

  // The range that holds the address, kept alive; an empty pin if there is none.
  [[nodiscard]] Pin find(Address address) const noexcept;
  // The same, if that range is still the one with this number.
  [[nodiscard]] Pin find(Address address, std::uint64_t number) const noexcept;
  // The pages of the range that an address was taken for, also while it is being freed; of size 0
  // if there is none.
  [[nodiscard]] AddressSpan pages_at(Address address) const;
  // The range that holds the whole span. unknown_address otherwise, naming the nearest range.
  [[nodiscard]] Result<Pin> find_whole(AddressSpan span) const;

  // Pins every range, in the order of addresses.
  [[nodiscard]] std::vector<Pin> all() const;
  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] AddressSpan window() const noexcept { return window_; }

 private:
  // Where a cell leads to.
  class Cell {
   public:
    [[nodiscard]] Range* range() const noexcept {
      return value_ > closed ? reinterpret_cast<Range*>(value_) : nullptr;
    }
    [[nodiscard]] bool is_free() const noexcept { return value_ == free; }
    [[nodiscard]] bool is_closed() const noexcept { return value_ == closed; }
    void set_free() noexcept { value_ = free; }
    void set_closed() noexcept { value_ = closed; }
    void set_changing() noexcept { value_ = changing; }
    void set(Range* range) noexcept { value_ = reinterpret_cast<std::uintptr_t>(range); }

   private:
    static constexpr std::uintptr_t changing = 0;
    static constexpr std::uintptr_t free = 1;
    static constexpr std::uintptr_t closed = 2;
    std::uintptr_t value_ = free;
  };
  using BlockCells = std::array<Cell, cells_per_block>;
  using SegmentCells = std::array<BlockCells, segment_size / block_size>;
  // Where the addresses of a block lead to.
  class Slot {
   public:
    [[nodiscard]] Range* range() const noexcept {
      return has_cells() ? nullptr : reinterpret_cast<Range*>(value_);
    }
    [[nodiscard]] BlockCells* cells() const noexcept {
      return has_cells() ? reinterpret_cast<BlockCells*>(value_ & ~cells_tag) : nullptr;
    }
    void set(Range* range) noexcept { value_ = reinterpret_cast<std::uintptr_t>(range); }
    void set(BlockCells* cells) noexcept {
      value_ = reinterpret_cast<std::uintptr_t>(cells) | cells_tag;
    }

   private:
    static constexpr std::uintptr_t cells_tag = 1;
    [[nodiscard]] bool has_cells() const noexcept { return (value_ & cells_tag) != 0; }
    std::uintptr_t value_ = 0;
  };

  [[nodiscard]] std::size_t slot_of(Address address) const noexcept {
    return (address - window_.begin) / block_size;
  }
  // Null: the address is in no segment.
  [[nodiscard]] Cell* cell_at(Address address) const noexcept;
  template <typename Change>
  void change_cells(AddressSpan cells, Change&& change) noexcept;

  // Makes the range's addresses lead to the range, or to nothing.
  void show(const Range& range, Range* as) noexcept SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] bool open_cells(AddressSpan cells) noexcept SLUICE_REQUIRES(table_mutex_)
      SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] bool hide_segment(Address segment) noexcept SLUICE_REQUIRES(table_mutex_)
      SLUICE_EXCLUDES(mutex_);
  void unlink(Address segment) noexcept SLUICE_REQUIRES(mutex_);
  void forget_segment(Address segment) noexcept SLUICE_REQUIRES(table_mutex_);

  const AddressSpan window_;
  mutable RankedSharedMutex mutex_{LockRank::ranges, "ranges"};
  std::unique_ptr<Slot[]> slots_;  // by block number; guarded by mutex_, with the cells

  mutable RankedMutex table_mutex_{LockRank::range_table, "range table"};
  std::map<Address, std::unique_ptr<Range>> ranges_ SLUICE_GUARDED_BY(table_mutex_);
  using Stretches = std::map<std::size_t, std::size_t>;  // first block -> count
  Stretches free_blocks_ SLUICE_GUARDED_BY(table_mutex_);
  Stretches taken_blocks_ SLUICE_GUARDED_BY(table_mutex_);
  // Bytes of each range, until its addresses are given back: the holder of a pin may still use it.
  std::map<Address, std::size_t> sizes_ SLUICE_GUARDED_BY(table_mutex_);
  Segments segments_ SLUICE_GUARDED_BY(table_mutex_);
  std::map<Address, std::unique_ptr<SegmentCells>> cells_ SLUICE_GUARDED_BY(table_mutex_);
  std::size_t bytes_ SLUICE_GUARDED_BY(table_mutex_) = 0;
  std::uint64_t last_number_ SLUICE_GUARDED_BY(table_mutex_) = 0;
};

}  // namespace sluice::engine
