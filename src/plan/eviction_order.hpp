// EvictionOrder: which blocks leave a device first when its memory is short.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice::plan {

// Launches that used a block or range. Launches are numbered from 1.
struct Usage {
  // Launches that follow each other this closely count as one use: programs run several kernels in
  // a row over the same data.
  static constexpr std::uint64_t one_use = 4;

  std::uint64_t last = 0;  // number of the last launch; 0: none
  // In launches, between the last two uses; 0: it was used once at most.
  std::uint64_t distance = 0;

  // The usage after one more launch. Launches may be noted more than once, and come in order.
  [[nodiscard]] Usage after(std::uint64_t launch) const noexcept {
    const bool again = last != 0 && launch - last > one_use;
    return {launch, again ? launch - last : distance};
  }
};
// Combines the usage of a part named by itself with that of the whole.
[[nodiscard]] Usage together(const Usage& a, const Usage& b) noexcept;
// The usage of a prefetched block, when `launch` was the last. The block stays for its first use.
[[nodiscard]] constexpr Usage awaited(std::uint64_t launch) noexcept { return {launch, 1}; }

enum class Order : std::uint8_t {
  last_use,  // the least recently used goes first
  reuse,     // the one with the longest reuse distance goes first
};
// In the order of the enumerators. Of two that have missed as much, the first is in force.
constexpr std::array orders{Order::last_use, Order::reuse};
[[nodiscard]] const char* to_string(Order order) noexcept;

// True if `a` goes before `b`, which differ. `now`: number of the last launch.
[[nodiscard]] bool goes_before(Order order, const Usage& a, const Usage& b,
                               std::uint64_t now) noexcept;

// A block that is on the device, or would be by one of the orders.
struct Evictable {
  std::size_t index = 0;  // the caller's; in the order of addresses
  std::size_t size = 0;   // bytes that it takes on the device
  Usage usage{};
  bool resident = false;  // it is on the device
  // Bit n: in the ghost list of orders[n]: it would be there had that order alone chosen. The
  // caller keeps it from call to call.
  std::uint8_t ghost_lists = 0;
};
static_assert(orders.size() <= 8, "one bit of ghost_lists for each order");

// The state of one device. Not thread-safe.
class EvictionOrder {
 public:
  // Updates the ghost lists with the uses by launches since the last call. `capacity`: bytes that
  // the blocks may take together; `now`: number of the last launch.
  void look(std::span<Evictable> blocks, std::size_t capacity, std::uint64_t now);
  // True if anything has had to be evicted.
  [[nodiscard]] bool was_needed() const noexcept { return missed_ != decltype(missed_){}; }
  // The order that would have missed the least recently.
  [[nodiscard]] Order best() const noexcept;
  // The blocks to evict, the first to go first, until `need` bytes are free; empty if all together
  // are too few. Reorders `resident`.
  [[nodiscard]] std::span<Evictable> choose(std::span<Evictable> resident, std::size_t need) const;

  friend std::string to_string(const EvictionOrder& order);

 private:
  std::array<std::size_t, orders.size()> missed_{};  // bytes; older ones count less
  std::uint64_t now_ = 0;
};

}  // namespace sluice::plan
