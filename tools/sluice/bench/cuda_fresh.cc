// sluice bench fresh --cuda: whole programs in memory that did not exist before, on a GPU.
//
// A program allocates, writes every word on the host, runs ten kernels over all words, reads every
// word on the host, and frees. It is written once, over each memory (bench/program_memory.cc) in
// turns, by one host thread. Sluice chooses its pages by itself. The time to open a space is not
// measured, nor that to create a peer's context.
//
//   program_SIZE_first/PEER      milliseconds, the first round of the process in that size
//   program_SIZE/PEER            milliseconds, the median of the later rounds
//   program_SIZE_PHASE/managed   the same for one phase: allocate, fill, kernels, read, free
//   fill_SIZE/existing           the fill against the same in memory from malloc that exists
//   allocate_free_SIZE/managed   microseconds to allocate and free, with nothing touched
//   kernel_first_touch/managed   milliseconds until a kernel has written every word of new memory
//   prefetch_new/hints           milliseconds until new memory has been prefetched to the GPU
//   page_turn/managed            microseconds for a host store, a kernel and a host load in a page
//
// PEER is managed (cudaMallocManaged as it is), hints (the faster of two ways to prefetch),
// pageable (memory from malloc, and copies) or pinned (pinned memory, and copies). The baseline is
// the peer's time. Whole programs with several arrays are in bench/cuda_programs.cc.

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/types.hpp"
#include "bench/cuda.hpp"
#include "bench/program_kernels.hpp"
#include "bench/programs.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int kernels_in_a_row = 10;
constexpr std::array phase_names{"allocate", "fill", "kernels", "read", "free"};
using Phases = std::array<double, phase_names.size()>;  // milliseconds

double sum(const Phases& phases) {
  double all = 0;
  for (const double phase : phases) all += phase;
  return all;
}

struct Contestant {
  const char* name;
  std::unique_ptr<ProgramMemory> memory;
  double first = 0;
  std::vector<double> later{};
  std::array<std::vector<double>, phase_names.size()> phases{};
};

std::vector<Contestant> all_contestants(const Card& card) {
  std::vector<Contestant> all;
  all.push_back({"sluice", sluice_memory(card, HostPages::automatic)});
  all.push_back({"managed", managed_memory(card)});
  all.push_back({"hints", hinted_memory(card, Hints::to_card)});
  all.push_back({"hints", hinted_memory(card, Hints::both_ways)});
  all.push_back({"pageable", pageable_memory(card)});
  all.push_back({"pinned", copied_memory(card)});
  return all;
}

class FreshProgram {
 public:
  FreshProgram(Card& card, std::size_t size)
      : kernels_(card), count_(size / sizeof(std::uint64_t)), all_(all_contestants(card)) {}

  void round() {
    for (Contestant& one : all_) {
      const Phases phases = run(*one.memory);
      if (rounds_ == 0) {
        one.first = sum(phases);
        continue;
      }
      one.later.push_back(sum(phases));
      for (std::size_t i = 0; i < phases.size(); ++i) one.phases[i].push_back(phases[i]);
    }
    ++rounds_;
  }

  void tell(const std::string& size, bool small, std::vector<Case>& cases) const {
    struct Peer {
      const char* name;
      std::optional<double> first;
      std::optional<double> later;
    };
    const std::vector<Peer> peers = small ? std::vector<Peer>{{"managed", {}, 0.7},
                                                              {"hints", {}, {}},
                                                              {"pageable", {}, {}},
                                                              {"pinned", {}, 1.0}}
                                          : std::vector<Peer>{{"managed", 0.6, 0.5},
                                                              {"hints", 0.75, 0.75},
                                                              {"pageable", 0.6, 0.6},
                                                              {"pinned", {}, {}}};
    for (const Peer& peer : peers) {
      const auto best = [&](auto&& of) {
        double least = std::numeric_limits<double>::infinity();
        for (const Contestant& one : all_)
          if (std::string_view(one.name) == peer.name) least = std::min(least, of(one));
        return least;
      };
      add(cases, "program_" + size + "_first/" + peer.name, all_.front().first,
          best([](const Contestant& one) { return one.first; }), peer.first);
      add(cases, "program_" + size + "/" + peer.name, median(all_.front().later),
          best([](const Contestant& one) { return median(one.later); }), peer.later);
    }
    for (std::size_t i = 0; i < phase_names.size(); ++i)
      add(cases, "program_" + size + "_" + phase_names[i] + "/managed", median(all_[0].phases[i]),
          median(all_[1].phases[i]), goal_of(phase_names[i], small));
  }

  [[nodiscard]] double fill() const { return median(all_.front().phases[1]); }

 private:
  static void add(std::vector<Case>& cases, std::string name, double value, double baseline,
                  std::optional<double> limit) {
    std::optional<Goal> goal;
    if (limit) goal = Goal{Goal::Side::at_most, *limit};
    cases.push_back({std::move(name), value, "ms", baseline, goal});
  }
  static std::optional<double> goal_of(std::string_view phase, bool small) {
    if (small) return {};
    if (phase == "fill") return 0.4;
    if (phase == "free") return 1.0;
    return {};
  }

  Phases run(ProgramMemory& memory) const {
    Phases phases{};
    std::size_t phase = 0;
    Stopwatch watch;
    const auto end_phase = [&] {
      phases[phase++] = watch.microseconds() / 1e3;
      watch = Stopwatch();
    };
    const auto words = memory.array<std::uint64_t>(count_, Role::output);
    end_phase();
    memory.before_writing(words);
    auto* const host = const_cast<volatile std::uint64_t*>(words.host);
    for (std::size_t i = 0; i < count_; ++i) host[i] = i;
    end_phase();
    memory.after_writing(words);
    memory.on_card({writes(words)}, [&] {
      for (int i = 0; i < kernels_in_a_row; ++i)
        memory.launch(kernels_["add_one"], AddOne{words.card}, count_);
    });
    memory.wait();
    end_phase();
    memory.before_reading(words);
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < count_; ++i) wrong |= host[i] ^ (i + kernels_in_a_row);
    if (wrong != 0) throw CannotRun("bench fresh: a wrong word was read");
    end_phase();
    memory.free_arrays();
    end_phase();
    return phases;
  }

  const ProgramKernels kernels_;
  const std::size_t count_;
  std::vector<Contestant> all_;
  int rounds_ = 0;
};

// Milliseconds to write the words of memory that exists.
double time_existing(std::size_t size, int rounds) {
  const std::unique_ptr<void, decltype(&std::free)> plain(std::malloc(size), &std::free);
  if (plain == nullptr) throw CannotRun("no memory for a peer: try `free -h`");
  std::memset(plain.get(), 1, size);
  auto* const words = static_cast<volatile std::uint64_t*>(plain.get());
  std::vector<double> times;
  for (int round = 0; goes_on(round, rounds); ++round) {
    const Stopwatch watch;
    for (std::size_t i = 0; i < size / sizeof *words; ++i) words[i] = i;
    times.push_back(watch.microseconds() / 1e3);
  }
  return median(times);
}

std::string in_words(std::size_t size) {
  if (size >= std::size_t{1} << 30) return std::to_string(size >> 30) + "g";
  if (size >= std::size_t{1} << 20) return std::to_string(size >> 20) + "m";
  return std::to_string(size >> 10) + "k";
}

void measure_programs_of_all_sizes(Card& card, const Options& options, std::vector<Case>& cases) {
  std::vector<std::size_t> sizes;
  for (const unsigned shift : {16, 20, 24, 28})
    if (std::size_t{1} << shift < options.size) sizes.push_back(std::size_t{1} << shift);
  sizes.push_back(options.size);
  for (const std::size_t size : sizes) {
    if (program::interruption() != 0) return;
    FreshProgram program(card, size);
    const bool small = size <= std::size_t{1} << 20;
    program.round();  // the first one, which is told by itself
    for (int round = 0; goes_on(round, small ? 10 * options.rounds : options.rounds); ++round)
      program.round();
    program.tell(in_words(size), small, cases);
    if (size == options.size)
      cases.push_back({"fill_" + in_words(size) + "/existing", program.fill(), "ms",
                       time_existing(size, options.rounds), Goal{Goal::Side::at_most, 1.1}});
  }
}

// One contestant is Sluice over a space, the other managed memory; both do the same in turns.
class Turns {
 public:
  Turns(Card& card, const Options& options, std::vector<Case>& cases)
      : kernels_(card),
        rounds_(options.rounds),
        cases_(cases),
        ours_(sluice_memory(card, HostPages::automatic)),
        theirs_(managed_memory(card)),
        prefetched_(hinted_memory(card, Hints::to_card)) {}

  void allocate_and_free(std::size_t size) {
    const auto work = [size](ProgramMemory& memory) {
      const Stopwatch watch;
      (void)memory.array<std::byte>(size, Role::output);
      memory.free_arrays();
      return watch.microseconds();
    };
    compare("allocate_free_" + in_words(size) + "/managed", "us", *theirs_, 200 * rounds_, 1, work);
  }

  void kernel_first_touch(std::size_t size) {
    const auto work = [&](ProgramMemory& memory) {
      const auto words = memory.array<std::uint64_t>(size / sizeof(std::uint64_t), Role::output);
      const Stopwatch watch;
      memory.on_card({writes(words)},
                     [&] { memory.launch(kernels_["add_one"], AddOne{words.card}, words.count); });
      memory.wait();
      const double time = watch.microseconds() / 1e3;
      memory.free_arrays();
      return time;
    };
    compare("kernel_first_touch/managed", "ms", *theirs_, rounds_, 0.1, work);
  }

  // A scope brings the memory to the GPU, as a prefetch does.
  void prefetch_new(std::size_t size) {
    const auto work = [&](ProgramMemory& memory) {
      const auto words = memory.array<std::uint64_t>(size / sizeof(std::uint64_t), Role::output);
      const Stopwatch watch;
      memory.after_writing(words);
      memory.on_card({writes(words)}, [] {});
      memory.wait();
      const double time = watch.microseconds() / 1e3;
      memory.free_arrays();
      return time;
    };
    compare("prefetch_new/hints", "ms", *prefetched_, rounds_, 1.1, work);
  }

  void page_turn() {
    const auto ours = ours_->array<std::uint64_t>(page_size / sizeof(std::uint64_t), Role::output);
    const auto theirs =
        theirs_->array<std::uint64_t>(page_size / sizeof(std::uint64_t), Role::output);
    std::uint64_t value = 0;
    const auto work = [&](ProgramMemory& memory) {
      const auto& words = &memory == ours_.get() ? ours : theirs;
      auto* const host = const_cast<volatile std::uint64_t*>(words.host);
      const Stopwatch watch;
      host[0] = ++value;
      memory.on_card({writes(words)},
                     [&] { memory.launch(kernels_["add_one"], AddOne{words.card}, words.count); });
      memory.before_reading(words);
      if (host[0] != value + 1) throw CannotRun("bench fresh: a wrong word was read");
      return watch.microseconds();
    };
    compare("page_turn/managed", "us", *theirs_, 100 * rounds_, 1, work);
    ours_->free_arrays();
    theirs_->free_arrays();
  }

 private:
  template <typename Work>
  void compare(const std::string& name, const char* unit, ProgramMemory& peer, int rounds,
               double limit, const Work& work) {
    std::vector<double> ours;
    std::vector<double> theirs;
    for (int round = 0; goes_on(round, rounds + 1); ++round) {
      const double our_time = work(*ours_);
      const double their_time = work(peer);
      if (round == 0) continue;
      ours.push_back(our_time);
      theirs.push_back(their_time);
    }
    if (ours.empty()) return;
    cases_.push_back({name, median(ours), unit, median(theirs), Goal{Goal::Side::at_most, limit}});
  }

  const ProgramKernels kernels_;
  const int rounds_;
  std::vector<Case>& cases_;
  const std::unique_ptr<ProgramMemory> ours_;
  const std::unique_ptr<ProgramMemory> theirs_;
  const std::unique_ptr<ProgramMemory> prefetched_;
};

}  // namespace

std::vector<Case> measure_fresh_on_gpu(const Options& options) {
  Card card(options.gpus.front());
  std::vector<Case> cases;
  measure_programs_of_all_sizes(card, options, cases);
  if (program::interruption() != 0) return cases;
  Turns turns(card, options, cases);
  turns.allocate_and_free(std::size_t{4} << 10);
  turns.allocate_and_free(std::size_t{64} << 20);
  turns.kernel_first_touch(options.size / 2);
  turns.prefetch_new(options.size / 2);
  turns.page_turn();
  return cases;
}

}  // namespace sluice::tool::bench
