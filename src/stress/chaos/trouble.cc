// Signals, and kills, stops and faults of devices. See stress/chaos/trouble.hpp; forks are in
// stress/chaos/forks.cc.
//
// Before anything that may end a device, the death is counted: a loss without a cause is a finding.

#include "stress/chaos/trouble.hpp"

#include <signal.h>
#include <time.h>

#include <array>
#include <chrono>
#include <initializer_list>
#include <string_view>

#include "program/threads.hpp"
#include "stress/chaos/processes.hpp"

namespace sluice::stress {
namespace {

using namespace std::chrono_literals;

// Steps with failures that the call that needed them reports. Not copies, or room for them: a host
// access that cannot have its bytes raises SIGSEGV.
constexpr std::array<std::string_view, 10> failing{"",
                                                   "step=map nth=1 action=fail",
                                                   "step=map every=3 action=fail",
                                                   "step=fill every=2 action=fail",
                                                   "step=allocate every=2 action=fail",
                                                   "step=launch every=3 action=fail",
                                                   "step=launch every=4 action=slow=3",
                                                   "step=unmap every=2 action=slow=2",
                                                   "step=copy every=4 action=slow=2",
                                                   "step=kernel nth=1 action=slow=5"};
constexpr std::array<std::string_view, 5> killing{
    "step=map nth=2 action=kill", "step=unmap nth=2 action=kill", "step=copy nth=2 action=kill",
    "step=launch nth=3 action=kill", "step=fill nth=1 action=kill"};
constexpr std::array<std::string_view, 3> hanging{
    "step=map nth=2 action=hang", "step=unmap nth=3 action=hang", "step=copy nth=2 action=hang"};

// The handler has no instrumented atomics: in them ThreadSanitizer's runtime (GCC 12) may enter its
// delivery of signals once more, and then leaves the thread with all signals blocked, so that an
// access to a lost page ends the process.
std::uint64_t signals_seen = 0;
[[gnu::no_sanitize_thread]] void on_signal(int) {
  __atomic_fetch_add(&signals_seen, std::uint64_t{1}, __ATOMIC_RELAXED);
}

void handle_signals(bool restart) {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = restart ? SA_RESTART : 0;
  for (const int signal : {SIGALRM, SIGUSR1}) sigaction(signal, &action, nullptr);
}

}  // namespace

ChaosTrouble::ChaosTrouble(const Space& space, std::uint64_t seed, const ChaosRecipe& recipe,
                           std::string mark, const std::byte* managed, program::Threads& workers,
                           ChaosState& state, ChaosCounts& counts, Findings& findings)
    : space_(space),
      seed_(seed),
      recipe_(recipe),
      mark_(std::move(mark)),
      managed_(managed),
      state_(state),
      counts_(counts),
      findings_(findings),
      signals_([this] { stop_signals_ = true; }),
      threads_([this] { stop_ = true; }) {
  handle_signals(recipe.restart);
  if (recipe.signals) signals_.add([this, &workers] { send_signals(workers); });
  if (recipe.forks) threads_.add([this] { fork_children(); });
  threads_.add([this] { trouble_devices(); });
}

ChaosTrouble::~ChaosTrouble() {
  end_signals();
  threads_.end();
  counts_.signals += __atomic_load_n(&signals_seen, __ATOMIC_RELAXED);
}

void ChaosTrouble::end_signals() { signals_.end(); }

void ChaosTrouble::send_signals(program::Threads& workers) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  timer_t timer{};
  const bool ticking = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
  constexpr itimerspec every_millisecond{{0, 1'000'000}, {0, 1'000'000}};
  if (ticking) timer_settime(timer, 0, &every_millisecond, nullptr);
  while (!stop_signals_) {
    workers.signal(SIGUSR1);
    std::this_thread::sleep_for(1ms);
  }
  if (ticking) timer_delete(timer);
}

// --- devices -------------------------------------------------------------------------------------

void ChaosTrouble::trouble_devices() {
  Random random(seed_ ^ 0xdea7);
  while (!stop_) {
    trouble_one_device(random);
    std::this_thread::sleep_for(std::chrono::milliseconds(2 + random.below(20)));
    bring_back_lost();
  }
  for (int device = 0; device < space_.device_count(); ++device)
    static_cast<void>(space_.plan_faults(device, ""));
  bring_back_lost();
}

void ChaosTrouble::trouble_one_device(Random& random) {
  const auto number =
      static_cast<int>(random.below(static_cast<std::size_t>(space_.device_count())));
  if (random.chance(60)) {
    if (!recipe_.plans) return;
    const bool kills = recipe_.kills && random.chance(25);
    const bool hangs = !kills && recipe_.hangs && random.chance(25);
    if (kills || hangs) ++state_.deaths;
    const std::string_view plan = kills   ? killing[random.below(killing.size())]
                                  : hangs ? hanging[random.below(hanging.size())]
                                          : failing[random.below(failing.size())];
    static_cast<void>(space_.plan_faults(number, plan));
    return;
  }
  const std::vector<pid_t> devices = devices_of_round(mark_);
  if (devices.empty()) return;
  const pid_t device = devices[random.below(devices.size())];
  if (recipe_.kills && random.chance(40)) {
    ++state_.deaths;
    ++counts_.kills;
    kill(device, SIGKILL);
  } else if (recipe_.stops) {
    const bool too_long = recipe_.hangs && random.chance(20);
    if (too_long) ++state_.deaths;
    stop_for(device, too_long ? 1500ms : std::chrono::milliseconds(1 + random.below(40)));
  }
}

// It may be killed for it, and collected: then SIGCONT reaches no process.
void ChaosTrouble::stop_for(pid_t device, std::chrono::milliseconds time) {
  ++counts_.stops;
  kill(device, SIGSTOP);
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end && !stop_) std::this_thread::sleep_for(1ms);
  kill(device, SIGCONT);
}

void ChaosTrouble::bring_back_lost() {
  for (int device = 0; device < space_.device_count(); ++device) {
    const auto info = space_.device(device);
    if (!info || !info->lost) continue;
    static_cast<void>(space_.plan_faults(device, ""));
    const Result<void> back = space_.reset_device(device);
    if (back)
      ++counts_.resets;
    else if (back.error().code() != ErrorCode::invalid_argument)
      findings_.unexpected_error("reset: " + std::string(back.error().detail()));
  }
}

}  // namespace sluice::stress
