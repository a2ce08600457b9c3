// Child: the device process as its client sees it. It is started once and ended once; a reset makes
// a new one.
//
// The process is no child in the sense of wait(2): the program's own SIGCHLD handlers and waits
// never meet it, nor do signals of the terminal. It is held by a pidfd. When the program ends,
// Linux kills it, also where it is stopped.
//
// It is not trusted: an answer that is malformed, or does not match the request, ends it.
//
// Everything but start() may be called from any thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
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

  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Collects the process, if it has ended, where Linux made this one its parent: a program that is
  // the first of its namespace, or that adopts orphans (PR_SET_CHILD_SUBREAPER).
  ~Child();

  // Starts the process and waits until it serves. Errors: system (cannot be started; says what was
  // tried), out_of_host_memory, timed_out.
  [[nodiscard]] Result<void> start(const Settings& settings, AddressSpan window, const Files& files,
                                   std::chrono::milliseconds limit);

  // Loads a kernel there and returns its index. Errors: unknown_kernel with the loader's message,
  // timed_out, device_lost.
  [[nodiscard]] Result<std::uint64_t> find_kernel(std::string_view module, std::string_view name,
                                                  std::chrono::milliseconds limit);
  // Starts the thread of a kernel ring. Errors: out_of_host_memory, timed_out, device_lost.
  [[nodiscard]] Result<void> start_queue(int ring, std::chrono::milliseconds limit);
  // Has it check that it maps the named memory, and ring the doorbell of a command that is in its
  // slot already. Errors: invalid_argument (not mapped so, or too much named), timed_out,
  // device_lost.
  [[nodiscard]] Result<void> dispatch(int ring, std::uint64_t value,
                                      std::span<const NamedMemory> named,
                                      std::chrono::milliseconds limit);
  // Gives it a peer's memory, or the host's second file; commands that need it wait there until it
  // arrives. False if the process is gone, or received nothing for that long and was ended.
  [[nodiscard]] bool add_memory(std::uint8_t memory, std::size_t size, std::uint32_t generation,
                                int file, std::chrono::milliseconds limit) noexcept;

  void kill() const noexcept;
  // Waits until the process has ended, at most that long.
  void await_end(std::chrono::milliseconds limit) const noexcept;

  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  // True if the program closed descriptors that the process lives by. It is then no loss of the
  // machine's.
  [[nodiscard]] bool is_cut_off() const noexcept;
  // Linux may give it to another process once this one has ended.
  [[nodiscard]] pid_t number() const noexcept { return process_; }

 private:
  [[nodiscard]] Error gone() const noexcept;
  [[nodiscard]] Result<Message> ask(Message& question, std::chrono::milliseconds limit)
      SLUICE_EXCLUDES(requests_);
  [[nodiscard]] bool send(const Message& message, std::span<const int> files,
                          const Deadline& until) const noexcept;
  [[nodiscard]] Result<void> receive_ready(const Deadline& until);

  std::string program_;  // that was started
  os::OwnedFd socket_;
  os::OwnedFd pidfd_;
  pid_t process_ = -1;    // its number, which Linux may give to another once it has ended
  os::OwnedFd lifetime_;  // the process is killed when this closes
  // One request at a time. Held while the device answers; only find_kernel, start_queue and
  // dispatch take it.
  RankedMutex requests_{LockRank::request, "requests"};
  std::uint64_t questions_ SLUICE_GUARDED_BY(requests_) = 0;
};

}  // namespace sluice::device::soft
