// Notices hangs. See stress/watchdog.hpp.

#include "stress/watchdog.hpp"
#include "program/text.hpp"

#include <fmt/core.h>

namespace sluice::stress {
namespace {

constexpr auto interval = std::chrono::milliseconds(250);

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::string in_words(const char* who, std::size_t number, const Progress& progress) {
  const char* doing = progress.doing.load(std::memory_order_relaxed);
  if (doing == nullptr) return fmt::format("{} {} has ended", who, number);
  const auto age =
      static_cast<double>(now() - progress.since.load(std::memory_order_relaxed)) * 1e-9;
  const auto address = progress.address.load(std::memory_order_relaxed);
  const std::string where =
      address == 0 ? ""
                   : fmt::format(" of {} bytes at {:#x}",
                                 progress.size.load(std::memory_order_relaxed), address);
  return fmt::format("{} {} has been in {}{} for {:.1f} s", who, number, doing, where, age);
}

}  // namespace

Watchdog::Watchdog(std::chrono::nanoseconds patience, Findings& findings,
                   std::function<void()> give_up)
    : patience_(patience),
      findings_(findings),
      give_up_(std::move(give_up)),
      thread_(program::start_thread([this] { run(); })) {
  main_does("starting");
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  bell_.notify_one();
  thread_.join();
}

void Watchdog::watch(std::vector<const Progress*> workers, Explain explain) {
  const std::lock_guard lock(mutex_);
  workers_ = std::move(workers);
  explain_ = std::move(explain);
}

void Watchdog::main_does(const char* what) {
  main_.since.store(now(), std::memory_order_relaxed);
  main_.doing.store(what, std::memory_order_relaxed);
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!bell_.wait_for(lock, interval, [this] { return stop_; })) look();
}

bool Watchdog::is_stuck(const Progress& progress) const {
  return progress.doing.load(std::memory_order_relaxed) != nullptr &&
         now() - progress.since.load(std::memory_order_relaxed) > patience_.count();
}

// Printed line by line, because the space may hang in the answer, too.
void Watchdog::explain_stuck() const {
  for (const Progress* worker : workers_) {
    const std::uint64_t address = worker->address.load(std::memory_order_relaxed);
    if (is_stuck(*worker) && address != 0)
      program::complain("sluice stress: stuck at {}\n", explain_(address));
  }
}

void Watchdog::look() {
  bool stuck = is_stuck(main_);
  for (const Progress* worker : workers_) stuck = stuck || is_stuck(*worker);
  if (!stuck) return;

  std::string threads = in_words("thread", 0, main_);
  for (std::size_t i = 0; i < workers_.size(); ++i)
    threads += "; " + in_words("worker", i, *workers_[i]);
  findings_.hang(threads);
  explain_stuck();
  give_up_();
}

}  // namespace sluice::stress
