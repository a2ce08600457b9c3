// The per-thread record of held ranks behind RankedMutex, used in checked builds only.
//
// A fixed array, because locks are taken on fault-handler threads, which must not allocate. Two
// locks of one rank may be held only if nothing can take them the other way round; the engine never
// does, so equal ranks abort too.
#include "base/ranked_mutex.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace sluice::detail {
namespace {

struct Held {
  LockRank rank;
  const char* name;
};
thread_local std::array<Held, 8> held_locks;
thread_local std::size_t held_count = 0;

}  // namespace

void lock_taken(LockRank rank, const char* name) noexcept {
  if (held_count != 0 && held_locks[held_count - 1].rank <= rank) {
    std::fprintf(stderr, "sluice: lock order: '%s' (rank %d) taken while holding '%s' (rank %d)\n",
                 name, static_cast<int>(rank), held_locks[held_count - 1].name,
                 static_cast<int>(held_locks[held_count - 1].rank));
    std::abort();
  }
  if (held_count == held_locks.size()) std::abort();
  held_locks[held_count++] = {rank, name};
}

void lock_released(LockRank rank) noexcept {
  for (std::size_t i = held_count; i-- > 0;) {
    if (held_locks[i].rank != rank) continue;
    for (std::size_t j = i + 1; j < held_count; ++j) held_locks[j - 1] = held_locks[j];
    --held_count;
    return;
  }
  std::abort();
}

}  // namespace sluice::detail
