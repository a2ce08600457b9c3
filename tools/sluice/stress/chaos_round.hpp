// ChaosRound: a program under chaos as its supervisor sees it, from its start to the end of the
// last process that descends from it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "os/owned_fd.hpp"
#include "report.hpp"
#include "sluice/options.hpp"
#include "stress/chaos.hpp"
#include "stress/findings.hpp"
#include "stress/model.hpp"

namespace sluice::tool {

class ChaosRound {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts the program. CannotRun if that fails.
  ChaosRound(std::uint64_t seed, const ChaosOptions& options);
  ChaosRound(ChaosRound&&) noexcept = default;
  ChaosRound& operator=(ChaosRound&&) noexcept = default;

  // Carries out the events that are due, and checks the progress. False when the round is over.
  // Never blocks for long.
  [[nodiscard]] bool advance(stress::Findings& findings);
  // Ends it now, whatever it is doing.
  void end() const;

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] bool was_killed() const noexcept { return killed_; }
  [[nodiscard]] int stops() const noexcept { return stops_; }
  // The program's own report; none if it was killed.
  [[nodiscard]] const std::optional<Json>& result() const noexcept { return result_; }

 private:
  struct Event {
    Clock::time_point time;
    int signal;
  };

  void plan_events(stress::Random& random);
  void send_events();
  void program_ended(int status, stress::Findings& findings);
  void judge_what_is_left(stress::Findings& findings);
  [[nodiscard]] std::string repeat() const;

  std::uint64_t seed_;
  Grade best_grade_;
  std::chrono::nanoseconds patience_;
  std::string mark_;
  os::OwnedFd output_;  // memory files: devices that live on do not keep them from being read
  os::OwnedFd complaints_;
  pid_t program_ = -1;
  Clock::time_point begin_;
  Clock::time_point ended_;
  std::vector<Event> events_;  // still to come, the next one last
  std::optional<Json> result_;
  bool stops_a_device_ = false;  // just before the program is killed
  bool running_ = true;
  bool killed_ = false;
  int stops_ = 0;
};

}  // namespace sluice::tool
