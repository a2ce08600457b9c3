// FailureLog: a permanent record of the failed commands of one timeline, in order.
//
// A ring's slot holds the outcome of its command until the slot is used again; then the outcome
// moves here, because a fence may be queried much later (a block keeps the fence of the last kernel
// that wrote it). Failures are rare, so the log is searched only for timelines that carry
// Ring::any_failed.
//
// One appender at a time, any number of concurrent readers, no lock, no malloc: it is used on
// fault-handler threads. Memory comes from mmap in chunks of 1600 spans; equal failures in a row
// share a span. When the machine has no memory left, the newest span is stretched over the new
// failure: commands between the two then count as failed as well.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include "device/soft/control_area.hpp"

namespace sluice::device::soft {

class FailureLog {
 public:
  FailureLog() noexcept = default;
  FailureLog(const FailureLog&) = delete;
  FailureLog& operator=(const FailureLog&) = delete;
  ~FailureLog() {
    for (Chunk* chunk = newest_.load(); chunk != nullptr;) {
      Chunk* older = chunk->older;
      munmap(chunk, sizeof(Chunk));
      chunk = older;
    }
  }

  // Values come in ascending order; one out of order is in the log already, or never belonged to a
  // command.
  void append(std::uint64_t value, const Failure& failure) noexcept {
    Chunk* chunk = newest_.load(std::memory_order_relaxed);
    Span* last = chunk == nullptr ? nullptr
                                  : &chunk->spans[chunk->count.load(std::memory_order_relaxed) - 1];
    if (last != nullptr && value <= last->last.load(std::memory_order_relaxed)) return;
    const bool same = last != nullptr && last->last.load(std::memory_order_relaxed) + 1 == value &&
                      last->failure == failure;
    if (!same &&
        (chunk == nullptr || chunk->count.load(std::memory_order_relaxed) == chunk->spans.size())) {
      if (Chunk* fresh = new_chunk()) {
        fresh->older = chunk;
        put(*fresh, 0, value, failure);
        newest_.store(fresh, std::memory_order_release);
        return;
      }
    } else if (!same) {
      put(*chunk, chunk->count.load(std::memory_order_relaxed), value, failure);
      return;
    }
    if (last != nullptr) last->last.store(value, std::memory_order_release);
  }

  // The failure of the command `value`; FailureKind::none if it did not fail.
  [[nodiscard]] Failure find(std::uint64_t value) const noexcept {
    for (const Chunk* chunk = newest_.load(std::memory_order_acquire); chunk != nullptr;
         chunk = chunk->older) {
      const Span* begin = chunk->spans.data();
      const Span* end = begin + chunk->count.load(std::memory_order_acquire);
      if (value < begin->first) continue;
      const Span* span =
          std::upper_bound(begin, end, value,
                           [](std::uint64_t v, const Span& s) { return v < s.first; }) -
          1;
      return value <= span->last.load(std::memory_order_acquire) ? span->failure : Failure{};
    }
    return {};
  }

 private:
  struct Span {
    std::uint64_t first;
    std::atomic<std::uint64_t> last;
    Failure failure;
  };
  struct Chunk {
    Chunk* older = nullptr;
    std::atomic<std::uint32_t> count{0};
    std::array<Span, 1600> spans;
  };

  static void put(Chunk& chunk, std::uint32_t index, std::uint64_t value,
                  const Failure& failure) noexcept {
    chunk.spans[index].first = value;
    chunk.spans[index].last.store(value, std::memory_order_relaxed);
    chunk.spans[index].failure = failure;
    chunk.count.store(index + 1, std::memory_order_release);
  }
  static Chunk* new_chunk() noexcept {
    void* memory =
        mmap(nullptr, sizeof(Chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : new (memory) Chunk;
  }

  std::atomic<Chunk*> newest_{nullptr};
};

}  // namespace sluice::device::soft
