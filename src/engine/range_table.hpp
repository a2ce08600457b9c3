// RangeTable: the live ranges of a space, and which of its addresses are free.
//
// Every range starts on a block's border, so an address finds its range by one index into an array.
// Fault-handler threads look up here, without allocating or waiting for a thread that does.
#pragma once

#include <atomic>
#include <map>
#include <memory>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/range.hpp"

namespace sluice::engine {

class RangeTable {
 public:
  explicit RangeTable(AddressSpan window);

  // Takes free addresses of a part of the window for `size` bytes (whole blocks are taken).
  // out_of_host_memory when no gap is large enough.
  [[nodiscard]] Result<Address> take_addresses(std::size_t size, AddressSpan zone);
  // Gives back addresses from take_addresses(); without effect for any others.
  void return_addresses(Address begin) noexcept;

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
  [[nodiscard]] std::size_t slot_of(Address address) const noexcept {
    return (address - window_.begin) / block_size;
  }

  // Makes the range's addresses lead to the range, or to nothing.
  void show(const Range& range, Range* as) noexcept SLUICE_EXCLUDES(mutex_);

  const AddressSpan window_;
  mutable RankedSharedMutex mutex_{LockRank::ranges, "ranges"};
  std::unique_ptr<Range*[]> slots_;  // by block number; guarded by mutex_

  mutable RankedMutex table_mutex_{LockRank::range_table, "range table"};
  std::map<Address, std::unique_ptr<Range>> ranges_ SLUICE_GUARDED_BY(table_mutex_);
  using Stretches = std::map<std::size_t, std::size_t>;  // first block -> count
  Stretches free_blocks_ SLUICE_GUARDED_BY(table_mutex_);
  Stretches taken_blocks_ SLUICE_GUARDED_BY(table_mutex_);
  // Bytes of each range, until its addresses are given back: the holder of a pin may still use it.
  std::map<Address, std::size_t> sizes_ SLUICE_GUARDED_BY(table_mutex_);
  std::size_t bytes_ SLUICE_GUARDED_BY(table_mutex_) = 0;
  std::uint64_t last_number_ SLUICE_GUARDED_BY(table_mutex_) = 0;
};

}  // namespace sluice::engine
