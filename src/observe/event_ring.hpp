// EventRing: a fixed number of events, written by any number of threads at once without a lock; the
// newest are kept.
//
// Each slot carries a stamp: 2 * ticket + 1 while the writer that drew `ticket` fills it, 2 *
// ticket + 2 when it is full. A writer takes a slot by swapping the stamp, so two writers never
// fill one slot together: if the ring went round while the first was still writing, the second
// leaves its event out and counts it. A reader copies a slot and keeps the copy if the stamp was
// full before and is unchanged after.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/trace.hpp"

namespace sluice::observe {

// Some events tell more than their bytes.
struct Details {
  Cause cause = Cause::none;
  bool writes = false;
  std::uint32_t touched = 0;  // CpuFault: the byte that was touched, in the event's; below 2^23
  std::uint64_t link = 0;     // below 2^40
  std::uint64_t code = 0;     // CpuFault: the instruction
  std::uint32_t place = 0;    // Launch, Kernel: its number in LaunchPlaces

  friend bool operator==(const Details&, const Details&) noexcept = default;
};

// An Event as threads record it. Texts take memory, so they are added for readers.
struct RecordedEvent {
  EventKind kind = EventKind::cpu_fault;
  Location from = Location::host();
  Location to = Location::host();
  std::int32_t thread = 0;
  std::uint64_t time = 0;
  std::uint64_t duration = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  Details details = {};

  friend bool operator==(const RecordedEvent&, const RecordedEvent&) noexcept = default;
};

class EventRing {
 public:
  // `capacity`: a power of two. Throws std::bad_alloc.
  explicit EventRing(std::size_t capacity);

  void push(const RecordedEvent& event) noexcept;
  // Forgets all events pushed before the call.
  void clear() noexcept;

  // The complete events that are still there, oldest first, without texts.
  [[nodiscard]] std::vector<RecordedEvent> events() const;
  // Those since the ticket, and the ticket of the next. One that is still being written ends them,
  // unless it is older than half of the ring.
  [[nodiscard]] std::vector<RecordedEvent> take(std::uint64_t& ticket, std::uint64_t& missed) const;
  // Events since clear() that are not there any more, or never got in.
  [[nodiscard]] std::uint64_t overwritten() const noexcept;

 private:
  static constexpr std::size_t words = 7;
  using Packed = std::array<std::uint64_t, words>;
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> stamp{0};
    std::array<std::atomic<std::uint64_t>, words> content{};
  };

  [[nodiscard]] static Packed pack(const RecordedEvent& event) noexcept;
  [[nodiscard]] static RecordedEvent unpack(const Packed& packed) noexcept;
  enum class CopyResult : std::uint8_t { whole, not_yet, gone };
  [[nodiscard]] CopyResult copy(std::uint64_t ticket, RecordedEvent& event) const noexcept;

  std::size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<std::uint64_t> next_{0};  // the ticket of the next event
  std::atomic<std::uint64_t> first_{0};             // the first ticket since clear()
  std::atomic<std::uint64_t> left_out_{0};  // since clear(), because a slower writer held the slot
};

}  // namespace sluice::observe
