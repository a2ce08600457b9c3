// per_process(): an object that each process has for itself, such as a list behind a lock.
//
// A thread of the parent may hold the lock at the fork, with the list half changed; that thread
// does not exist in the child. So a forked child begins with a new object, and the inherited one is
// left alone. Why not pthread_atfork with locks taken before the fork: a fork would wait for every
// call in flight, and locks of several folders would have to be taken in one order.
// Cost: three loads. What it does not do: destroy anything, because static objects may still use it
// at exit; or do without memory in a child, which ends there if it has none.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <new>

#include "os/fork_guard.hpp"

namespace sluice::os {

// The one object of this type that the calling process has, made at its first use. Thread-safe.
template <typename T>
[[nodiscard]] T& per_process() noexcept {
  struct OwnedObject {
    const ProcessMark owner;
    T object;
    OwnedObject* inherited;  // stays reachable for leak checkers
  };
  // The first one takes no memory, so that there is nothing to fail.
  alignas(OwnedObject) static std::array<std::byte, sizeof(OwnedObject)> memory;
  static OwnedObject& first = *new (memory.data()) OwnedObject{{}, {}, nullptr};
  static std::atomic<OwnedObject*> current{&first};

  OwnedObject* one = current.load(std::memory_order_acquire);
  if (!one->owner.inherited()) [[likely]]
    return one->object;
  auto* const made = new OwnedObject{{}, {}, one};
  if (current.compare_exchange_strong(one, made, std::memory_order_acq_rel)) return made->object;
  delete made;  // another thread was first
  return one->object;
}

}  // namespace sluice::os
