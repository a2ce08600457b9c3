// Whole programs: each written once against plain pointers (bench_program_*.cc), over each memory
// (bench/program_memory.cc) in turns.
//
//   PROGRAM_PAGES/PEER                  milliseconds of set-up on the host, the GPU's work and
//                                       the check on the host, in memory that an earlier run has
//                                       used already
//   PROGRAM_PAGES_with_allocation/PEER  the same in new memory: with allocation, first touch,
//                                       pinning and freeing. Each run has a space of its own,
//                                       opened before
//
// PROGRAM is cg (conjugate gradient), jacobi or bfs (breadth-first search); PAGES are Sluice's
// (auto, 4k, huge); PEER is managed, hints (the fastest of three ways to hint) or copies (written
// by hand, with pinned memory). The baseline is the peer's time, so Sluice is faster if the ratio
// is below 1. The host's part has up to 16 threads.
#include <algorithm>
#include <functional>
#include <limits>
#include <span>
#include <string_view>

#include "base/embedded.hpp"
#include "bench/cuda.hpp"
#include "bench/programs.hpp"

#ifdef SLUICE_PROGRAMS_IMAGE
SLUICE_EMBED(sluice_programs_image, SLUICE_PROGRAMS_IMAGE)
#endif

namespace sluice::tool::bench {

ProgramKernels::ProgramKernels(Card& card)
    : card_(card),
#ifdef SLUICE_PROGRAMS_IMAGE
      module_(card.load(SLUICE_EMBEDDED(sluice_programs_image)))
#else
      module_(card.load({}))
#endif
{
}

bool has_program_kernels() noexcept {
#ifdef SLUICE_PROGRAMS_IMAGE
  return true;
#else
  return false;
#endif
}

namespace {

struct ProgramKind {
  const char* name;
  std::unique_ptr<Program> (*make)(ProgramMemory&, const ProgramKernels&);
};

// A contestant that runs the program, and its times.
struct Runner {
  const char* name;
  std::function<std::unique_ptr<ProgramMemory>(const Card&)> memory;
  std::vector<double> again{};  // milliseconds
  std::vector<double> with_allocation{};
};

// True if the machine's pool of huge pages is large enough for a program.
bool has_huge_pages(const Card& card) {
  const Space space =
      need("open a space", Space::open({.software = {.count = 0}, .cuda = {.gpus = {card.gpu()}}}));
  constexpr std::size_t needed = std::size_t{1} << 30;
  return space.allocate(needed, Kind::shared, HostPages::huge).has_value();
}

std::vector<Runner> sluice_runners(bool huge) {
  const auto over = [](HostPages pages) {
    return [pages](const Card& card) { return sluice_memory(card, pages); };
  };
  std::vector<Runner> runners{{"auto", over(HostPages::automatic)}, {"4k", over(HostPages::small)}};
  if (huge) runners.push_back({"huge", over(HostPages::huge)});
  return runners;
}

std::vector<Runner> peer_runners() {
  const auto hinted = [](Hints hints) {
    return [hints](const Card& card) { return hinted_memory(card, hints); };
  };
  return {{"managed", managed_memory},
          {"hints", hinted(Hints::to_card)},
          {"hints", hinted(Hints::both_ways)},
          {"hints", hinted(Hints::copies_of_inputs)},
          {"copies", copied_memory}};
}

template <typename Work>
double milliseconds(Work&& work) {
  const Stopwatch watch;
  work();
  return watch.microseconds() / 1e3;
}

void run_again(const ProgramKind& kind, const Card& card, const ProgramKernels& kernels,
               std::span<Runner* const> runners, int rounds) {
  std::vector<std::unique_ptr<ProgramMemory>> memories;
  std::vector<std::unique_ptr<Program>> programs;
  memories.reserve(runners.size());
  programs.reserve(runners.size());
  for (const Runner* const runner : runners) {
    memories.push_back(runner->memory(card));
    programs.push_back(kind.make(*memories.back(), kernels));
    programs.back()->run();
  }
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < runners.size(); ++i)
      runners[i]->again.push_back(milliseconds([&] { programs[i]->run(); }));
}

void run_in_new_memory(const ProgramKind& kind, const Card& card, const ProgramKernels& kernels,
                       std::span<Runner* const> runners, int rounds) {
  for (int round = 0; round < rounds; ++round)
    for (Runner* const runner : runners) {
      const auto memory = runner->memory(card);
      std::unique_ptr<Program> program;
      runner->with_allocation.push_back(milliseconds([&] {
        program = kind.make(*memory, kernels);
        program->run();
        memory->free_arrays();
      }));
    }
}

// Of the fastest with that name.
double best(const std::vector<Runner>& runners, std::string_view name,
            std::vector<double> Runner::* samples) {
  double least = std::numeric_limits<double>::infinity();
  for (const Runner& runner : runners)
    if (runner.name == name) least = std::min(least, median(runner.*samples));
  return least;
}

void tell(const char* program, const std::vector<Runner>& ours, const std::vector<Runner>& peers,
          std::vector<Case>& results) {
  struct Peer {
    const char* name;
    double limit;  // of our time over the peer's
    std::optional<Goal> with_allocation;
  };
  const auto at_most = [](double limit) { return Goal{Goal::Side::at_most, limit}; };
  for (const Runner& runner : ours)
    for (const Peer& peer : {Peer{"managed", 0.5, at_most(0.6)}, Peer{"hints", 1, at_most(1)},
                             Peer{"copies", 1.1, {}}}) {
      const std::string of = std::string(program) + "_" + runner.name;
      results.push_back({of + "/" + peer.name, median(runner.again), "ms",
                         best(peers, peer.name, &Runner::again),
                         Goal{Goal::Side::at_most, peer.limit}});
      results.push_back({.name = of + "_with_allocation/" + peer.name,
                         .value = median(runner.with_allocation),
                         .unit = "ms",
                         .baseline = best(peers, peer.name, &Runner::with_allocation),
                         .goal = peer.with_allocation});
    }
}

}  // namespace

std::vector<Case> measure_programs(const Options& options) {
  Card card(options.gpus.front());
  const ProgramKernels kernels(card);
  const bool huge = has_huge_pages(card);
  std::vector<Case> results;
  for (const ProgramKind& kind :
       {ProgramKind{"cg", conjugate_gradient}, ProgramKind{"jacobi", jacobi},
        ProgramKind{"bfs", breadth_first}}) {
    std::vector<Runner> ours = sluice_runners(huge);
    std::vector<Runner> peers = peer_runners();
    std::vector<Runner*> all;
    for (std::vector<Runner>* some : {&ours, &peers})
      for (Runner& runner : *some) all.push_back(&runner);
    run_again(kind, card, kernels, all, options.rounds);
    run_in_new_memory(kind, card, kernels, all, options.rounds);
    tell(kind.name, ours, peers, results);
  }
  return results;
}

}  // namespace sluice::tool::bench
