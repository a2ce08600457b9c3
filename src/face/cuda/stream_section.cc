// The section's state is one word, so that a launch enters and leaves by one atomic operation each,
// and a thread that asks for the fence takes no lock: it may hold some of the engine's.
//
// What it does not do: learn that a stream is idle. Calls of the program's that wait for it tell.
#include "face/cuda/stream_section.hpp"

#include <sched.h>

#include "face/cuda/managed.hpp"
#include "face/cuda/streams.hpp"
#include "os/uncancelled.hpp"

namespace sluice::cuda {

using device::cuda::CurrentContext;

// --- launches ------------------------------------------------------------------------------------

bool StreamSection::join() noexcept {
  std::uint64_t now = state_.load(std::memory_order_relaxed);
  do {
    if ((now & flags) != open) return false;
  } while (!state_.compare_exchange_weak(now, now + inside + entry, std::memory_order_acquire,
                                         std::memory_order_relaxed));
  if (version_.load(std::memory_order_relaxed) == ManagedSpace::get().version()) return true;
  leave();
  return false;
}

CUresult StreamSection::enter() noexcept {
  if (join()) return success;
  const os::Uncancelled whole_call;
  const MutexLock lock(mutex_);
  if (join()) return success;
  end();
  return begin();
}

CUresult StreamSection::begin() noexcept {
  if (const CUresult error = prepare_mark(); error != success) return error;
  ManagedSpace& managed = ManagedSpace::get();
  // Memory that comes to be after this makes the next launch begin anew.
  version_.store(managed.version(), std::memory_order_relaxed);
  engine::LaunchRequest request;
  request.device = gpu_;
  request.every_shared_range = true;
  request.external = device::ExternalQueue{0, true, this};
  while (true) {
    const auto begun = managed.engine().launch(request);
    if (begun) {
      fence_ = *begun;
      state_.store((state_.load(std::memory_order_relaxed) & ~(flags | all_inside)) + entry +
                       (open | inside),
                   std::memory_order_release);
      return success;
    }
    if (begun.error().code() != ErrorCode::busy) return code_of(begun.error());
    Streams::get().make_room();
  }
}

CUresult StreamSection::prepare_mark() noexcept {
  if (mark_ == Mark::word || event_ != nullptr) return success;
  const MutexLock lock(mark_mutex_);
  if (event_ != nullptr) return success;
  device::cuda::CUevent event = nullptr;
  CUresult error = success;
  {
    const CurrentContext current(driver(), context_);
    error = driver().event_create(&event, device::cuda::event_without_time);
  }
  const CurrentContext current(driver(), primary_of(gpu_));
  if (error == success)
    error = driver().stream_create(&helper_, device::cuda::stream_non_blocking, 0);
  if (error == success) event_ = event;
  return error;
}

void StreamSection::leave() noexcept {
  if (mark_ == Mark::latest_event) record();
  const std::uint64_t now = state_.fetch_sub(inside, std::memory_order_acq_rel) - inside;
  if ((now & flags) == (open | wanted) && (now & all_inside) == 0) end_soon();
}

// --- its end -------------------------------------------------------------------------------------

void StreamSection::end_soon() noexcept {
  std::uint64_t now = state_.load(std::memory_order_acquire);
  while (true) {
    if ((now & open) == 0) return;
    const bool is_empty = (now & all_inside) == 0;
    const std::uint64_t next = (now & ~flags) | (is_empty ? ending : open | wanted);
    if (!state_.compare_exchange_weak(now, next, std::memory_order_acq_rel)) continue;
    if (is_empty) end_now();
    return;
  }
}

void StreamSection::end() noexcept {
  while (is_open()) {
    end_soon();
    if (is_open()) ::sched_yield();
  }
}

void StreamSection::end_as_complete(std::uint64_t entries) noexcept {
  if ((entries & (flags | all_inside)) != open) return;
  const std::uint64_t closing = (entries & ~flags) | ending;
  if (!state_.compare_exchange_strong(entries, closing, std::memory_order_acq_rel)) return;
  const os::Uncancelled whole_call;
  ManagedSpace::get().engine().nothing_submitted(fence_);
  state_.fetch_and(~flags, std::memory_order_release);
}

void StreamSection::end_now() noexcept {
  const os::Uncancelled whole_call;
  complete(fence_);
  state_.fetch_and(~flags, std::memory_order_release);
}

void StreamSection::record() const noexcept {
  // Without it the context's work is waited for: nothing else tells when this stream's ends.
  if (driver().event_record(event_, stream_) != success) (void)driver().stream_synchronize(stream_);
}

void StreamSection::complete_with_stream(device::Fence fence) noexcept {
  if (mark_ == Mark::latest_event) record();
  complete(fence);
}

// A failure is of the GPU, which is lost then, and tells so by itself.
void StreamSection::complete(device::Fence fence) noexcept {
  CUstream mark = stream_;
  if (mark_ != Mark::word) {
    if (mark_ == Mark::event) {
      const CurrentContext current(driver(), context_);
      record();
    }
    const CurrentContext current(driver(), primary_of(gpu_));
    if (driver().stream_wait(helper_, event_, 0) != success)
      while (driver().event_query(event_) == device::cuda::error_not_ready) ::sched_yield();
    mark = helper_;
  }
  (void)ManagedSpace::get().engine().submitted(fence, {reinterpret_cast<std::uintptr_t>(mark)});
}

bool StreamSection::is_idle() const noexcept {
  if (mark_ == Mark::latest_event) return driver().event_query(event_) == success;
  const CurrentContext current(driver(), context_);
  return driver().stream_query(stream_) == success;
}

}  // namespace sluice::cuda
