// StreamSection: a stream of the program's, and the section of external work of its launches.
//
// A section may touch all managed memory. It is held open from one launch to the next: while it is
// open no memory leaves the GPU, so a launch that finds it open has nothing to bring and makes no
// call but its own. It ends when a thread asks for its fence, or when something comes into the
// stream that may wait for the host: its end is then in front of that.
//
//   if (const CUresult error = section.enter(); error != success) return error;
//   answer = launch();
//   section.leave();
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ranked_mutex.hpp"
#include "device/external_work.hpp"
#include "device/fence.hpp"
#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// Thread-safe.
class StreamSection final : public device::SectionHolder {
 public:
  // How the work of the stream is seen to be complete.
  enum class Mark : std::uint8_t {
    word,          // any thread can have the stream write one
    event,         // the stream is of a context that is not its GPU's primary one
    latest_event,  // a thread's own stream: only that thread can record, so it does for each launch
  };
  StreamSection(CUcontext context, CUstream stream, int gpu, Mark mark) noexcept
      : context_(context), stream_(stream), gpu_(gpu), mark_(mark) {}
  StreamSection(const StreamSection&) = delete;
  StreamSection& operator=(const StreamSection&) = delete;

  // A launch begins: everything is on the GPU until leave(). success, or why it must not be made.
  [[nodiscard]] CUresult enter() noexcept;
  // Its call has returned.
  void leave() noexcept;

  // As soon as no launch is in it. See SectionHolder.
  void end_soon() noexcept override;
  // Returns when it has ended.
  void end() noexcept;

  // Changes when a launch enters. If the stream was seen to be idle since, and nothing has entered,
  // the section ends without a call of the driver's.
  [[nodiscard]] std::uint64_t entries() const noexcept {
    return state_.load(std::memory_order_acquire);
  }
  void end_as_complete(std::uint64_t entries) noexcept;

  // Other work has a section of its own, which names what it touches. Its fence completes with the
  // work that the stream holds now. First prepare_mark(), before the work.
  [[nodiscard]] CUresult prepare_mark() noexcept;
  void complete_with_stream(device::Fence fence) noexcept;

  [[nodiscard]] CUcontext context() const noexcept { return context_; }
  [[nodiscard]] CUstream stream() const noexcept { return stream_; }
  [[nodiscard]] int gpu() const noexcept { return gpu_; }
  [[nodiscard]] bool is_open() const noexcept { return (entries() & flags) != 0; }
  // True if all work that the stream holds is complete.
  [[nodiscard]] bool is_idle() const noexcept;

 private:
  // The state: flags, how many launches are in it, how many have entered since the beginning.
  static constexpr std::uint64_t open = 1;
  static constexpr std::uint64_t wanted = 2;  // it is to end: no launch enters
  static constexpr std::uint64_t ending = 4;
  static constexpr std::uint64_t flags = 7;
  static constexpr std::uint64_t inside = 8;
  static constexpr std::uint64_t all_inside = 0xffff8;
  static constexpr std::uint64_t entry = 0x100000;

  [[nodiscard]] bool join() noexcept;
  [[nodiscard]] CUresult begin() noexcept SLUICE_REQUIRES(mutex_);
  void end_now() noexcept;
  void complete(device::Fence fence) noexcept;
  void record() const noexcept;

  const CUcontext context_;
  const CUstream stream_;
  const int gpu_;
  const Mark mark_;
  RankedMutex mutex_{LockRank::sections, "CUDA section"};
  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::uint64_t> version_{0};  // of managed memory, when it began
  device::Fence fence_;                    // while it is open
  // Other marks than a word: the event, and a stream that waits for it and writes the word.
  RankedMutex mark_mutex_{LockRank::objects, "CUDA mark"};
  std::atomic<device::cuda::CUevent> event_{nullptr};
  CUstream helper_ = nullptr;
};

}  // namespace sluice::cuda
