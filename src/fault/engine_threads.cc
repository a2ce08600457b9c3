// An open-addressed set of thread ids. A look-up usually reads one slot; there is no lock to wait
// for in a handler.
//
// Up to 512 engine threads are known; later ones are simply not recognised, which loses only a
// diagnosis.
#include "fault/engine_threads.hpp"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace sluice::fault {
namespace {

constexpr std::uint32_t slot_count = 512;
constexpr std::int32_t never_used = 0;
constexpr std::int32_t left = -1;  // used before: a search goes on past it

constinit std::array<std::atomic<std::int32_t>, slot_count> slots{};

std::atomic<std::int32_t>& probe(std::int32_t thread, std::uint32_t step) noexcept {
  return slots[(static_cast<std::uint32_t>(thread) + step) % slot_count];
}

std::atomic<std::int32_t>* enter(std::int32_t thread) noexcept {
  for (std::uint32_t step = 0; step < slot_count; ++step) {
    std::atomic<std::int32_t>& slot = probe(thread, step);
    std::int32_t seen = slot.load(std::memory_order_relaxed);
    if ((seen == never_used || seen == left) && slot.compare_exchange_strong(seen, thread))
      return &slot;
  }
  return nullptr;
}

// Handlers read it: it lies in the thread's first block of storage, which needs no allocation, even
// if the library was opened late.
[[gnu::tls_model("initial-exec")]] constinit thread_local bool marked = false;

void leave(void* slot) noexcept {
  static_cast<std::atomic<std::int32_t>*>(slot)->store(left, std::memory_order_relaxed);
}

// The key's destructor runs when the thread ends: its id may be given to a thread of the
// application. A thread_local object with a destructor would do the same, but glibc ends the
// program when it has no memory to note that destructor.
struct Membership {
  pthread_key_t key{};
  const bool exists = ::pthread_key_create(&key, leave) == 0;
};

}  // namespace

void mark_engine_thread() noexcept {
  static const Membership membership;
  marked = true;
  if (!membership.exists || ::pthread_getspecific(membership.key) != nullptr) return;
  std::atomic<std::int32_t>* const slot = enter(::gettid());
  if (slot != nullptr && ::pthread_setspecific(membership.key, slot) != 0) leave(slot);
}

bool calling_engine_thread() noexcept { return marked; }

bool is_engine_thread(std::int32_t thread) noexcept {
  if (thread <= 0) return false;
  for (std::uint32_t step = 0; step < slot_count; ++step) {
    const std::int32_t seen = probe(thread, step).load(std::memory_order_relaxed);
    if (seen == thread) return true;
    if (seen == never_used) return false;
  }
  return false;
}

}  // namespace sluice::fault
