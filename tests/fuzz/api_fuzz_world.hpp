// The world of the API fuzzer: what its threads have in common, and random choices from it, most of
// them hostile.
//
// Everything here may be stale: handles that another thread destroyed, addresses that it freed,
// fences of a space that is gone. That is what the threads are to pass on. The one thing that they
// must not do is what no C function survives: to pass a pointer to plain memory that is not there,
// or that is smaller than the size beside it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>

#include "sluice.h"

namespace sluice::fuzz {

// Plain memory of a thread, large enough for whatever a call may read or write of it, whole
// structures of every size included.
constexpr std::size_t arena_size = std::size_t{64} << 20;
constexpr std::size_t largest_plain_copy = std::size_t{2} << 20;
constexpr std::size_t largest_range = std::size_t{6} << 20;

struct Lent {
  std::atomic<sluice_lease*> lease{nullptr};
  std::atomic<std::uint64_t> since{0};  // milliseconds
};

struct World {
  static constexpr std::size_t places = 16;
  template <typename T>
  using Slots = std::array<std::atomic<T>, places>;

  std::array<std::atomic<sluice_space*>, 3> spaces{};
  Slots<sluice_queue*> queues{};
  Slots<sluice_pool*> pools{};
  Slots<sluice_mapping*> mappings{};
  std::array<Lent, places> leases{};
  Slots<void*> ranges{};
  Slots<void*>
      // ranges of the first space, which lives as long as the world: never unmapped, though perhaps
      // freed
      home{};
  Slots<void*> pieces{};
  Slots<sluice_fence> fences{};
  Slots<sluice_kernel> kernels{};
  std::atomic<std::uint64_t> calls{0};
  bool hangs = false;  // whether fault plans may let steps hang, which takes time
};

[[nodiscard]] std::uint64_t milliseconds_now() noexcept;

// Random values of one thread. Its plain memory is its own too: two calls that write to the same
// would be a data race of the caller's, and ThreadSanitizer would say so.
class Random {
 public:
  Random(World& world, std::uint64_t seed);
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;
  ~Random();

  std::uint64_t bits() { return engine_(); }
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  World& world() { return world_; }

  // A handle of the kind, live or dead; sometimes one of another kind, or a number.
  const sluice_space* space() { return handle<sluice_space>(world_.spaces[usual()].load()); }
  sluice_queue* queue() { return handle<sluice_queue>(of(world_.queues)); }
  sluice_pool* pool() { return handle<sluice_pool>(of(world_.pools)); }
  sluice_mapping* mapping() { return handle<sluice_mapping>(of(world_.mappings)); }
  sluice_lease* lease() { return handle<sluice_lease>(world_.leases[place()].lease.load()); }
  sluice_fence fence();
  sluice_kernel kernel();

  // Inside, at the end of, or beside a range; or an address of nobody's. Never dereferenced by the
  // fuzzer.
  void* address();
  void* base() { return one_in(4) ? address() : of(world_.ranges); }
  std::size_t size();      // 0, small, borders, huge
  std::size_t count();     // of a list: at most 64 that are there, or hostile
  int device();            // mostly 0 to 2
  std::int64_t timeout();  // short, or one that a call answers with an error
  template <typename T>
  T enumerator(int last) {
    const int number = one_in(12) ? static_cast<int>(bits()) : static_cast<int>(below(last + 1));
    return static_cast<T>(number);
  }
  // Plain memory with nearly all of the arena behind it.
  void* plain() { return arena_ + below(std::size_t{1} << 20); }
  void* arena() { return arena_; }
  const char* text();  // a name, a path, a fault plan; long, empty, or no text at all
  const char* plan();

  std::size_t place() { return below(World::places); }
  std::size_t usual() { return one_in(8) ? below(3) : 0; }
  template <typename T>
  T of(std::array<std::atomic<T>, World::places>& slots) {
    return slots[place()].load();
  }

 private:
  template <typename T>
  T* handle(T* usual) {
    if (!one_in(10)) return usual;
    switch (below(6)) {
      case 0:
        return nullptr;
      case 1:
        return reinterpret_cast<T*>(bits());
      case 2:
        return reinterpret_cast<T*>(of(world_.queues));
      case 3:
        return reinterpret_cast<T*>(of(world_.ranges));
      case 4:
        return reinterpret_cast<T*>(plain());
      default:
        return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(usual) ^ std::uint64_t{1}
                                                                                  << below(64));
    }
  }

  World& world_;
  std::mt19937_64 engine_;
  std::byte* arena_;
};

// Makes one call, mostly a cheap one.
void call(Random& random);
// Opens a space with options that may be hostile; null if they were refused.
[[nodiscard]] sluice_space* open_space(Random& random, bool tame);
// Ends leases that are older than a few milliseconds: host accesses and copies wait for them.
void end_old_leases(World& world, std::uint64_t age);
// Destroys everything; nothing of the world is left. False, with the reason on stderr: a promise is
// broken.
[[nodiscard]] bool tear_down(World& world);
// Kills the process of a device, if there is one.
void kill_a_device(Random& random);

}  // namespace sluice::fuzz
