// The trouble of a program under chaos: signals, forks, and kills, stops and faults of its devices.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "program/threads.hpp"
#include "stress/chaos/worker.hpp"

namespace sluice::stress {

// Kinds of trouble of one round.
struct ChaosRecipe {
  bool signals = true;  // 1000 a second to the process, as many to its workers
  bool restart = true;  // their handler has SA_RESTART
  bool forks = true;
  bool kills = true;   // of device processes
  bool stops = true;   // of device processes, SIGSTOP and SIGCONT
  bool plans = true;   // steps that fail, are slow, or kill their device
  bool hangs = false;  // steps that never end, and stops that last too long
};

struct ChaosCounts {
  std::atomic<std::uint64_t> signals{0};
  std::atomic<std::uint64_t> forks{0};
  std::atomic<std::uint64_t> kills{0};
  std::atomic<std::uint64_t> stops{0};
  std::atomic<std::uint64_t> resets{0};
};

// Causes all of it for its lifetime; afterwards every device is back, and no plan is in force.
class ChaosTrouble {
 public:
  // `mark`: of this program's round. `managed`: an address in a live range.
  ChaosTrouble(const Space& space, std::uint64_t seed, const ChaosRecipe& recipe, std::string mark,
               const std::byte* managed, program::Threads& workers, ChaosState& state, ChaosCounts& counts,
               Findings& findings);
  ChaosTrouble(const ChaosTrouble&) = delete;
  ChaosTrouble& operator=(const ChaosTrouble&) = delete;
  ~ChaosTrouble();

  // Before the workers end: a signal to a thread that is gone may go anywhere.
  void end_signals();

 private:
  void send_signals(program::Threads& workers);
  void fork_children();
  void fork_one(Random& random);
  void trouble_devices();
  void trouble_one_device(Random& random);
  void stop_for(pid_t device, std::chrono::milliseconds time);
  void bring_back_lost();

  Space space_;
  const std::uint64_t seed_;
  const ChaosRecipe recipe_;
  const std::string mark_;
  const std::byte* const managed_;
  ChaosState& state_;
  ChaosCounts& counts_;
  Findings& findings_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stop_signals_{false};
  program::Threads signals_;
  program::Threads threads_;
};

}  // namespace sluice::stress
