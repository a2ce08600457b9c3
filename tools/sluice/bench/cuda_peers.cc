// Several GPUs: handing a range over, and mapping one range on all of them.
//
//   hand_over/managed    a kernel on GPU 0 writes all of 1 GiB, then one on GPU 1, and so on back and forth; GB/s of one such turn, the
//                        copy and the kernel. Managed memory may go from GPU to GPU directly (peer access is enabled)
//   hand_over/peer_copy  the same against a bare copy of as much from one GPU to the other, with no kernel
//   map_..._N            a device range of 64 MiB on the first 1, 2, 4 GPUs, the first being its owner: bench/maps.cc
//
// Needs two GPUs (`--gpus 0,1`); mapping uses the first 1, 2 and 4 of the named GPUs. With one GPU
// there is nothing to hand over, and these cases are left out; if they were asked for by name, that
// is an error.
#include <vector>

#include "bench/cuda.hpp"
#include "bench/cuda_card.hpp"
#include "bench/maps.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t mapped_size = std::size_t{64} << 20;

// The two GPUs that take turns.
struct Side {
  const Card& card;
  Queue queue;
  Kernel fill;
};

void hand_over(const Options& options, const Space& space, std::vector<Case>& results) {
  const std::size_t size = options.size / 2;
  const Card first(options.gpus[0]);
  const Card second(options.gpus[1]);
  if (first.gpu() != second.gpu()) {
    first.map_peer(second);
    second.map_peer(first);
  }
  std::vector<Side> sides;
  for (int device = 0; device < 2; ++device) {
    Queue queue = need("queue", space.queue(device));
    const Kernel fill = need("fill", queue.kernel("fill"));
    sides.push_back({device == 0 ? first : second, std::move(queue), fill});
  }
  const Range ours = need("allocate", space.allocate(size));
  const CardMemory managed(first, Memory::managed, size);
  const CardMemory here(first, Memory::device, size);
  const CardMemory there(second, Memory::device, size);
  std::vector<double> mine, theirs, peer_copy;
  for (int round = 0; round <= options.rounds; ++round) {
    for (std::uint32_t turn = 0; turn < 2; ++turn) {
      const Side& side = sides[turn];
      const auto value = static_cast<std::uint32_t>(round) * 2 + turn;
      const auto timed = [&](std::vector<double>& samples, auto&& work) {
        const Stopwatch watch;
        work();
        if (round != 0) samples.push_back(gb_per_second(size, watch.microseconds()));
      };
      timed(mine, [&] { fill_range(side.queue, side.fill, ours, value); });
      timed(theirs, [&] { side.card.fill(managed.data(), size, value); });
      timed(peer_copy, [&] {
        if (turn == 0)
          first.copy(here.data(), there.data(), size);
        else
          second.copy(there.data(), here.data(), size);
      });
    }
  }
  const auto last = static_cast<std::uint32_t>(options.rounds) * 2 + 1;
  for (std::size_t at = 0; at < size; at += std::size_t{1} << 20)
    if (*reinterpret_cast<const volatile std::uint32_t*>(ours.data() + at) != last)
      throw CannotRun("a wrong word was read");
  const Goal of_managed{Goal::Side::at_least, 20};
  const Goal of_copy{Goal::Side::at_least, 0.6};
  results.push_back({"hand_over/managed", median(mine), "GB/s", median(theirs), of_managed});
  results.push_back({"hand_over/peer_copy", median(mine), "GB/s", median(peer_copy), of_copy});
}

}  // namespace

std::vector<Case> measure_peers(const Options& options) {
  std::vector<Case> results;
  if (options.gpus.size() < 2) {
    if (!options.parts.empty()) throw CannotRun("the part peers needs two GPUs, as in --gpus 0,1");
    return results;
  }
  const Space space =
      need("open a space", Space::open({.software = {.count = 0}, .cuda = {.gpus = options.gpus}}));
  hand_over(options, space, results);
  const Range range = need("allocate", space.allocate_on_device(0, mapped_size));
  for (const int gpus : {1, 2, 4}) {
    if (static_cast<std::size_t>(gpus) > options.gpus.size()) break;
    for (Case& result : measure_maps(space, range, gpus, options.rounds))
      results.push_back(std::move(result));
  }
  return results;
}

}  // namespace sluice::tool::bench
