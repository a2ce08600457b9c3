// Relocations: when mapped memory may move, which of it, and which request is served first.
// relocation_run.hpp performs the moves.
//
// The rate. Between two stops of a device's queues they run for at least one interval
// (SpaceOptions::stop_interval), and a stop waits for running kernels no longer than one interval.
// So relocations take at most half of a device's time from its queues, apart from the moves
// themselves.
//
// The choice. When memory is short, mapped ranges of that device leave, those chosen longest ago
// first; one chosen within the last `rest_intervals` is not chosen again, so everything that may
// move has its turn before anything moves twice. Leased ranges stay.
//
// The turn. Requesters are served in the order of arrival, one at a time. Each waits at most
// `most_intervals`, for its turn, for the rate and for a range that may leave; then it gets an
// error, and nothing was moved for it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/by_device.hpp"
#include "engine/relocation_run.hpp"
#include "engine/requests.hpp"

namespace sluice::engine {

class Relocations {
 public:
  using Clock = device::Clock;

  // The maximum number of intervals that a requester waits.
  static constexpr int most_intervals = 8;
  // The number of intervals that a range stays where it is after it was chosen.
  static constexpr int rest_intervals = 4;

  Relocations(const RelocationParts& parts, std::chrono::milliseconds interval)
      : parts_(parts), interval_(interval) {}

  // The deadline of a request that arrives now.
  [[nodiscard]] Clock::time_point deadline() const noexcept {
    return Clock::now() + most_intervals * interval_;
  }
  // Moves mapped ranges away from the device until `need` more bytes are free there. The caller
  // holds no claim, and must still take those bytes itself. out_of_device_memory: no range that may
  // leave is large enough, or not in time.
  [[nodiscard]] Result<void> make_room(int device, std::size_t need, Clock::time_point until);
  // Space::relocate(). The caller holds no claim.
  [[nodiscard]] Result<void> relocate(AddressSpan span, Location to, MappingReport& report);

  [[nodiscard]] QueueStops stops(int device) const noexcept;

 private:
  // One requester's turn, in the order of arrival.
  class Turn {
   public:
    Turn(Relocations& all, Clock::time_point until);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    [[nodiscard]] bool came() const noexcept { return came_; }

   private:
    Relocations& all_;
    std::uint64_t ticket_ = 0;
    bool came_ = false;
  };
  // The queues of some devices, stopped until the end of its scope.
  class Stop {
   public:
    explicit Stop(Relocations& all) noexcept : all_(all) {}
    ~Stop();
    Stop(const Stop&) = delete;
    Stop& operator=(const Stop&) = delete;
    // All are asked before any is waited for. Lost devices run nothing, and are left out.
    [[nodiscard]] Result<void> stop(DeviceSet devices);
    // Devices that begin no kernel until the end of this scope, even if they are lost and come back
    // meanwhile.
    [[nodiscard]] DeviceSet stopped() const noexcept { return stopped_; }

   private:
    [[nodiscard]] Result<void> stop_queues(int device) const;

    Relocations& all_;
    DeviceSet stopped_;
    ByDevice<Clock::time_point> began_;
  };
  struct Stops {  // of one device; written by the holder of the turn
    std::atomic<std::uint64_t> count{0};
    std::atomic<std::uint64_t> time{0};  // ns
    std::atomic<Clock::time_point> next{Clock::time_point::min()};
  };

  [[nodiscard]] Result<void> attempt(RelocationRun& run, Clock::time_point until);
  [[nodiscard]] Result<void> await_rate(DeviceSet devices, Clock::time_point until) const;
  [[nodiscard]] std::vector<Pin> candidates(int device, std::vector<plan::Candidate>& order) const;
  [[nodiscard]] Result<std::vector<Pin>> choose(int device, std::size_t need,
                                                Clock::time_point until);

  const RelocationParts parts_;
  const std::chrono::milliseconds interval_;
  ByDevice<Stops> stops_;
  RankedMutex mutex_{LockRank::relocations, "relocations"};
  std::deque<std::uint64_t> waiting_ SLUICE_GUARDED_BY(mutex_);  // the first one has the turn
  std::uint64_t last_ticket_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint32_t> bell_{0};
};

}  // namespace sluice::engine
