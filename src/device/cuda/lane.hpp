// Lane: one timeline of a GPU: a stream of the driver, a word in host memory that the stream
// writes, and events.
//
// A fence is a value that the timeline reaches. Commands of a lane complete in order. Measured on
// an H200: having the stream write the value costs 0.8 us, and querying it is a load; recording an
// event costs 0.2 us, and querying it 1.3 us. Some thread waits for every copy, so its value is
// written. Most launches are never queried: they are marked by an event, and now and then by a
// value. Other streams wait for a fence by its event, which costs 0.03 us.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "device/cuda/driver.hpp"
#include "device/external_work.hpp"

namespace sluice::device::cuda {

class Lane {
 public:
  Lane() = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // `word` is in memory that the GPU reaches at the same address. A lane without a stream of its
  // own serves the program's.
  void use(std::atomic<std::uint64_t>* word) noexcept { word_ = word; }
  [[nodiscard]] Result<void> open(const Driver& driver, int priority);
  void close(const Driver& driver) noexcept;
  [[nodiscard]] CUstream stream() const noexcept { return stream_; }

  // The value that completes what was put into the stream so far.
  [[nodiscard]] Result<std::uint64_t> mark(const Driver& driver) SLUICE_REQUIRES(mutex);
  // The same for a fence that is rarely queried: is_complete() may lag unless look() is called.
  [[nodiscard]] Result<std::uint64_t> mark_by_event(const Driver& driver) SLUICE_REQUIRES(mutex);
  // Asks the driver for a value of mark_by_event(): success, error_not_ready, or what the GPU
  // failed with.
  [[nodiscard]] CUresult look(const Driver& driver, std::uint64_t value) SLUICE_REQUIRES(mutex);
  // A thread is going to wait for the value: if nothing followed it so far, no event query will be
  // needed.
  [[nodiscard]] Result<void> announce(const Driver& driver, std::uint64_t value)
      SLUICE_REQUIRES(mutex);
  [[nodiscard]] bool is_announced(std::uint64_t value) const noexcept {
    return announced_.load(std::memory_order_acquire) == value;
  }

  // A value that is pending until it is kept, by the work in a stream at that time, or abandoned.
  // To keep it allocates nothing. `holder`: ends the section if its value is asked for; null: the
  // program does so in its own time.
  [[nodiscard]] Result<std::uint64_t> promise(const Driver& driver, SectionHolder* holder)
      SLUICE_REQUIRES(mutex);
  [[nodiscard]] Result<void> keep(const Driver& driver, CUstream stream, std::uint64_t value)
      SLUICE_REQUIRES(mutex);
  void abandon(std::uint64_t value) noexcept SLUICE_REQUIRES(mutex);

  // Makes a stream wait for a value of mark() or a kept promise; perhaps for later ones of this
  // lane, too.
  [[nodiscard]] Result<void> hold_up(const Driver& driver, CUstream stream, std::uint64_t value)
      SLUICE_REQUIRES(mutex);

  [[nodiscard]] bool is_known(std::uint64_t value) const noexcept {
    return value != 0 && value <= last_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool is_complete(std::uint64_t value) const noexcept {
    return word_->load(std::memory_order_acquire) >= value ||
           seen_.load(std::memory_order_acquire) >= value;
  }
  [[nodiscard]] bool is_idle() const noexcept { return is_complete(last_); }
  // The value to wait for before more is put into the stream: a driver holds up callers that run
  // further ahead. 0: none.
  [[nodiscard]] std::uint64_t makes_room() const noexcept {
    const std::uint64_t last = last_.load(std::memory_order_acquire);
    return last > most_pending ? last - most_pending : 0;
  }
  // A thread asks for the lane's latest value.
  void ask() const noexcept {
    if (!is_open()) return;
    if (SectionHolder* const holder = holder_.load(std::memory_order_acquire)) holder->end_soon();
  }
  // A promise that was neither kept nor abandoned.
  [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }

  RankedMutex mutex{LockRank::queue, "stream"};

 private:
  // The latest values have an event each, more while they are pending; an older one is waited for
  // by a later event.
  static constexpr std::size_t first_events = 32;
  static constexpr std::size_t most_events = 1024;
  static constexpr std::uint64_t most_pending = 512;
  // Notices launches that are complete though no thread waits for them, to reuse their events.
  static constexpr std::uint64_t written_every = 16;

  struct Event {
    CUevent event = nullptr;  // made when first needed
    std::uint64_t value = 0;  // the value that it last recorded
  };
  [[nodiscard]] Event& event_of(std::uint64_t value) SLUICE_REQUIRES(mutex);
  void make_room_for(std::uint64_t value) SLUICE_REQUIRES(mutex);
  [[nodiscard]] Result<void> write(const Driver& driver, CUstream stream, std::uint64_t value);
  // Makes the event that will record the value.
  [[nodiscard]] Result<void> prepare_event(const Driver& driver, std::uint64_t value)
      SLUICE_REQUIRES(mutex);
  [[nodiscard]] Result<void> record(const Driver& driver, CUstream stream, std::uint64_t value)
      SLUICE_REQUIRES(mutex);

  CUstream stream_ = nullptr;
  std::atomic<std::uint64_t>* word_ = nullptr;
  std::atomic<std::uint64_t> last_{0};
  std::atomic<std::uint64_t> seen_{0};       // complete, as the driver said
  std::atomic<std::uint64_t> announced_{0};  // the latest that is written for waiters
  std::atomic<bool> open_{false};
  std::atomic<SectionHolder*> holder_{nullptr};         // of the latest promise
  std::vector<Event> events_ SLUICE_GUARDED_BY(mutex);  // a value's place is its remainder
};

}  // namespace sluice::device::cuda
