// See contention.hpp. Cost: an atomic increment for an announcement, and a system call for each
// where a request waits.
#include "engine/contention.hpp"

#include <algorithm>
#include <atomic>

#include "os/futex.hpp"

namespace sluice::engine::contention {
namespace {

// The longest sleep of a wait: a block may also become free without an announcement, as where its
// lease ends.
constexpr std::chrono::milliseconds longest_sleep{1};

constinit std::atomic<std::uint32_t> announcements{0};
constinit std::atomic<std::uint32_t> sleepers{0};
// Initial-exec: a shared library's other thread-local memory is allocated at its first use.
[[gnu::tls_model("initial-exec")]] constinit thread_local std::uint32_t own_announcements = 0;

}  // namespace

// Each side first writes and then looks at the other's word, so one of the two sees the other.
void announce() noexcept {
  announcements.fetch_add(1);
  ++own_announcements;
  if (sleepers.load() != 0) os::futex_wake_all(announcements);
}

void Wait::begin() noexcept {
  seen_ = announcements.load();
  own_ = own_announcements;
}

void Wait::wait(Clock::time_point until) noexcept {
  const Clock::time_point now = Clock::now();
  if (end_ == Clock::time_point::max()) end_ = now + patience;
  // Two requests that wait for each other's claims would otherwise wake themselves by giving them
  // up, and meet again.
  const std::uint32_t expected = seen_ + (own_announcements - own_);
  sleepers.fetch_add(1);
  (void)os::futex_wait(announcements, expected, std::min(until, now + longest_sleep));
  sleepers.fetch_sub(1);
}

}  // namespace sluice::engine::contention
