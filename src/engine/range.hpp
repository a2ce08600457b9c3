// Range: one allocation, as the engine keeps it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/interval_map.hpp"
#include "base/ranked_mutex.hpp"
#include "base/types.hpp"
#include "engine/block.hpp"
#include "engine/host_readers.hpp"
#include "engine/range_traffic.hpp"
#include "engine/readiness.hpp"
#include "sluice/advice.hpp"
#include "sluice/kind.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// Bytes of a range's name: messages are of fixed size.
inline constexpr std::size_t most_of_a_name = 63;

// " 'temperature'", after the word "range" of a message; empty without a name.
[[nodiscard]] std::string label_of(const std::string& name);

class Range {
 public:
  Range(AddressSpan pages, std::size_t size, Kind kind, int device, HostPages host_pages,
        std::string name = {});

  const AddressSpan pages;  // whole pages
  const std::size_t size;   // bytes asked for
  const Kind kind;
  const int device;  // Kind::device: its owner
  const HostPages host_pages;
  HostPages wanted_pages = HostPages::automatic;  // asked for; set before it enters the table
  const std::string name;                         // given by the program; empty: none
  std::uint64_t number = 0;  // of all ranges that the table ever had; set when it enters
  std::deque<Block> blocks;  // fixed after construction

  RangeReadiness readiness;  // the tracker's
  HostReaders readers;
  RangeTraffic traffic;
  Stamps stamps;  // of launches that named it as a whole

  [[nodiscard]] std::size_t index_of(Address address) const noexcept {
    return (address - pages.begin) / block_size;
  }
  [[nodiscard]] Block& block_of(Address address) noexcept { return blocks[index_of(address)]; }

  // label_of() its name.
  [[nodiscard]] const char* label() const noexcept { return label_.c_str(); }

  [[nodiscard]] Attributes advice_at(Address address) SLUICE_EXCLUDES(advice_mutex_);
  // Calls `change(Attributes&)` for the advice on each part of the span, in whole pages.
  template <typename Changer>
  void change_advice(AddressSpan span, Changer&& change) SLUICE_EXCLUDES(advice_mutex_);
  // Rights or bytes of a block are taken from the host: its next host access starts a new history.
  void forget_host_accesses(Block& block) noexcept SLUICE_REQUIRES(block.claim);

  // Somebody had rights to a page of it, or bytes in it.
  void note_used() noexcept { used_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool is_used() const noexcept { return used_.load(std::memory_order_relaxed); }

  // A thread stored to a little of a block and went elsewhere: blocks get small pages from now on.
  void note_sparse() noexcept { sparse_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool is_sparse() const noexcept { return sparse_.load(std::memory_order_relaxed); }

  // True for the caller that is to have devices prepare for a range that the host fills.
  [[nodiscard]] bool ask_to_prepare() noexcept { return !asked_to_prepare_.exchange(true); }

  // Holders of a pin keep the range alive. free() waits until the last is released.
  void pin() noexcept { pins_.fetch_add(1, std::memory_order_acq_rel); }
  void unpin() noexcept { pins_.fetch_sub(1, std::memory_order_acq_rel); }
  [[nodiscard]] bool is_pinned() const noexcept { return pins_ != 0; }

  // Mapping operations under way on any of it. free() refuses meanwhile.
  void begin_mapping_operation() noexcept { ++mapping_operations_; }
  void end_mapping_operation() noexcept { --mapping_operations_; }
  [[nodiscard]] bool has_mapping_operations() const noexcept { return mapping_operations_ != 0; }

  // The time of its last choice or request to move away from its device: observe::now(); 0: never.
  void note_relocation(std::uint64_t now) noexcept { relocated_ = now; }
  [[nodiscard]] std::uint64_t relocated() const noexcept { return relocated_; }

 private:
  const std::string label_;  // made once: some messages are written where nothing may allocate
  std::atomic<std::uint32_t> pins_{0};
  std::atomic<std::uint32_t> mapping_operations_{0};
  std::atomic<std::uint64_t> relocated_{0};
  std::atomic<bool> used_{false};
  std::atomic<bool> sparse_{false};
  std::atomic<bool> asked_to_prepare_{false};
  RankedMutex advice_mutex_{LockRank::advice, "advice"};
  IntervalMap<Attributes> advice_ SLUICE_GUARDED_BY(advice_mutex_);
};

template <typename Changer>
void Range::change_advice(AddressSpan span, Changer&& change) {
  const auto first = static_cast<std::uint32_t>((span.begin - pages.begin) / page_size);
  const auto end =
      static_cast<std::uint32_t>((span.end() - pages.begin + page_size - 1) / page_size);
  std::vector<std::pair<PageSpan, Attributes>> changed;
  const MutexLock lock(advice_mutex_);
  advice_.for_each({first, end - first}, [&](PageSpan run, Attributes attributes) {
    change(attributes);
    changed.emplace_back(run, attributes);
  });
  for (const auto& [run, attributes] : changed) advice_.assign(run, attributes);
}

// Keeps a range alive.
class Pin {
 public:
  Pin() noexcept = default;
  explicit Pin(Range& range) noexcept : range_(&range) { range.pin(); }
  Pin(Pin&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}
  Pin& operator=(Pin&& other) noexcept {
    release();
    range_ = std::exchange(other.range_, nullptr);
    return *this;
  }
  ~Pin() { release(); }

  void release() noexcept {
    if (range_ != nullptr) std::exchange(range_, nullptr)->unpin();
  }
  [[nodiscard]] Range* get() const noexcept { return range_; }
  Range* operator->() const noexcept { return range_; }
  Range& operator*() const noexcept { return *range_; }
  explicit operator bool() const noexcept { return range_ != nullptr; }

 private:
  Range* range_ = nullptr;
};

}  // namespace sluice::engine
