// Runs a sleeping thread with a descriptor table of its own. It closes all other descriptors there,
// or a pipe of the program would never end. Cost: a thread and its stack of 512 KiB of addresses
// for each space that has a userfaultfd; no work while it sleeps.
#include "fault/descriptor_keeper.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "os/futex.hpp"

#ifndef SYS_close_range
#define SYS_close_range 436  // Linux 5.9
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1U)
#endif

namespace sluice::fault {
namespace {

// Waits until the word is set.
void await(const std::atomic<std::uint32_t>& word) noexcept {
  while (word.load(std::memory_order_acquire) == 0)
    (void)os::futex_wait(word, 0, std::chrono::steady_clock::now() + std::chrono::hours(1));
}

void set(std::atomic<std::uint32_t>& word) noexcept {
  word.store(1, std::memory_order_release);
  os::futex_wake_all(word);
}

}  // namespace

Result<void> DescriptorKeeper::keep(int file) {
  SLUICE_ASSIGN(thread, os::Thread::start("sluice-keep", [this, file] { run(file); }));
  thread_ = std::move(thread);
  await(kept_);
  return {};
}

void DescriptorKeeper::run(int file) noexcept {
  const auto number = static_cast<unsigned>(file);
  const bool own_table = ::syscall(SYS_close_range, number + 1, ~0U, CLOSE_RANGE_UNSHARE) == 0;
  if (own_table && number != 0) ::syscall(SYS_close_range, 0U, number - 1, 0U);
  set(kept_);
  if (own_table) await(let_go_);
}

void DescriptorKeeper::let_go() noexcept {
  set(let_go_);
  thread_.join();
}

}  // namespace sluice::fault
