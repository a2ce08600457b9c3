// MappingTask: one mapping operation, for as long as it is referenced.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "engine/range.hpp"
#include "mapping/operation.hpp"

namespace sluice::engine {

// It may be run several times (resume), never twice at once.
struct MappingTask {
  MappingTask(mapping::Request wanted, device::Clock::time_point until)
      : request(std::move(wanted)), operation(request), deadline(until) {}

  const mapping::Request request;
  RankedMutex mutex{LockRank::mapping, "mapping"};
  mapping::Operation operation SLUICE_GUARDED_BY(mutex);
  device::Clock::time_point deadline SLUICE_GUARDED_BY(mutex);
  std::size_t lost SLUICE_GUARDED_BY(mutex) = 0;  // bytes of the parts, when it ended
  std::vector<Pin>
      ranges;  // of the parts while it is under way; its thread's, or its starter's before
  std::atomic<bool> done{false};
  std::atomic<std::uint32_t> ends{0};  // waiters sleep on it
};

}  // namespace sluice::engine
