// sluice bench cuda: Sluice against NVIDIA's own managed memory, on the same card, in the same run.
//
// For each case Sluice, cudaMallocManaged bare, cudaMallocManaged with hints and explicit copies
// with pinned memory (the ceiling) do the same work in turns; the bench reports medians over the
// rounds, Sluice's over the peer's. A case's name ends in the peer:
//   .../managed   cudaMallocManaged as it is
//   .../hints     with cudaMemPrefetchAsync and cudaMemAdvise
//   .../pinned    explicit copies between device memory and pinned memory
//
//   read_back_PAGES_T_ORDER  the host reads a word of every page of device-resident data; T threads; 64 KiB pieces in that order
//   random_page_p50, _p99    one page of a device-resident block, blocks in random order (microseconds)
//   prefetch_to_host, _to_device
//   first_kernel             the host has written all of it; launch to end of a kernel that reads it
//   launch_idle              microseconds more than cuLaunchKernel alone, 1000 live ranges, nothing to move
//   ping_pong, sparse        where the peer may win: host and device on one word in turns; one page of each 2 MiB
//   cost_...                 the preparation: allocation, first touch, the first move with its pinning (milliseconds)
//
// These are the part "moves". The other parts are described at the top of their files: "peers"
// (several GPUs; bench/cuda_peers.cc), "programs" (bench/cuda_programs.cc) and "pressure"
// (bench/cuda_pressure.cc).
//
// Takes about a minute for 2 GiB. What it does not do: ask for more managed memory than fits, which
// can hang a card.
#include <algorithm>
#include <cstring>
#include <random>

#include "base/types.hpp"
#include "bench/cuda.hpp"
#include "bench/cuda_card.hpp"
#include "program/interruption.hpp"
#include "program/threads.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t piece_size = std::size_t{64} << 10;

enum class Order { sequential, strided, random };

const char* name_of(Order order) {
  return order == Order::sequential ? "sequential" : order == Order::strided ? "strided" : "random";
}

// Everything that the cases share: the card, a space on it, and the results so far.
class Comparison {
 public:
  explicit Comparison(const Options& options)
      : options_(options),
        card_(options.gpus.front()),
        space_(need("open a space", Space::open({.software = {.count = 0},
                                                 .cuda = {.gpus = {options.gpus.front()}}}))),
        queue_(need("queue", space_.queue(0))),
        fill_(need("fill", queue_.kernel("fill"))),
        reduce_(need("reduce", queue_.kernel("reduce"))) {}

  std::vector<Case> run() {
    costs(HostPages::small, "4k");
    costs(HostPages::huge, "huge");
    read_backs(HostPages::small, "4k");
    read_backs(HostPages::huge, "huge");
    random_pages();
    moves(HostPages::small, "4k");
    moves(HostPages::huge, "huge");
    idle_launches();
    small_things();
    return std::move(results_);
  }

 private:
  using Samples = std::vector<double>;

  void add(const std::string& name, const Samples& ours, const char* unit, const Samples& theirs,
           std::optional<Goal> goal = {}) {
    results_.push_back({name, median(ours), unit, median(theirs), goal});
  }
  static Goal at_least(double limit) { return {Goal::Side::at_least, limit}; }
  static Goal at_most(double limit) { return {Goal::Side::at_most, limit}; }

  // Nothing where the pool of huge pages is too small.
  std::optional<Range> range(HostPages pages) const {
    auto made = space_.allocate(options_.size, Kind::shared, pages);
    if (!made && pages == HostPages::huge) return std::nullopt;
    return need("allocate", std::move(made));
  }
  void fill(const Range& range, std::uint32_t value) const {
    fill_range(queue_, fill_, range, value);
  }

  // Reads one word of every page, and checks it.
  void touch(const std::byte* bytes, std::size_t size, int threads, Order order,
             std::uint32_t expected) const {
    const std::size_t pieces = size / piece_size;
    const auto part = [&](std::size_t thread) {
      const auto count = static_cast<std::size_t>(threads);
      std::mt19937_64 random(thread);
      std::vector<std::size_t> mine;
      if (order == Order::strided)
        for (std::size_t i = thread; i < pieces; i += count) mine.push_back(i);
      else
        for (std::size_t i = pieces * thread / count; i < pieces * (thread + 1) / count; ++i)
          mine.push_back(i);
      if (order == Order::random) std::shuffle(mine.begin(), mine.end(), random);
      for (const std::size_t piece : mine)
        for (std::size_t at = 0; at < piece_size; at += page_size) {
          const auto* word =
              reinterpret_cast<const volatile std::uint32_t*>(bytes + piece * piece_size + at);
          if (*word != expected) throw CannotRun("a wrong word was read");
        }
    };
    program::Threads others([] {});
    for (int i = 1; i < threads; ++i) others.add([&part, i] { part(static_cast<std::size_t>(i)); });
    part(0);
    others.end();
  }

  void costs(HostPages pages, const char* name) {
    const std::string of = std::string("cost_") + name;
    Stopwatch watch;
    const auto ours = range(pages);
    if (!ours) return;
    const double allocated = watch.microseconds() / 1e3;
    const Stopwatch peer_watch;
    const CardMemory managed(card_, Memory::managed, options_.size);
    const double peer_allocated = peer_watch.microseconds() / 1e3;
    results_.push_back({of + "_allocate/managed", allocated, "ms", peer_allocated, {}});
    const auto timed = [](auto&& work) {
      const Stopwatch one;
      work();
      return one.microseconds() / 1e3;
    };
    const double touched = timed([&] { std::memset(ours->data(), 1, options_.size); });
    const double peer_touched = timed([&] { std::memset(managed.data(), 1, options_.size); });
    results_.push_back({of + "_first_touch/managed", touched, "ms", peer_touched, {}});
    const double moved = timed([&] {
      need("wait", need("prefetch", space_.prefetch(*ours, Location::device(0))).wait());
    });
    const double peer_moved = timed([&] { card_.prefetch(managed.data(), options_.size, false); });
    results_.push_back({of + "_first_move_pinning_included/hints", moved, "ms", peer_moved, {}});
  }

  void read_backs(HostPages pages, const char* page_name) {
    const auto ours = range(pages);
    if (!ours) return;
    const CardMemory managed(card_, Memory::managed, options_.size);
    const CardMemory on_card(card_, Memory::device, options_.size);
    const CardMemory pinned(card_, Memory::pinned, options_.size);
    struct Shape {
      int threads;
      Order order;
      std::optional<Goal> goal;
    };
    const bool huge = pages == HostPages::huge;
    for (const Shape& shape :
         {Shape{1, Order::sequential, at_least(huge ? 7.5 : 6.5)},
          Shape{4, Order::strided, at_least(3)}, Shape{4, Order::random, at_least(3)},
          Shape{16, Order::strided, at_least(3)}, Shape{16, Order::random, at_least(3)}}) {
      Samples mine;
      Samples theirs;
      Samples ceiling;
      for (int round = 0; round <= options_.rounds; ++round) {
        const auto value = static_cast<std::uint32_t>(round + 1);
        fill(*ours, value);
        card_.fill(managed.data(), options_.size, value);
        const Stopwatch for_ours;
        touch(ours->data(), options_.size, shape.threads, shape.order, value);
        const double our_time = for_ours.microseconds();
        const Stopwatch for_theirs;
        touch(managed.data(), options_.size, shape.threads, shape.order, value);
        const double their_time = for_theirs.microseconds();
        const Stopwatch for_ceiling;
        card_.copy(pinned.data(), on_card.data(), options_.size);
        if (round == 0) continue;  // this round made the pages and pinned host memory
        ceiling.push_back(gb_per_second(options_.size, for_ceiling.microseconds()));
        mine.push_back(gb_per_second(options_.size, our_time));
        theirs.push_back(gb_per_second(options_.size, their_time));
      }
      const std::string name = std::string("read_back_") + page_name + "_" +
                               std::to_string(shape.threads) + "_" + name_of(shape.order);
      add(name + "/managed", mine, "GB/s", theirs, shape.goal);
      add(name + "/pinned", mine, "GB/s", ceiling);
    }
  }

  void random_pages() {
    const Range ours =
        need("allocate", space_.allocate(options_.size, Kind::shared, HostPages::small));
    const CardMemory managed(card_, Memory::managed, options_.size);
    Samples mine;
    Samples theirs;
    std::mt19937_64 random(7);
    for (int round = 0; round <= options_.rounds; ++round) {
      const auto value = static_cast<std::uint32_t>(round + 1);
      fill(ours, value);
      card_.fill(managed.data(), options_.size, value);
      std::vector<std::size_t> places;
      for (std::size_t at = 0; at < options_.size; at += block_size)
        places.push_back(at + random() % pages_per_block * page_size);
      std::shuffle(places.begin(), places.end(), random);
      const auto measure = [&](const std::byte* bytes, Samples& samples) {
        for (const std::size_t place : places) {
          const Stopwatch watch;
          const auto seen = *reinterpret_cast<const volatile std::uint32_t*>(bytes + place);
          const double time = watch.microseconds();
          if (seen != value) throw CannotRun("a wrong word was read");
          if (round != 0) samples.push_back(time);
        }
      };
      measure(ours.data(), mine);
      measure(managed.data(), theirs);
    }
    results_.push_back({"random_page_p50/managed", quantile(mine, 0.5), "us", quantile(theirs, 0.5),
                        at_most(0.7)});
    results_.push_back({"random_page_p99/managed", quantile(mine, 0.99), "us",
                        quantile(theirs, 0.99), at_most(1)});
  }

  // Prefetches, and the first kernel over the bytes that the host wrote.
  void moves(HostPages pages, const char* page_name) {
    const auto ours = range(pages);
    if (!ours) return;
    const std::size_t size = options_.size;
    const auto sum = need("sum", space_.buffer<std::uint64_t>(1));
    const CardMemory managed(card_, Memory::managed, size);
    const CardMemory managed_sum(card_, Memory::managed, page_size);
    const CardMemory on_card(card_, Memory::device, size);
    const CardMemory card_sum(card_, Memory::device, page_size);
    const CardMemory pinned(card_, Memory::pinned, size);
    card_.fill(card_sum.data(), page_size, 0);
    card_.fill(managed_sum.data(), page_size, 0);
    std::memset(pinned.data(), 1, size);
    Samples to_host[3], to_device[3], kernel[3];
    const auto timed = [&](Samples& samples, int round, auto&& work) {
      const Stopwatch watch;
      work();
      if (round != 0) samples.push_back(gb_per_second(size, watch.microseconds()));
    };
    const auto prefetch = [&](Location to) {
      need("wait", need("prefetch", space_.prefetch(*ours, to)).wait());
    };
    for (int round = 0; round <= options_.rounds; ++round) {
      fill(*ours, 1);
      card_.fill(managed.data(), size, 1);
      timed(to_host[0], round, [&] { prefetch(Location::host()); });
      timed(to_host[1], round, [&] { card_.prefetch(managed.data(), size, true); });
      timed(to_host[2], round, [&] { card_.copy(pinned.data(), on_card.data(), size); });
      std::memset(ours->data(), round, size);
      std::memset(managed.data(), round, size);
      timed(to_device[0], round, [&] { prefetch(Location::device(0)); });
      timed(to_device[1], round, [&] { card_.prefetch(managed.data(), size, false); });
      timed(to_device[2], round, [&] { card_.copy(on_card.data(), pinned.data(), size); });
      std::memset(ours->data(), round + 1, size);
      std::memset(managed.data(), round + 1, size);
      timed(kernel[0], round, [&] {
        auto* words = reinterpret_cast<const std::uint32_t*>(ours->data());
        need("wait", need("reduce", queue_.launch(reduce_)
                                        .reads(*ours)
                                        .writes(sum)
                                        .arguments(sluice_soft_reduce{words, sum.data()})
                                        .items(size / 4)
                                        .submit())
                         .wait());
      });
      timed(kernel[1], round, [&] { card_.reduce(managed.data(), size, managed_sum.data()); });
      timed(kernel[2], round, [&] {
        card_.copy(on_card.data(), pinned.data(), size);
        card_.reduce(on_card.data(), size, card_sum.data());
      });
    }
    const std::string of = std::string("_") + page_name;
    add("prefetch_to_host" + of + "/hints", to_host[0], "GB/s", to_host[1], at_least(3));
    add("prefetch_to_host" + of + "/pinned", to_host[0], "GB/s", to_host[2], at_least(0.93));
    add("prefetch_to_device" + of + "/hints", to_device[0], "GB/s", to_device[1], at_least(1.02));
    add("prefetch_to_device" + of + "/pinned", to_device[0], "GB/s", to_device[2], at_least(0.93));
    add("first_kernel" + of + "/managed", kernel[0], "GB/s", kernel[1], at_least(3.5));
    add("first_kernel" + of + "/pinned", kernel[0], "GB/s", kernel[2], at_least(0.85));
  }

  void idle_launches() {
    constexpr int range_count = 1000;
    std::vector<Range> ranges;
    ranges.reserve(range_count);
    const auto current = card_.make_current();
    for (int i = 0; i < range_count; ++i)
      ranges.push_back(need("allocate", space_.allocate(page_size)));
    const Kernel nothing = need("nothing", queue_.kernel("nothing"));
    need("wait", need("launch", queue_.launch(nothing).every_shared_range().submit()).wait());
    Samples bare, two, every;
    for (int batch = 0; batch < 200 * options_.rounds; ++batch) {
      Fence last;
      for (std::size_t i = 0; i < 16; ++i) {
        const Stopwatch for_bare;
        card_.launch_nothing();
        bare.push_back(for_bare.microseconds());
        const Stopwatch for_two;
        last = need("launch",
                    queue_.launch(nothing).reads(ranges[2 * i]).writes(ranges[2 * i + 1]).submit());
        two.push_back(for_two.microseconds());
        const Stopwatch for_every;
        last = need("launch", queue_.launch(nothing).every_shared_range().submit());
        every.push_back(for_every.microseconds());
      }
      need("wait", last.wait());
      card_.synchronize();
    }
    const Goal goal{Goal::Side::at_most, 1, Goal::Of::value};
    results_.push_back({"launch_idle/bare", median(two) - median(bare), "us", median(bare), goal});
    results_.push_back(
        {"launch_idle_every/bare", median(every) - median(bare), "us", median(bare), goal});
  }

  void small_things() {
    const Range ours = need("allocate", space_.allocate(page_size));
    const CardMemory managed(card_, Memory::managed, page_size);
    Samples mine, theirs;
    for (std::uint32_t round = 0; round < 200; ++round) {
      const auto turn = [&](std::byte* bytes, Samples& samples, auto&& launch) {
        const Stopwatch watch;
        *reinterpret_cast<volatile std::uint32_t*>(bytes) = round;
        launch();
        if (*reinterpret_cast<volatile std::uint32_t*>(bytes) != round + 1)
          throw CannotRun("a wrong word was read");
        if (round >= 20) samples.push_back(watch.microseconds());
      };
      turn(ours.data(), mine, [&] { fill(ours, round + 1); });
      turn(managed.data(), theirs, [&] { card_.fill(managed.data(), page_size, round + 1); });
    }
    add("ping_pong/managed", mine, "us", theirs);

    const Range big =
        need("allocate", space_.allocate(options_.size, Kind::shared, HostPages::small));
    const CardMemory big_managed(card_, Memory::managed, options_.size);
    Samples sparse[2];
    for (int round = 0; round <= options_.rounds; ++round) {
      fill(big, 5);
      card_.fill(big_managed.data(), options_.size, 5);
      const auto walk = [&](const std::byte* bytes, Samples& samples) {
        const Stopwatch watch;
        for (std::size_t at = 0; at < options_.size; at += block_size)
          if (*reinterpret_cast<const volatile std::uint32_t*>(bytes + at) != 5)
            throw CannotRun("a wrong word was read");
        if (round != 0) samples.push_back(watch.microseconds() / 1e3);
      };
      walk(big.data(), sparse[0]);
      walk(big_managed.data(), sparse[1]);
    }
    add("sparse/managed", sparse[0], "ms", sparse[1]);
  }

  const Options& options_;
  const Card card_;
  const Space space_;
  const Queue queue_;
  const Kernel fill_;
  const Kernel reduce_;
  std::vector<Case> results_;
};

}  // namespace

std::vector<Case> measure_cuda(const Options& options) {
  std::vector<Case> results;
  for (const CudaPart& part : cuda_parts()) {
    if (program::interruption() != 0) break;
    if (!options.parts.empty() &&
        std::find(options.parts.begin(), options.parts.end(), part.name) == options.parts.end())
      continue;
    for (Case& result : part.measure(options)) results.push_back(std::move(result));
  }
  return results;
}

const std::vector<CudaPart>& cuda_parts() {
  static const std::vector<CudaPart> parts{
      {"moves", [](const Options& options) { return Comparison(options).run(); }},
      {"peers", measure_peers},
      {"programs", measure_programs},
      {"pressure", measure_pressure},
  };
  return parts;
}

}  // namespace sluice::tool::bench
