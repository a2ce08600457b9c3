// Streams: the sections of all streams of the program, by handle.
#pragma once

#include <atomic>
#include <deque>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "device/cuda/driver.hpp"
#include "face/cuda/managed.hpp"
#include "face/cuda/recording.hpp"
#include "face/cuda/stream_section.hpp"

namespace sluice::cuda {

// The driver's own entries, once managed memory is open.
[[nodiscard]] const device::cuda::Driver& driver() noexcept;
// The context of a GPU that the engine works in.
[[nodiscard]] CUcontext primary_of(int gpu) noexcept;

// One for the process, never destroyed. Thread-safe.
class Streams {
 public:
  [[nodiscard]] static Streams& get();

  // Null: the driver takes no work for it, and says why.
  [[nodiscard]] StreamSection* of(CUstream stream) noexcept;
  // The stream ends, or all streams of a context do.
  void forget(CUstream stream) noexcept;
  void forget_all_of(CUcontext context) noexcept;

  void end_all() noexcept;
  // All sections of a GPU are in use: those that are open end, and are free when their work is
  // done.
  void make_room() noexcept;
  // Those whose streams hold no work.
  void end_idle() noexcept;
  // The section of a stream ends, if it is open, in front of work that may wait for others; and
  // those of default streams, which would come behind that work.
  void end_before_wait(CUstream stream) noexcept;

  // Waits by a call of the driver's. The sections of which `of_wait` is true have ended then, if
  // nothing came into them meanwhile and they `are_idle`.
  template <typename Call, typename OfWait>
  CUresult wait(const Call& call, const OfWait& of_wait) noexcept {
    std::vector<Seen> seen = look(of_wait);
    const CUresult answer = call();
    if (answer == success)
      for (const Seen& each : seen) each.section->end_as_complete(each.entries);
    ManagedSpace::get().engine().await_visit();
    return answer;
  }
  // The same for a wait that says nothing of whole streams.
  template <typename Call>
  CUresult wait_for_some(const Call& call) noexcept {
    const CUresult answer = call();
    if (answer == success) end_idle();
    ManagedSpace::get().engine().await_visit();
    return answer;
  }

  // The program has made a context besides the GPUs' primary ones.
  void note_other_context() noexcept { other_contexts_ = true; }
  // The current context, where default streams of several are possible; otherwise null.
  [[nodiscard]] CUcontext default_context() const noexcept;

 private:
  struct Seen {
    StreamSection* section;
    std::uint64_t entries;
  };
  struct Known {
    CUcontext context;  // null: the only one there is
    CUstream stream;
    StreamSection* section;
  };
  class OfThread;

  Streams() = default;
  [[nodiscard]] bool has_several_contexts() const noexcept;
  [[nodiscard]] StreamSection* find(CUcontext context, CUstream stream) noexcept;
  [[nodiscard]] StreamSection* find_own(CUcontext context) noexcept;
  [[nodiscard]] StreamSection* make(CUcontext context, CUstream stream) noexcept;
  template <typename OfWait>
  [[nodiscard]] std::vector<Seen> look(const OfWait& of_wait) noexcept {
    std::vector<Seen> seen;
    const MutexLock lock(mutex_);
    for (StreamSection& section : sections_)
      if (section.is_open() && of_wait(section)) seen.push_back({&section, section.entries()});
    return seen;
  }

  std::atomic<bool> other_contexts_{false};
  std::atomic<std::uint64_t> epoch_{1};  // of what threads remember
  RankedMutex mutex_{LockRank::objects, "CUDA streams"};
  std::deque<StreamSection> sections_ SLUICE_GUARDED_BY(mutex_);  // none is ever destroyed
  std::vector<Known> known_ SLUICE_GUARDED_BY(mutex_);
  std::vector<Known> left_ SLUICE_GUARDED_BY(mutex_);  // of threads that have ended
};

// Work that may wait for the host, or for another stream, comes into a stream.
inline void before_wait_in(CUstream stream) noexcept {
  if (ManagedSpace::get().is_open() && !is_recording(stream))
    Streams::get().end_before_wait(stream);
}

}  // namespace sluice::cuda
