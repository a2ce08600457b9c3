// What a thread does with operator new: for code that must not use it, or not under a lock.
#pragma once

#include <cstddef>
#include <functional>

namespace sluice {

// How many times the calling thread has used it.
[[nodiscard]] std::size_t allocations_of_this_thread() noexcept;

// While it lives, the calling thread calls `act` at each use of it, before it gets its memory. What
// `act` allocates itself does not count.
class AtEachAllocation {
 public:
  explicit AtEachAllocation(std::function<void()> act);
  ~AtEachAllocation();
  AtEachAllocation(const AtEachAllocation&) = delete;
  AtEachAllocation& operator=(const AtEachAllocation&) = delete;

 private:
  std::function<void()> act_;
};

}  // namespace sluice
