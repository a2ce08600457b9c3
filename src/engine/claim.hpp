// Claim: the right to change one block, held across device waits.
//
// A mutex may not be held while a device works, but a block must not change hands in the middle of
// its plan. So a thread that runs a plan claims the block: others wait for the claim, while queries
// still take the block's mutex and see a consistent directory. Several claims are taken in the
// order of addresses, or by trying; that rules out deadlocks.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <utility>

#include "base/thread_annotations.hpp"

namespace sluice::engine {

class SLUICE_CAPABILITY("claim") ClaimWord {
 public:
  [[nodiscard]] bool try_take() noexcept SLUICE_TRY_ACQUIRE(true) {
    std::uint32_t expected = free_word;
    return word_.compare_exchange_strong(expected, held, std::memory_order_acquire);
  }
  void take() noexcept SLUICE_ACQUIRE() {
    if (!try_take()) await();
  }
  void give_back() noexcept SLUICE_RELEASE() {
    const std::uint32_t before = word_.exchange(free_word, std::memory_order_release);
    if (before != held) [[unlikely]]
      tell(before);
  }
  // After try_take() failed: its holder announces when it gives the claim back (contention.hpp).
  // False: it is free by now.
  [[nodiscard]] bool want() noexcept;
  [[nodiscard]] bool is_held() const noexcept {
    return word_.load(std::memory_order_relaxed) != free_word;
  }
  // Tells the compiler that the caller holds it, where it cannot see that: the claim is one of a
  // list, or was passed on.
  void assert_held() const noexcept SLUICE_ASSERT_CAPABILITY(this) { assert(is_held()); }

 private:
  static constexpr std::uint32_t free_word = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t awaited = 2;  // and held: threads sleep until it is free
  static constexpr std::uint32_t wanted = 4;   // and held: a request waits for an announcement

  void await() noexcept;
  void tell(std::uint32_t before) noexcept;

  std::atomic<std::uint32_t> word_{free_word};
};

// Holds a claim for a scope.
class SLUICE_SCOPED_CAPABILITY ScopedClaim {
 public:
  explicit ScopedClaim(ClaimWord& word) noexcept SLUICE_ACQUIRE(word) : word_(word) { word.take(); }
  ~ScopedClaim() SLUICE_RELEASE() { word_.give_back(); }
  ScopedClaim(const ScopedClaim&) = delete;
  ScopedClaim& operator=(const ScopedClaim&) = delete;

 private:
  ClaimWord& word_;
};

// A claim that is passed on, or is one of a list. The compiler does not follow it: its holder says
// so with assert_held().
class Claim {
 public:
  Claim() noexcept = default;
  explicit Claim(ClaimWord& word) noexcept SLUICE_NO_ANALYSIS : word_(&word) { word.take(); }
  static Claim attempt(ClaimWord& word) noexcept SLUICE_NO_ANALYSIS {
    Claim claim;
    if (word.try_take()) claim.word_ = &word;
    return claim;
  }
  Claim(Claim&& other) noexcept : word_(std::exchange(other.word_, nullptr)) {}
  Claim& operator=(Claim&& other) noexcept {
    release();
    word_ = std::exchange(other.word_, nullptr);
    return *this;
  }
  ~Claim() { release(); }

  void release() noexcept SLUICE_NO_ANALYSIS {
    if (word_ != nullptr) std::exchange(word_, nullptr)->give_back();
  }
  explicit operator bool() const noexcept { return word_ != nullptr; }

 private:
  ClaimWord* word_ = nullptr;
};

}  // namespace sluice::engine
