// Mappings: the mapping operations under way, and the threads that run them. mapping_run.hpp runs
// one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/allocator.hpp"
#include "engine/entry_checks.hpp"
#include "engine/mapping_run.hpp"
#include "engine/mapping_task.hpp"
#include "engine/range_table.hpp"
#include "os/threads.hpp"

namespace sluice::engine {

// The parts of an engine that mapping operations work with.
struct MappingsParts {
  const EntryChecks& checks;
  const RangeTable& ranges;
  Allocator& allocator;
  MappingRunParts run;
};

class Mappings {
 public:
  using Task = std::shared_ptr<MappingTask>;

  explicit Mappings(const MappingsParts& parts) : parts_(parts) {}
  ~Mappings() {
    if (!forgotten_) stop();
  }
  // Operations under way are completed first.
  void stop() noexcept SLUICE_EXCLUDES(mutex_);
  // Call in a forked child, where the threads do not exist.
  void forget() noexcept SLUICE_NO_ANALYSIS;

  // Starts an operation, or attaches to the one under way with an equal request; then that one's
  // deadline counts as long as it is ahead.
  [[nodiscard]] Result<Task> start(const mapping::Request& request,
                                   device::Clock::time_point deadline) SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] Result<void> resume(const Task& task, device::Clock::time_point deadline)
      SLUICE_EXCLUDES(mutex_);
  // Waits until it is over, its deadline, or that of `how`.
  [[nodiscard]] Result<void> wait(MappingTask& task, const device::Wait& how) const;
  [[nodiscard]] MappingReport report(MappingTask& task) const;
  // Allocates a range that is mapped on all of the devices, or none at all. `device`: the owner, of
  // Kind::device.
  [[nodiscard]] Result<Address> allocate(std::size_t size, Kind kind, int device,
                                         std::span<const int> devices, Access access,
                                         std::string_view name = {});
  // Ends a range that may be mapped: FreeMode::unmap.
  [[nodiscard]] Result<void> free(Address base) SLUICE_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t most_threads = 64;

  [[nodiscard]] Result<std::vector<Pin>> pin_parts(const mapping::Request& request) const;
  [[nodiscard]] Result<void> enqueue(const Task& task, std::vector<Pin> ranges)
      SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Task next(bool was_idle) SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] Result<void> sleep_until_done(MappingTask& task, const device::Wait& how) const;
  // Ends all mappings of the range; afterwards no operation maps any of it.
  [[nodiscard]] Result<void> unmap_whole(Range& range) SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] Task under_way_on(const Range& range) SLUICE_EXCLUDES(mutex_);
  void work() SLUICE_EXCLUDES(mutex_);
  void complete(const Task& task) SLUICE_EXCLUDES(mutex_);

  const MappingsParts parts_;
  RankedMutex mutex_{LockRank::mappings, "mappings"};
  std::vector<Task> under_way_ SLUICE_GUARDED_BY(mutex_);
  std::deque<Task> queue_ SLUICE_GUARDED_BY(mutex_);  // tasks that no thread has taken yet
  std::vector<os::Thread> threads_ SLUICE_GUARDED_BY(mutex_);
  std::size_t idle_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint32_t> bell_{0};
  std::atomic<bool> stopping_{false};
  bool forgotten_ = false;
};

}  // namespace sluice::engine
