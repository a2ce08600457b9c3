// The order of eviction: several orders, each simulated in a ghost list beside the real contents;
// the one with the fewest misses evicts.
//
// Why two: by last use, the oldest block goes. That is right where a program moves on (a new phase,
// neighbours of recent blocks), and worst where it cycles through more than fits: every block
// leaves just before it is needed, and a scan evicts blocks that are used at every step. By reuse,
// the block that comes back after the longest time goes: a scan evicts the scan. That is right for
// cycles, and bad where the past predicts nothing: the old phase evicts the new one. No rule known
// to us predicts which it will be, so both are simulated. A ghost list is what the device would
// hold had its order alone chosen; when a launch uses a block that a ghost list lacks, that order
// would have missed it. Measured as bytes moved over the least that any order can move (`sluice
// bench pressure`): docs/eviction.md.
//
// Cost: nothing for a launch that finds everything there, beyond two numbers that it stores. look()
// and choose() are linear in the blocks given and logarithmic for each that leaves a ghost list or
// the device; they run when something must be evicted anyway. What it does not do: see every single
// use. Between two calls of look() a block used often counts as used once; nothing was evicted
// meanwhile, so the order in force was right. It also ignores that some blocks are cheaper to
// evict, having copies elsewhere.
#include "plan/eviction_order.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

#include "plan/first_until.hpp"

namespace sluice::plan {
namespace {

// All orders' misses are halved whenever they exceed this many times the capacity: the past that
// counts is a few turnovers of the device's memory, however large that is.
constexpr std::size_t memory = 4;

constexpr std::uint8_t bit(std::size_t order) noexcept {
  return static_cast<std::uint8_t>(1U << order);
}

struct Held {
  Evictable* block;
  std::size_t size;
};

// Order::reuse.
bool comes_back_later(const Usage& a, const Usage& b, std::uint64_t now) noexcept {
  const auto key = [now](const Usage& usage) {
    const std::uint64_t age = now - std::min(now, usage.last);
    // These are in the middle of a use: they go when there is nothing else, the oldest first.
    if (age < Usage::one_use) return std::tuple(1, usage.last, std::uint64_t{0});
    // A block used once may never be used again. A block unused for twice its distance has changed
    // its pattern.
    const std::uint64_t longest =
        usage.distance == 0 ? ~std::uint64_t{0} : std::max(usage.distance, age / 2);
    // Among equals the newest goes: the others will then be there when their turn comes.
    return std::tuple(0, ~longest, ~usage.last);
  };
  return key(a) < key(b);
}

// Takes blocks out of the ghost list that its order would have evicted.
void shorten(std::span<Evictable> blocks, std::size_t order, std::size_t capacity,
             std::uint64_t now) {
  std::vector<Held> held;
  std::size_t bytes = 0;
  for (Evictable& each : blocks) {
    if ((each.ghost_lists & bit(order)) == 0) continue;
    held.push_back({&each, each.size});
    bytes += each.size;
  }
  if (bytes <= capacity) return;
  const auto before = [&](const Held& a, const Held& b) {
    if (goes_before(orders[order], a.block->usage, b.block->usage, now)) return true;
    return !goes_before(orders[order], b.block->usage, a.block->usage, now) &&
           a.block->index < b.block->index;
  };
  for (const Held& each : first_until(std::span(held), bytes - capacity, before))
    each.block->ghost_lists &= static_cast<std::uint8_t>(~bit(order));
}

}  // namespace

Usage together(const Usage& a, const Usage& b) noexcept {
  const auto& [newer, older] = a.last >= b.last ? std::tie(a, b) : std::tie(b, a);
  if (older.last == 0) return newer;
  const auto shorter = [](std::uint64_t x, std::uint64_t y) {
    return x == 0 || y == 0 ? std::max(x, y) : std::min(x, y);
  };
  const std::uint64_t apart = newer.last - older.last;
  return {newer.last, shorter(newer.distance, apart > Usage::one_use ? apart : older.distance)};
}

const char* to_string(Order order) noexcept {
  switch (order) {
    case Order::last_use:
      return "last use";
    case Order::reuse:
      return "reuse";
  }
  return "?";
}

bool goes_before(Order order, const Usage& a, const Usage& b, std::uint64_t now) noexcept {
  switch (order) {
    case Order::last_use:
      return a.last < b.last;
    case Order::reuse:
      return comes_back_later(a, b, now);
  }
  return false;
}

Order EvictionOrder::best() const noexcept {
  return orders[static_cast<std::size_t>(std::ranges::min_element(missed_) - missed_.begin())];
}

void EvictionOrder::look(std::span<Evictable> blocks, std::size_t capacity, std::uint64_t now) {
  for (Evictable& each : blocks) {
    if (!each.resident || each.usage.last <= now_) continue;
    for (std::size_t order = 0; order < orders.size(); ++order)
      if ((each.ghost_lists & bit(order)) == 0) {
        missed_[order] += each.size;
        each.ghost_lists |= bit(order);
      }
  }
  now_ = now;
  for (std::size_t order = 0; order < orders.size(); ++order) shorten(blocks, order, capacity, now);
  while (std::accumulate(missed_.begin(), missed_.end(), std::size_t{0}) > memory * capacity)
    for (std::size_t& bytes : missed_) bytes /= 2;
}

std::span<Evictable> EvictionOrder::choose(std::span<Evictable> resident, std::size_t need) const {
  const Order order = best();
  const auto own = bit(static_cast<std::size_t>(order));
  const auto before = [&](const Evictable& a, const Evictable& b) {
    // Prefer blocks that the order evicted long ago, while another one chose.
    if ((a.ghost_lists & own) != (b.ghost_lists & own)) return (a.ghost_lists & own) == 0;
    if (goes_before(order, a.usage, b.usage, now_)) return true;
    return !goes_before(order, b.usage, a.usage, now_) && a.index < b.index;
  };
  return first_until(resident, need, before);
}

std::string to_string(const EvictionOrder& order) {
  std::string text = to_string(order.best());
  for (std::size_t i = 0; i < orders.size(); ++i)
    text += std::string(i == 0 ? " (missed by " : ", by ") + to_string(orders[i]) + ": " +
            std::to_string(order.missed_[i]);
  return text + ")";
}

}  // namespace sluice::plan
