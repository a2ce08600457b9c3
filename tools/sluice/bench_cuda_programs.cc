// Whole programs: each written once against plain pointers (bench_program_*.cc), over each memory (bench_program_memory.cc) in turns.
//
//   PROGRAM_PAGES/PEER                  milliseconds of set-up on the host, the GPU's work and the check on the host, in memory that
//                                       an earlier run has used already
//   PROGRAM_PAGES_with_allocation/PEER  the same in new memory: with allocation, first touch and pinning. Each run has a space of its own,
//                                       opened before; giving back is not in it
//
// PROGRAM is cg (conjugate gradient), jacobi or bfs (breadth-first search); PAGES are Sluice's; PEER is managed, hints or copies (written by
// hand, with pinned memory). The baseline is the peer's time, so a ratio below 1 is Sluice's win. The host's part has up to eight threads.
#include "base/embedded.hpp"
#include "bench_cuda.hpp"
#include "bench_programs.hpp"

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

namespace {

struct ProgramKind {
  const char* name;
  std::unique_ptr<Program> (*make)(ProgramMemory&, const ProgramKernels&);
};

// Somebody who runs the program, and how long it took.
struct Runner {
  const char* name;
  std::unique_ptr<ProgramMemory> (*memory)(const Card&);
  std::vector<double> again{};  // milliseconds
  std::vector<double> with_allocation{};
};

std::unique_ptr<ProgramMemory> sluice_small(const Card& card) {
  return sluice_memory(card, HostPages::small);
}
std::unique_ptr<ProgramMemory> sluice_huge(const Card& card) {
  return sluice_memory(card, HostPages::huge);
}

template <typename Work>
double milliseconds(Work&& work) {
  const Stopwatch watch;
  work();
  return watch.microseconds() / 1e3;
}

void run_in_new_memory(const ProgramKind& kind, const Card& card, const ProgramKernels& kernels,
                       std::vector<Runner>& runners, int rounds) {
  for (int round = 0; round < rounds; ++round)
    for (Runner& runner : runners) {
      const auto memory = runner.memory(card);
      std::unique_ptr<Program> program;
      runner.with_allocation.push_back(milliseconds([&] {
        program = kind.make(*memory, kernels);
        program->run();
      }));
    }
}

void run_again(const ProgramKind& kind, const Card& card, const ProgramKernels& kernels,
               std::vector<Runner>& runners, int rounds) {
  std::vector<std::unique_ptr<ProgramMemory>> memories;
  std::vector<std::unique_ptr<Program>> programs;
  for (const Runner& runner : runners) {
    memories.push_back(runner.memory(card));
    programs.push_back(kind.make(*memories.back(), kernels));
    programs.back()->run();
  }
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < runners.size(); ++i)
      runners[i].again.push_back(milliseconds([&] { programs[i]->run(); }));
  programs.clear();
}

// Whether the machine's pool of huge pages holds what a program needs.
bool has_huge_pages(const Card& card) {
  const Space space =
      need("open a space", Space::open({.software = {.count = 0}, .cuda = {.gpus = {card.gpu()}}}));
  constexpr std::size_t needed = std::size_t{1} << 30;
  return space.allocate(needed, Kind::shared, HostPages::huge).has_value();
}

void tell(const char* program, const std::vector<Runner>& ours, const std::vector<Runner>& peers,
          std::vector<Case>& results) {
  for (const Runner& runner : ours)
    for (const Runner& peer : peers) {
      const std::string of = std::string(program) + "_" + runner.name;
      const double limit = std::string_view(peer.name) == "managed" ? 0.5
                           : std::string_view(peer.name) == "hints" ? 1
                                                                    : 1.1;
      results.push_back({of + "/" + peer.name, median(runner.again), "ms", median(peer.again),
                         Goal{Goal::Side::at_most, limit}});
      results.push_back({of + "_with_allocation/" + peer.name,
                         median(runner.with_allocation),
                         "ms",
                         median(peer.with_allocation),
                         {}});
    }
}

}  // namespace

std::vector<Case> measure_programs(const Options& options) {
  Card card(options.gpus.front());
  const ProgramKernels kernels(card);
  std::vector<Runner> runners{{"4k", sluice_small}};
  if (has_huge_pages(card)) runners.push_back({"huge", sluice_huge});
  const std::size_t ours = runners.size();
  runners.push_back({"managed", managed_memory});
  runners.push_back({"hints", hinted_memory});
  runners.push_back({"copies", copied_memory});
  std::vector<Case> results;
  for (const ProgramKind& kind :
       {ProgramKind{"cg", conjugate_gradient}, ProgramKind{"jacobi", jacobi},
        ProgramKind{"bfs", breadth_first}}) {
    std::vector<Runner> turns = runners;
    run_again(kind, card, kernels, turns, options.rounds);
    run_in_new_memory(kind, card, kernels, turns, options.rounds);
    tell(kind.name, {turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(ours)},
         {turns.begin() + static_cast<std::ptrdiff_t>(ours), turns.end()}, results);
  }
  return results;
}

}  // namespace sluice::tool::bench
