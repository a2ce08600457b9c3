// DescriptorKeeper: keeps a file open though the program closes its descriptor.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "os/threads.hpp"

namespace sluice::fault {

// When the last descriptor of a userfaultfd is closed, Linux answers the accesses that wait, and
// all later ones, from the memory file, whatever a device holds that is newer. So a second one
// lives in the descriptor table of a thread of its own, where the program's close(2) does not
// reach, until somebody has noticed.
class DescriptorKeeper {
 public:
  DescriptorKeeper() noexcept = default;
  DescriptorKeeper(const DescriptorKeeper&) = delete;
  DescriptorKeeper& operator=(const DescriptorKeeper&) = delete;
  ~DescriptorKeeper() { let_go(); }

  // Returns once it is kept. Where a sandbox refuses close_range(2) it is not; nothing else depends
  // on it. out_of_host_memory: no thread.
  [[nodiscard]] Result<void> keep(int file);
  void let_go() noexcept;
  // In a forked child there is no such thread.
  void forget() noexcept { thread_.forget(); }

 private:
  void run(int file) noexcept;

  std::atomic<std::uint32_t> kept_{0};
  std::atomic<std::uint32_t> let_go_{0};
  os::Thread thread_;
};

}  // namespace sluice::fault
