// Figures of managed memory, by plain calls of the driver: what whole programs are made of.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "bench/cuda_unmodified.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t sparse_step = 64 << 10;
constexpr std::size_t block = std::size_t{2} << 20;

template <typename Work>
double milliseconds(Work&& work) {
  const Stopwatch watch;
  work();
  return watch.microseconds() / 1e3;
}

void write_on_host(std::byte* bytes, std::size_t size) { std::memset(bytes, 3, size); }

std::uint64_t read_on_host(const std::byte* bytes, std::size_t size) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < size; at += sizeof sum) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, sizeof word);
    sum += word;
  }
  return sum;
}

// Read, so that no compiler leaves the reading out.
std::atomic<std::uint64_t> seen{0};

double first_touch(const Card& card, std::size_t size) {
  const CardMemory fresh(card, Memory::managed, size);
  return milliseconds([&] { card.fill(fresh.data(), size, 1); });
}

double fresh_prefetch(const Card& card, std::size_t size) {
  const CardMemory fresh(card, Memory::managed, size);
  return milliseconds([&] { card.prefetch(fresh.data(), size, false); });
}

double dense_read(const Card& card, std::size_t size) {
  const CardMemory memory(card, Memory::managed, size);
  card.fill(memory.data(), size, 1);
  return milliseconds([&] { seen += read_on_host(memory.data(), size); });
}

double sparse_read(const Card& card, std::size_t size) {
  const CardMemory memory(card, Memory::managed, size);
  card.fill(memory.data(), size, 1);
  return milliseconds([&] {
    const volatile std::byte* const bytes = memory.data();
    for (std::size_t at = 0; at < size; at += sparse_step)
      seen += std::to_integer<std::uint64_t>(bytes[at]);
  });
}

double first_kernel(const Card& card, std::size_t size) {
  const CardMemory memory(card, Memory::managed, size);
  const CardMemory sum(card, Memory::device, 8);
  write_on_host(memory.data(), size);
  return milliseconds([&] { card.reduce(memory.data(), size, sum.data()); });
}

double sparse_kernel(const Card& card, std::size_t size) {
  const CardMemory memory(card, Memory::managed, size);
  write_on_host(memory.data(), size);
  sluice_soft_mix arguments{reinterpret_cast<std::uint8_t*>(memory.data()), block, 1, 1};
  std::uint64_t items = size / block;
  void* all[] = {&arguments, &items};
  return milliseconds([&] {
    card.launch(card.kernel("mix"), all, items);
    card.synchronize();
  });
}

double copy_on_host(const Card& card, std::size_t size) {
  const CardMemory from(card, Memory::managed, size);
  const CardMemory to(card, Memory::managed, size);
  write_on_host(from.data(), size);
  write_on_host(to.data(), size);
  return milliseconds([&] { card.copy(to.data(), from.data(), size); });
}

double copy_to_device(const Card& card, std::size_t size) {
  const CardMemory from(card, Memory::managed, size);
  const CardMemory to(card, Memory::device, size);
  write_on_host(from.data(), size);
  return milliseconds([&] { card.copy(to.data(), from.data(), size); });
}

double copy_from_device(const Card& card, std::size_t size) {
  const CardMemory from(card, Memory::device, size);
  const CardMemory to(card, Memory::managed, size);
  write_on_host(to.data(), size);
  return milliseconds([&] { card.copy(to.data(), from.data(), size); });
}

// With memory that is on the GPU.
double idle_launch(const Card& card, std::size_t /*size*/) {
  constexpr int launches = 500;
  const CardMemory memory(card, Memory::managed, block);
  card.fill(memory.data(), block, 1);
  const auto current = card.make_current();
  card.launch_nothing();
  card.synchronize();
  const Stopwatch watch;
  for (int i = 0; i < launches; ++i) card.launch_nothing();
  const double each = watch.microseconds() / launches;
  card.synchronize();
  return each;
}

// A word that kernels spin on, in memory that both sides use.
class Word {
 public:
  explicit Word(const Card& card) : memory_(card, Memory::pinned, 4096) { set(0); }
  void set(std::uint32_t value) {
    std::atomic_ref(*reinterpret_cast<std::uint32_t*>(memory_.data())) = value;
  }
  [[nodiscard]] std::uint32_t* get() const {
    return reinterpret_cast<std::uint32_t*>(memory_.data());
  }

 private:
  const CardMemory memory_;
};

// The second time, beside a kernel that has nothing to do with it.
double write_beside_kernel(const Card& card, std::size_t size) {
  const std::size_t part = std::min(size, std::size_t{64} << 20);
  const CardMemory memory(card, Memory::managed, part);
  double time = 0;
  for (int turn = 0; turn < 2; ++turn) {
    card.fill(memory.data(), part, 1);
    Word word(card);
    sluice_soft_spin arguments{word.get(), 1};
    std::uint64_t items = 1;
    void* all[] = {&arguments, &items};
    card.launch(card.kernel("spin"), all, items);
    time = milliseconds([&] { write_on_host(memory.data(), part); });
    word.set(1);
    card.synchronize();
  }
  return time;
}

// A kernel stores a flag, and waits for one of the host's.
double flag_turn(const Card& card, std::size_t /*size*/) {
  constexpr std::uint32_t turns = 10;
  const CardMemory flags(card, Memory::managed, 8192);
  auto* const here = reinterpret_cast<std::uint32_t*>(flags.data());
  auto* const there = reinterpret_cast<std::uint32_t*>(flags.data() + 4096);
  volatile std::uint32_t& seen_here = *here;
  volatile std::uint32_t& set_there = *there;
  set_there = 0;
  const Stopwatch watch;
  for (std::uint32_t turn = 1; turn <= turns; ++turn) {
    seen_here = 0;
    sluice_soft_meet arguments{here, there, turn};
    std::uint64_t items = 1;
    void* all[] = {&arguments, &items};
    card.launch(card.kernel("meet"), all, items);
    while (seen_here == 0) {
    }
    set_there = turn;
    card.synchronize();
  }
  return watch.microseconds() / turns;
}

}  // namespace

const std::vector<Figure>& figures() {
  static const std::vector<Figure> all{
      {"first_touch", "ms", first_touch, 0.1},
      {"fresh_prefetch", "ms", fresh_prefetch, 1.1},
      {"dense_read", "ms", dense_read, 1 / 6.5},
      {"sparse_read", "ms", sparse_read, 1 / 6.0},
      {"first_kernel", "ms", first_kernel, 1 / 3.5},
      {"sparse_kernel", "ms", sparse_kernel, 1},
      {"copy_on_host", "ms", copy_on_host, 1 / 3.0},
      {"copy_to_device", "ms", copy_to_device, 1 / 3.0},
      {"copy_from_device", "ms", copy_from_device, 1 / 3.0},
      {"idle_launch", "us", idle_launch, 1.1},
      {"write_beside_kernel", "ms", write_beside_kernel, 1},
      {"flag_turn", "us", flag_turn, 1},
  };
  return all;
}

}  // namespace sluice::tool::bench
