// A fuzzer for the C interface: many threads make calls with arguments that are good, stale,
// foreign or nonsense, while devices die.
//
//   api_fuzz [--calls N] [--runs N] [--seed N] [--threads N]
//
// The calls are shared out among the runs, each of which is a process and has a seed of its own.
//
// What it asks for: no crash, no call that does not return, nothing left behind (descriptors,
// processes, threads; memory where LeakSanitizer looks on), and a directory without a broken
// invariant. Each round has spaces and a number of threads of its own. The work is done in a child,
// whose report goes to a file, because devices that are troubled say a lot; it is shown when
// something was found. The seed is printed first; threads run as they like, so the same seed finds
// the same thing often, not always. What it does not do: pass plain pointers that lead nowhere,
// which no C function survives.
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "api_fuzz_world.hpp"

namespace sluice::fuzz {
namespace {

struct Options {
  std::uint64_t calls = 100'000;
  std::uint64_t runs = 1;
  std::uint64_t seed = std::random_device()();
  unsigned threads = 0;  // 0: chosen in each round
};

constexpr std::uint64_t calls_in_a_round = 25'000;
// No call here takes longer than seconds; a machine that is busy with other things may take many
// times that.
constexpr auto patience = std::chrono::seconds(150);

std::size_t entries_of(const char* directory) {
  std::size_t count = 0;
  DIR* const opened = ::opendir(directory);
  while (opened != nullptr && ::readdir(opened) != nullptr) ++count;
  if (opened != nullptr) ::closedir(opened);
  return count;
}

// Besides this one. ThreadSanitizer's are not told from others, so that none is seen there.
std::size_t count_other_threads() {
#if defined(__SANITIZE_THREAD__)
  return 0;
#else
  return entries_of("/proc/self/task") - 3;  // ".", ".." and this one
#endif
}

// Ends the process when no call returns any more.
void watch(const World& world, const std::atomic<bool>& over) {
  std::uint64_t seen = world.calls;
  auto since = std::chrono::steady_clock::now();
  while (!over) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::uint64_t now = world.calls;
    if (now != seen) {
      seen = now;
      since = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - since > patience) {
      std::fprintf(stderr, "api_fuzz: HANG: no call has returned for %lld s\n",
                   static_cast<long long>(patience.count()));
      std::abort();
    }
  }
}

bool run_round(World& world, std::uint64_t seed, std::uint64_t calls, unsigned threads) {
  Random random(world, seed);
  world.hangs = random.one_in(4);
  for (auto& space : world.spaces) space = open_space(random, true);
  std::atomic<bool> over{false};
  std::thread watchdog([&] { watch(world, over); });
  std::thread janitor([&] {
    while (!over) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      end_old_leases(world, 4);
    }
  });
  const std::uint64_t end = world.calls + calls;
  std::vector<std::thread> callers;
  for (unsigned number = 0; number < threads; ++number)
    callers.emplace_back([&world, end, own = seed + 1000 + number] {
      Random mine(world, own);
      while (world.calls.load(std::memory_order_relaxed) < end) call(mine);
    });
  for (std::thread& caller : callers) caller.join();
  world.calls.fetch_add(1);
  const bool kept = tear_down(world);
  over = true;
  watchdog.join();
  janitor.join();
  return kept;
}

int work(const Options& options) {
  World world;
  std::mt19937_64 rounds(options.seed);
  bool kept = true;
  std::size_t descriptors = 0;
  for (int round = 0; kept && world.calls < options.calls; ++round) {
    static constexpr unsigned counts[] = {1, 2, 4, 8, 16, 64};
    const unsigned threads = options.threads != 0 ? options.threads : counts[rounds() % 6];
    const std::uint64_t left = options.calls - world.calls;
    const auto began = milliseconds_now();
    kept = run_round(world, rounds(), std::min(left, calls_in_a_round), threads);
    std::fprintf(stderr, "api_fuzz: round %d, %u threads, %llu calls so far, %llu ms\n", round,
                 threads, static_cast<unsigned long long>(world.calls),
                 static_cast<unsigned long long>(milliseconds_now() - began));
    // Nothing may be left of a round: the first one tells what the process itself keeps.
    // A thread that was joined is listed until Linux has done with it.
    std::size_t threads_left = count_other_threads();
    for (const auto until = milliseconds_now() + 30'000;
         threads_left != 0 && milliseconds_now() < until;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      threads_left = count_other_threads();
    }
    const std::size_t now = entries_of("/proc/self/fd");
    if (round == 0) descriptors = now;
    if (now != descriptors || threads_left != 0) {
      std::fprintf(stderr, "api_fuzz: LEAK: %zu descriptors after %zu, %zu threads\n", now,
                   descriptors, threads_left);
      kept = false;
    }
    if (::waitpid(-1, nullptr, WNOHANG) >= 0) {
      std::fprintf(stderr, "api_fuzz: LEAK: a device process is left\n");
      kept = false;
    }
  }
  return kept ? 0 : 1;
}

// The end of the child's report, and of all that the sanitizers said.
void show(std::FILE* report) {
  std::fseek(report, 0, SEEK_END);
  const long size = std::ftell(report);
  const long shown = std::min(size, 60'000L);
  std::fseek(report, size - shown, SEEK_SET);
  for (int c = std::fgetc(report); c != EOF; c = std::fgetc(report)) std::fputc(c, stderr);
}

int run(const Options& options) {
  std::printf("api_fuzz: seed %llu, %llu calls\n", static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(options.calls));
  std::fflush(stdout);
  std::FILE* const report = std::tmpfile();
  if (report == nullptr) return 1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::fileno(report), STDERR_FILENO);
    std::exit(work(options));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  if (status == 0) {
    std::printf("api_fuzz: PASS\n");
    return 0;
  }
  show(report);
  std::printf("api_fuzz: FAIL (%s %d); again with --seed %llu\n",
              WIFSIGNALED(status) ? "signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
              static_cast<unsigned long long>(options.seed));
  return 1;
}

}  // namespace
}  // namespace sluice::fuzz

int main(int count, char** arguments) {
  sluice::fuzz::Options all;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::uint64_t value = std::strtoull(arguments[i + 1], nullptr, 10);
    if (std::strcmp(arguments[i], "--calls") == 0) all.calls = value;
    if (std::strcmp(arguments[i], "--runs") == 0) all.runs = std::max<std::uint64_t>(value, 1);
    if (std::strcmp(arguments[i], "--seed") == 0) all.seed = value;
    if (std::strcmp(arguments[i], "--threads") == 0) all.threads = static_cast<unsigned>(value);
  }
  for (std::uint64_t number = 0; number < all.runs; ++number) {
    sluice::fuzz::Options one = all;
    one.calls = all.calls / all.runs;
    one.seed = all.seed + number;
    if (sluice::fuzz::run(one) != 0) return 1;
  }
  return 0;
}
