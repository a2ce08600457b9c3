// See stress/chaos_round.hpp.
//
// A killed program reports nothing; only its leftovers count. It must leave no process, and all
// memory and files, which have no names, go with the last process. Forked children may outlive it
// for a moment, but devices may not, even if they were stopped.

#include "stress/chaos_round.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "beside.hpp"
#include "os/environment.hpp"
#include "stress/chaos/processes.hpp"

namespace sluice::tool {
namespace {

using namespace std::chrono_literals;

// The longest wait for the last process to end. It bounds a run that fails.
constexpr auto patience_at_end = 20s;

std::string content(int file) {
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  for (off_t at = 0; (count = pread(file, buffer, sizeof buffer, at)) > 0; at += count)
    text.append(buffer, static_cast<std::size_t>(count));
  return text;
}

// The last lines, without those that chaos makes many of: reports of devices that it has killed.
std::string tail(const std::string& text) {
  constexpr std::size_t enough = 2000;
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(" is lost: ") == std::string::npos) result += line + "\n";
  return result.size() <= enough ? result : "..." + result.substr(result.size() - enough);
}

std::string new_mark(std::uint64_t seed) {
  static std::atomic<int> number{0};
  return fmt::format("{}.{}.{}", getpid(), ++number, seed);
}

std::vector<std::string> environment_with(const std::string& mark) {
  const std::string variable = std::string(stress::mark_variable) + "=";
  std::vector<std::string> result{variable + mark};
  for (char** entry = os::whole_environment(); *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with(variable)) result.emplace_back(*entry);
  }
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

ChaosRound::ChaosRound(std::uint64_t seed, const ChaosOptions& options)
    : seed_(seed),
      best_grade_(options.best_grade),
      patience_(std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::duration<double>(options.hang_seconds))),
      mark_(new_mark(seed)),
      output_(memfd_create("output", MFD_CLOEXEC)),
      complaints_(memfd_create("complaints", MFD_CLOEXEC)),
      begin_(Clock::now()) {
  std::vector<std::string> words{this_program().string(),
                                 "stress",
                                 "--chaos-program",
                                 "--seed",
                                 std::to_string(seed),
                                 "--grade",
                                 std::string(to_string(best_grade_)),
                                 "--hang-seconds",
                                 std::to_string(options.hang_seconds)};
  std::vector<std::string> environment = environment_with(mark_);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaints_.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Ctrl-C is for the supervisor, which ends its programs.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error = posix_spawn(&program_, "/proc/self/exe", &actions, &attributes,
                                pointers(words).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw CannotRun(fmt::format("a program cannot be started: {}", strerrordesc_np(error)));
  stress::Random random(seed ^ 0x0b5e55ed);
  plan_events(random);
}

void ChaosRound::plan_events(stress::Random& random) {
  const auto some_time = [&](std::size_t most) {
    return std::chrono::milliseconds(random.below(most));
  };
  if (random.chance(30)) {
    for (std::size_t stops = 1 + random.below(3); stops > 0; --stops) {
      const Clock::time_point stop = begin_ + some_time(600);
      events_.push_back({stop, SIGSTOP});
      events_.push_back({stop + 1ms + some_time(80), SIGCONT});
    }
  }
  if (random.chance(30)) events_.push_back({begin_ + some_time(700), SIGKILL});
  stops_a_device_ = random.chance(50);
  std::sort(events_.begin(), events_.end(),
            [](const Event& one, const Event& other) { return one.time > other.time; });
}

void ChaosRound::send_events() {
  while (!events_.empty() && events_.back().time <= Clock::now()) {
    const int signal = events_.back().signal;
    events_.pop_back();
    if (signal == SIGKILL && stops_a_device_) {
      // It cannot see its client end, and must end all the same.
      const std::vector<pid_t> devices = stress::devices_of_round(mark_);
      if (!devices.empty()) kill(devices.front(), SIGSTOP);
    }
    kill(program_, signal);
    killed_ = killed_ || signal == SIGKILL;
    stops_ += signal == SIGSTOP ? 1 : 0;
  }
}

bool ChaosRound::advance(stress::Findings& findings) {
  if (running_) {
    int status = 0;
    const pid_t ended = waitpid(program_, &status, WNOHANG);
    if (ended == program_) {
      running_ = false;
      ended_ = Clock::now();
      program_ended(status, findings);
    } else if (Clock::now() - begin_ > patience_ + 30s) {
      findings.hang(fmt::format("a program did not end, and did not say why; {}", repeat()));
      end();
    } else {
      send_events();
    }
    return true;
  }
  if (stress::processes_of_round(mark_).empty()) return false;
  if (Clock::now() - ended_ < patience_at_end) return true;
  judge_what_is_left(findings);
  return false;
}

void ChaosRound::program_ended(int status, stress::Findings& findings) {
  const std::string said = content(output_.get());
  const std::string complained = tail(content(complaints_.get()));
  if (WIFSIGNALED(status) && killed_ && WTERMSIG(status) == SIGKILL) return;
  killed_ = false;  // it was faster
  if (WIFSIGNALED(status)) {
    return findings.violation(fmt::format("a program died of signal {} ({}); {}\n{}",
                                          WTERMSIG(status), strsignal(WTERMSIG(status)), repeat(),
                                          complained));
  }
  const Json document = Json::parse(said, nullptr, false);
  if (!document.is_discarded()) result_ = document;
  if (WEXITSTATUS(status) == 0 && result_) return;
  std::string what = complained;
  if (result_) {
    for (const Json& finding : (*result_)["findings"]) what += "\n  " + finding.get<std::string>();
  }
  const std::string text = fmt::format("a program ended with the status {}; {}\n{}",
                                       WEXITSTATUS(status), repeat(), what);
  const auto count = [&](const char* kind) {
    return result_ ? (*result_)[kind].get<std::uint64_t>() : 0;
  };
  // Reported once, under the worst finding.
  if (count("wrong_bytes") != 0) findings.more_wrong_bytes(count("wrong_bytes"));
  if (count("hangs") != 0)
    findings.hang(text);
  else if (count("violations") != 0)
    findings.violation(text);
  else if (count("leaks") != 0)
    findings.leak(text);
  else
    findings.unexpected_error(text);
}

void ChaosRound::judge_what_is_left(stress::Findings& findings) {
  std::string left;
  for (const stress::Process& process : stress::processes_of_round(mark_))
    left += fmt::format("{}{} {} ({})", left.empty() ? "" : ", ", process.name, process.id,
                        process.state);
  if (!left.empty())
    findings.leak(fmt::format("processes outlive their program{}: {}; {}",
                              killed_ ? ", which was killed" : "", left, repeat()));
  end();
}

void ChaosRound::end() const {
  for (const stress::Process& process : stress::processes_of_round(mark_))
    kill(process.id, SIGKILL);
}

std::string ChaosRound::repeat() const {
  return fmt::format(
      "again: sluice stress --chaos --rounds 1 --seed {}{}", seed_,
      best_grade_ == Grade::full ? "" : " --grade " + std::string(to_string(best_grade_)));
}

}  // namespace sluice::tool
