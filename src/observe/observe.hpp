// Observer: an engine's counters and its event ring.
//
//   const std::uint64_t began = observer.clock();
//   ... copy ...
//   observer.record(EventKind::migration, span, from, to, began);
//   observer.count_moved(from, to, span.size);
//
// Counters are always on: one relaxed add each. Events are off until start(); then clock() and
// record() cost one relaxed load each. Both may be called on any thread, fault-handler threads
// included: they neither allocate nor lock nor touch managed memory. Everything else is for
// ordinary threads. The engine that owns an observer offers it as `observer()`.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "base/thread_annotations.hpp"
#include "base/types.hpp"
#include "observe/event_ring.hpp"
#include "observe/launch_places.hpp"
#include "observe/range_names.hpp"
#include "sluice/counters.hpp"
#include "sluice/location.hpp"
#include "sluice/trace.hpp"

namespace sluice::observe {

enum class Counter : std::uint8_t {
  cpu_faults,
  gpu_faults,
  fatal_faults,
  stuck_accesses,
  launches,
  prefetches,
  evicted_blocks,
  bytes_to_host,
  bytes_to_devices,
  bytes_between_devices,
  bytes_evicted,
  bytes_filled,
  devices_lost,
  queue_stops,
  relocated_blocks,
  bytes_relocated,
  borrowed_blocks,
  undeclared_accesses,
};
constexpr std::size_t counters = static_cast<std::size_t>(Counter::undeclared_accesses) + 1;

// Nanoseconds on the steady clock; never 0.
[[nodiscard]] std::uint64_t now() noexcept;

class Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  void count(Counter counter, std::uint64_t amount = 1) noexcept {
    counts_[static_cast<std::size_t>(counter)].value.fetch_add(amount, std::memory_order_relaxed);
  }
  // Bytes copied, counted by their direction.
  void count_moved(Location from, Location to, std::uint64_t bytes) noexcept {
    count(to.is_host()     ? Counter::bytes_to_host
          : from.is_host() ? Counter::bytes_to_devices
                           : Counter::bytes_between_devices,
          bytes);
  }

  [[nodiscard]] bool recording() const noexcept {
    return active_.load(std::memory_order_relaxed) != nullptr;
  }
  // The time at the start of an operation to be recorded, or 0 while nothing records (and the clock
  // is not read).
  [[nodiscard]] std::uint64_t clock() const noexcept { return recording() ? now() : 0; }
  // Records an operation that began at `began` and ends now; 0 makes it an instant. `thread`: the
  // thread that it concerns; 0: the calling thread.
  void record(EventKind kind, AddressSpan span, Location from, Location to, std::uint64_t began = 0,
              std::int32_t thread = 0, const Details& details = {}) noexcept {
    if (recording()) [[unlikely]]
      push(kind, span, from, to, began, thread, details);
  }
  // A number that an access or a launch shares with what it causes; 0 while nothing records.
  [[nodiscard]] std::uint64_t new_link() noexcept {
    return recording() ? last_link_.fetch_add(1, std::memory_order_relaxed) + 1 : 0;
  }

  // The allocator enters ranges here, the engine kernels and the places of launches.
  [[nodiscard]] RangeNames& range_names() noexcept { return range_names_; }
  [[nodiscard]] LaunchPlaces& launch_places() noexcept { return launch_places_; }

  // Behind Space::counters() and Trace.
  [[nodiscard]] Counters read_counters() const noexcept;
  [[nodiscard]] Result<void> start(std::size_t capacity) SLUICE_EXCLUDES(mutex_);
  void stop() noexcept;
  // With their texts.
  [[nodiscard]] std::vector<Event> events() const SLUICE_EXCLUDES(mutex_);
  // Those since the ticket, which moves on; adds the number of those that were overwritten.
  [[nodiscard]] std::vector<Event> take(std::uint64_t& ticket, std::uint64_t& missed) const
      SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] std::uint64_t overwritten() const noexcept SLUICE_EXCLUDES(mutex_);

 private:
  void push(EventKind kind, AddressSpan span, Location from, Location to, std::uint64_t began,
            std::int32_t thread, const Details& details) noexcept;
  [[nodiscard]] std::vector<Event> with_texts(const std::vector<RecordedEvent>& recorded) const;

  // A cache line each: handler threads and launching threads count different things at the same
  // time.
  struct alignas(64) Count {
    std::atomic<std::uint64_t> value{0};
  };
  std::array<Count, counters> counts_{};

  std::atomic<EventRing*> active_{nullptr};  // ring_ while recording
  mutable RankedMutex mutex_{LockRank::observe, "trace"};
  // Made by the first start() and kept until the end: a recording thread may hold it at any time.
  std::unique_ptr<EventRing> ring_ SLUICE_GUARDED_BY(mutex_);
  RangeNames range_names_;
  LaunchPlaces launch_places_;
  alignas(64) std::atomic<std::uint64_t> last_link_{0};
};

}  // namespace sluice::observe
