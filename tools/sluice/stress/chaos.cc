// The supervisor of chaos. See stress/chaos.hpp. It runs a few programs at a time, more than there
// are CPUs, so that they compete. Stops at the first finding; programs that run then still finish.

#include "stress/chaos.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <thread>
#include <vector>

#include "output.hpp"
#include "program/interruption.hpp"
#include "program/text.hpp"
#include "report.hpp"
#include "stress/chaos_round.hpp"

namespace sluice::tool {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int usual_rounds = 400;
constexpr auto glance = 5ms;

// The sums of the programs' own counts.
constexpr const char* counted[] = {"operations",      "bytes_checked",  "bytes_lost",
                                   "launches_failed", "devices_killed", "devices_stopped",
                                   "devices_reset",   "signals",        "forks"};

class Chaos {
 public:
  explicit Chaos(const ChaosOptions& options) : options_(options) {
    for (const char* name : counted) sums_[name] = std::uint64_t{0};
  }

  Exit run();

 private:
  [[nodiscard]] bool may_start() const;
  void advance_all();
  void add(const ChaosRound& round);
  void tell_progress();
  void tell() const;

  const ChaosOptions& options_;
  const Clock::time_point begin_ = Clock::now();
  const std::size_t at_once_ = std::max(3U, std::thread::hardware_concurrency() + 1);
  stress::Findings findings_;
  std::vector<ChaosRound> running_;
  int started_ = 0;
  int over_ = 0;
  int killed_ = 0;
  int stopped_ = 0;
  Json sums_ = Json::object();
  Json grades_ = Json::object();
  Clock::time_point told_ = begin_;
};

bool Chaos::may_start() const {
  if (!findings_.counts().clean() || program::interruption() != 0) return false;
  if (options_.seconds && seconds_between(begin_, Clock::now()) >= *options_.seconds) return false;
  const int rounds = options_.rounds.value_or(options_.seconds ? INT_MAX : usual_rounds);
  return started_ < rounds;
}

Exit Chaos::run() {
  program::watch_for_interruption();
  while (may_start() || !running_.empty()) {
    while (running_.size() < at_once_ && may_start()) {
      running_.emplace_back(options_.seed + static_cast<std::uint64_t>(started_), options_);
      ++started_;
    }
    if (program::interruption() != 0) {
      for (const ChaosRound& round : running_) round.end();
      break;
    }
    advance_all();
    if (options_.progress && Clock::now() - told_ > 1s) tell_progress();
    std::this_thread::sleep_for(glance);
  }
  tell();
  if (!findings_.counts().clean()) return Exit::found_wrong;
  if (program::interruption() != 0 && finish_output(Exit::good) == Exit::good)
    program::end_by(program::interruption());
  return Exit::good;
}

void Chaos::advance_all() {
  for (std::size_t i = 0; i < running_.size();) {
    if (running_[i].advance(findings_)) {
      ++i;
      continue;
    }
    add(running_[i]);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Chaos::add(const ChaosRound& round) {
  ++over_;
  killed_ += round.was_killed() ? 1 : 0;
  stopped_ += round.stops() != 0 ? 1 : 0;
  if (!round.result()) return;
  for (const char* name : counted)
    sums_[name] = sums_[name].get<std::uint64_t>() + (*round.result())[name].get<std::uint64_t>();
  Json& grade = grades_[(*round.result())["grade"].get<std::string>()];
  grade = grade.is_null() ? 1 : grade.get<int>() + 1;
}

void Chaos::tell_progress() {
  told_ = Clock::now();
  program::complain("sluice stress: {} rounds, {} compared\n", over_,
                    bytes_in_words(sums_["bytes_checked"].get<std::size_t>()));
}

void Chaos::tell() const {
  const stress::Findings::Counts counts = findings_.counts();
  const std::string verdict = !counts.clean()                ? "FAIL"
                              : program::interruption() != 0 ? "INTERRUPTED"
                                                             : "PASS";
  Json result = {{"stress", verdict},
                 {"rounds", over_},
                 {"seed", options_.seed},
                 {"seconds", seconds_between(begin_, Clock::now())},
                 {"wrong_bytes", counts.wrong_bytes},
                 {"hangs", counts.hangs},
                 {"leaks", counts.leaks},
                 {"violations", counts.violations},
                 {"unexpected_errors", counts.unexpected_errors},
                 {"findings", findings_.in_words()},
                 {"programs_killed", killed_},
                 {"programs_stopped", stopped_}};
  result.update(sums_);
  result["rounds_by_grade"] = grades_;
  result["machine"] = machine_facts();
  if (options_.json) return print_json(result);
  fmt::print("{} rounds in {:.1f} s, the first with the seed {}\n", over_,
             result["seconds"].get<double>(), options_.seed);
  for (const auto& [name, value] : result.items()) {
    if (value.is_number_integer() && name != "seed" && name != "rounds")
      fmt::print("  {:18} {}\n", name, value.get<std::uint64_t>());
  }
  fmt::print("stress: {}\n", verdict);
}

}  // namespace

Exit run_chaos(const ChaosOptions& options) { return Chaos(options).run(); }

}  // namespace sluice::tool
