// The ways of a claim that others want, too. See claim.hpp. Cost: a futex call to sleep, and one to
// wake a sleeper.
#include "engine/claim.hpp"

#include "engine/contention.hpp"

namespace sluice::engine {

void ClaimWord::await() noexcept {
  std::uint32_t seen = word_.load(std::memory_order_relaxed);
  while (true) {
    if (seen == free_word) {
      // Others may sleep, too, and the next of them must be woken.
      if (word_.compare_exchange_weak(seen, held | awaited, std::memory_order_acquire)) return;
      continue;
    }
    if ((seen & awaited) == 0 &&
        !word_.compare_exchange_weak(seen, seen | awaited, std::memory_order_relaxed))
      continue;
    word_.wait(seen | awaited, std::memory_order_relaxed);
    seen = word_.load(std::memory_order_relaxed);
  }
}

bool ClaimWord::want() noexcept {
  std::uint32_t seen = word_.load(std::memory_order_relaxed);
  while (seen != free_word && (seen & wanted) == 0 &&
         !word_.compare_exchange_weak(seen, seen | wanted, std::memory_order_relaxed)) {
  }
  return seen != free_word;
}

void ClaimWord::tell(std::uint32_t before) noexcept {
  if ((before & awaited) != 0) word_.notify_one();
  if ((before & wanted) != 0) contention::announce();
}

}  // namespace sluice::engine
