// Child: the device process as its client sees it. Started once, ended once; a reset makes a new one.
//
// The process is no child in the sense of wait(2): the program's own SIGCHLD handlers and waits never meet it, nor do
// signals of the terminal. It is held by a pidfd, and it ends by itself when the program does.
//
// Everything but start() may be called from any thread.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "device/device.hpp"
#include "device/soft/messages.hpp"
#include "os/owned_fd.hpp"

namespace sluice::device::soft {

class Child {
 public:
  struct Files {
    int control, memory, host;
  };

  // Starts the process and waits until it serves. Errors: system (cannot be started; says what was tried),
  // out_of_host_memory, timed_out.
  [[nodiscard]] Result<void> start(const Settings& settings, AddressSpan window, const Files& files,
                                   std::chrono::milliseconds limit);

  // Loads a kernel there; its index. Errors: unknown_kernel with the loader's words, timed_out, device_lost.
  [[nodiscard]] Result<std::uint64_t> find_kernel(std::string_view module, std::string_view name,
                                                  std::chrono::milliseconds limit);
  // Starts the thread of a kernel ring. Errors: out_of_host_memory, timed_out, device_lost.
  [[nodiscard]] Result<void> start_queue(int ring, std::chrono::milliseconds limit);
  // Has it look whether it maps what is named, and ring the doorbell of a command that is in its slot already. Errors:
  // invalid_argument (not mapped so, or too much named), timed_out, device_lost.
  [[nodiscard]] Result<void> dispatch(int ring, std::uint64_t value,
                                      std::span<const NamedMemory> named,
                                      std::chrono::milliseconds limit);
  // Gives it a peer's memory, or the host's second file; commands that need it wait there until it has come. False when the
  // process is gone.
  [[nodiscard]] bool add_memory(std::uint8_t memory, std::size_t size, std::uint32_t generation,
                                int file) noexcept;

  void kill() const noexcept;
  // Until the process has ended; at most that long.
  void await_end(std::chrono::milliseconds limit) const noexcept;

  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

 private:
  [[nodiscard]] Result<Message> ask(const Message& question, std::chrono::milliseconds limit)
      SLUICE_EXCLUDES(requests_);
  [[nodiscard]] Result<void> receive_ready(std::chrono::milliseconds limit);

  os::OwnedFd socket_;
  os::OwnedFd pidfd_;
  // One request at a time. Held while the device answers; only find_kernel, start_queue and dispatch take it.
  RankedMutex requests_{LockRank::request, "requests"};
};

// The program to start: SLUICE_SOFT_DEVICE, else in libexec/ of the tree that this library or program lies in. The error names
// all places.
[[nodiscard]] Result<std::string> find_device_program();

}  // namespace sluice::device::soft
