// The thread that watches device processes. It runs while any device is open, with every signal
// blocked, so that it never runs a handler of the application.
#include "device/soft/fleet.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <thread>
#include <utility>

#include "os/errors.hpp"
#include "os/new_descriptors.hpp"
#include "os/per_process.hpp"
#include "os/poll_files.hpp"

namespace sluice::device::soft {
namespace {

constexpr std::chrono::milliseconds idle_period{2000};  // while no process is watched

}  // namespace

Fleet& Fleet::instance() noexcept { return os::per_process<Fleet>(); }

Result<void> Fleet::join(Name name, Member& member, std::chrono::milliseconds period) {
  const MutexLock lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.name == name) return fail(ErrorCode::busy, "device %d is open already", name.number);
  }
  if (run_ == nullptr) SLUICE_TRY(start_thread());
  entries_.push_back({name, &member, period, -1});
  return {};
}

void Fleet::watch(const Member& member, int pidfd) {
  const MutexLock lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.member == &member) entry.pidfd = pidfd;
  }
  poke();
}

void Fleet::leave(const Member& member) noexcept {
  std::unique_ptr<Run> last;
  {
    const MutexLock lock(mutex_);
    std::erase_if(entries_, [&](const Entry& entry) { return entry.member == &member; });
    if (!entries_.empty() || run_ == nullptr) return;
    run_->stop = true;
    poke();
    last = std::move(run_);
  }
  last->thread.join();
}

Result<void> Fleet::start_thread() {
  auto fresh = std::make_unique<Run>();
  {
    const os::NewDescriptors making;
    fresh->wake = os::OwnedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  if (!fresh->wake.is_open()) return os::call_failed(errno, "eventfd");
  SLUICE_ASSIGN(thread,
                os::Thread::start("sluice-fleet", [this, run = fresh.get()] { this->run(*run); }));
  fresh->thread = std::move(thread);
  run_ = std::move(fresh);
  return {};
}

void Fleet::poke() noexcept {
  if (run_ != nullptr && run_->wake.is_intact()) eventfd_write(run_->wake.get(), 1);
}

void Fleet::run(Run& run) {
  std::vector<pollfd> polled;
  std::vector<int> ended;
  while (!run.stop) {
    try {
      look_once(run, polled, ended);
    } catch (const std::bad_alloc&) {
      // Nothing is missed: the pidfd of an ended process stays readable.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void Fleet::look_once(Run& run, std::vector<pollfd>& polled, std::vector<int>& ended) {
  // The fleet looks up after each period, also where the program has closed the event.
  polled.assign(1, {run.hears && run.wake.is_intact() ? run.wake.get() : -1, POLLIN, 0});
  auto period = std::chrono::milliseconds::max();
  {
    const MutexLock lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.pidfd < 0) continue;
      polled.push_back({entry.pidfd, POLLIN, 0});
      period = std::min(period, entry.period);
    }
  }
  if (period == std::chrono::milliseconds::max()) period = idle_period;
  (void)os::poll_files(polled.data(), polled.size(), static_cast<int>(period.count()));
  eventfd_t ignored;
  // An event that a sandbox does not let it read would wake it for ever.
  if (run.wake.is_intact() && eventfd_read(run.wake.get(), &ignored) != 0)
    run.hears = run.hears && errno == EAGAIN;
  ended.clear();
  for (std::size_t i = 1; i < polled.size(); ++i) {
    if (polled[i].revents != 0) ended.push_back(polled[i].fd);
  }
  visit_members(ended);
}

void Fleet::visit_members(const std::vector<int>& ended) {
  const MutexLock lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.pidfd < 0) continue;
    // Asked again: between the poll and here the number may have passed on to another device's
    // pidfd.
    pollfd again{entry.pidfd, POLLIN, 0};
    if (std::find(ended.begin(), ended.end(), entry.pidfd) != ended.end() &&
        os::poll_files(&again, 1, 0) == 1) {
      entry.pidfd = -1;
      entry.member->process_ended();
    } else {
      entry.member->look_for_hang();
    }
  }
}

}  // namespace sluice::device::soft
