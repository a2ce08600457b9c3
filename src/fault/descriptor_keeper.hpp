// DescriptorKeeper: keeps a file open though the program closes its descriptor.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "os/threads.hpp"

namespace sluice::fault {

// When the last descriptor of a userfaultfd is closed, Linux answers waiting and later accesses
// from the memory file, even if a device holds newer bytes. So a second descriptor lives in the
// table of a thread of its own, which the program's close(2) does not reach, until the engine has
// noticed.
class DescriptorKeeper {
 public:
  DescriptorKeeper() noexcept = default;
  DescriptorKeeper(const DescriptorKeeper&) = delete;
  DescriptorKeeper& operator=(const DescriptorKeeper&) = delete;
  ~DescriptorKeeper() { let_go(); }

  // Returns once the file is kept. Where a sandbox refuses close_range(2) it is not; nothing else
  // depends on it. out_of_host_memory: no thread.
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
