// See memory_shortage.hpp. Cost: none without a shortage. What it does not do: wait for as long as
// the kernel would; after a while the caller's error is of more use than a program that stands.
#include "os/memory_shortage.hpp"

#include <thread>

namespace sluice::os {

bool MemoryShortage::wait() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (end_ == std::chrono::steady_clock::time_point{}) end_ = now + patience;
  if (now >= end_) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return true;
}

}  // namespace sluice::os
