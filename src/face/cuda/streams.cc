// A thread remembers the stream that it used last, and its own default streams. Default streams
// have no handle of their own: while only one context is possible, they need no call to tell whose
// they are.
//
// What it does not do: forget the sections of streams that ended. They are few, and a thread may be
// asking for one.
#include "face/cuda/streams.hpp"

#include <sched.h>

#include <algorithm>

#include "face/cuda/managed.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

using device::cuda::CurrentContext;

CUstream legacy_stream() noexcept {
  return reinterpret_cast<CUstream>(1);  // NOLINT(performance-no-int-to-ptr)
}
bool is_handle(CUstream stream) noexcept { return reinterpret_cast<std::uintptr_t>(stream) > 2; }

CUcontext current_context() noexcept {
  CUcontext now = nullptr;
  return driver().context_current(&now) == success ? now : nullptr;
}

CUcontext context_of(CUstream stream) noexcept {
  static auto* const ask =
      reinterpret_cast<CUresult (*)(CUstream, CUcontext*)>(find_real("cuStreamGetCtx"));
  CUcontext context = nullptr;
  // That call does not know streams of green contexts, which are used with their context current.
  if (ask == nullptr || ask(stream, &context) != success) return current_context();
  return context;
}

// The GPU of a context; -1: there is none.
int gpu_of(CUcontext context) noexcept {
  static auto* const ask = reinterpret_cast<CUresult (*)(CUdevice*)>(find_real("cuCtxGetDevice"));
  const CurrentContext current(driver(), context);
  CUdevice gpu = -1;
  return ask != nullptr && ask(&gpu) == success ? gpu : -1;
}

}  // namespace

const device::cuda::Driver& driver() noexcept {
  static const device::cuda::Driver* const loaded = *device::cuda::Driver::load();
  return *loaded;
}

CUcontext primary_of(int gpu) noexcept {
  CUcontext primary = nullptr;
  if (driver().context_retain(&primary, gpu) == success) (void)driver().context_release(gpu);
  return primary;
}

bool is_capturing(CUstream stream) noexcept {
  static auto* const ask =
      reinterpret_cast<CUresult (*)(CUstream, int*)>(find_real("cuStreamIsCapturing"));
  int status = 0;
  return ask != nullptr && ask(stream, &status) == success && status != 0;
}

// --- finding -------------------------------------------------------------------------------------

// The thread's own default streams, which another thread with its own takes over when this one has
// ended: no other thread can put anything into them.
class Streams::OfThread {
 public:
  OfThread() = default;
  OfThread(const OfThread&) = delete;
  OfThread& operator=(const OfThread&) = delete;
  ~OfThread() {
    Streams& all = get();
    const MutexLock lock(all.mutex_);
    for (const Known& each : own) all.left_.push_back(each);
  }
  [[nodiscard]] static OfThread& here() {
    thread_local OfThread here;
    return here;
  }

  std::vector<Known> own;
  Known last{};  // used last
  std::uint64_t epoch = 0;
};

Streams& Streams::get() {
  static Streams& all = *new Streams;
  return all;
}

bool Streams::has_several_contexts() const noexcept {
  return other_contexts_.load(std::memory_order_relaxed) ||
         ManagedSpace::get().engine().device_count() > 1;
}

CUcontext Streams::default_context() const noexcept {
  return has_several_contexts() ? current_context() : nullptr;
}

StreamSection* Streams::of(CUstream stream) noexcept {
  if (stream == legacy_stream()) stream = nullptr;
  const bool has_handle = is_handle(stream);
  CUcontext context = nullptr;
  if (!has_handle && has_several_contexts()) {
    context = current_context();
    if (context == nullptr) return nullptr;
  }
  OfThread& here = OfThread::here();
  Known& last = here.last;
  if (last.section != nullptr && last.stream == stream && last.context == context &&
      here.epoch == epoch_.load(std::memory_order_acquire))
    return last.section;
  here.epoch = epoch_.load(std::memory_order_acquire);
  StreamSection* const found =
      stream == per_thread_stream() ? find_own(context) : find(context, stream);
  last = {context, stream, found};
  return found;
}

StreamSection* Streams::find(CUcontext context, CUstream stream) noexcept {
  {
    const MutexLock lock(mutex_);
    for (const Known& known : known_)
      if (known.stream == stream && known.context == context) return known.section;
  }
  StreamSection* const made =
      make(is_handle(stream) ? context_of(stream) : current_context(), stream);
  if (made == nullptr) return nullptr;
  const MutexLock lock(mutex_);
  for (const Known& known : known_)  // another thread was faster
    if (known.stream == stream && known.context == context) return known.section;
  known_.push_back({context, stream, made});
  return made;
}

StreamSection* Streams::find_own(CUcontext context) noexcept {
  std::vector<Known>& own = OfThread::here().own;
  for (const Known& known : own)
    if (known.context == context) return known.section;
  StreamSection* found = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto left = std::find_if(left_.begin(), left_.end(),
                                   [&](const Known& known) { return known.context == context; });
    if (left != left_.end()) {
      found = left->section;
      left_.erase(left);
    }
  }
  if (found != nullptr)
    found->end();  // its event is still the other thread's
  else
    found = make(current_context(), per_thread_stream());
  if (found != nullptr) own.push_back({context, per_thread_stream(), found});
  return found;
}

StreamSection* Streams::make(CUcontext context, CUstream stream) noexcept {
  const int gpu = context != nullptr ? gpu_of(context) : -1;
  if (gpu < 0) return nullptr;
  using Mark = StreamSection::Mark;
  const Mark mark = stream == per_thread_stream() ? Mark::latest_event
                    : context == primary_of(gpu)  ? Mark::word
                                                  : Mark::event;
  const MutexLock lock(mutex_);
  return &sections_.emplace_back(context, stream, gpu, mark);
}

// --- ends ----------------------------------------------------------------------------------------

void Streams::forget(CUstream stream) noexcept {
  StreamSection* ended = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto found = std::find_if(known_.begin(), known_.end(),
                                    [&](const Known& known) { return known.stream == stream; });
    if (!is_handle(stream) || found == known_.end()) return;
    ended = found->section;
    known_.erase(found);
    ++epoch_;
  }
  ended->end();
}

void Streams::forget_all_of(CUcontext context) noexcept {
  end_all();
  const MutexLock lock(mutex_);
  std::erase_if(known_, [&](const Known& known) { return known.section->context() == context; });
  ++epoch_;
}

void Streams::make_room() noexcept {
  {
    const MutexLock lock(mutex_);
    for (StreamSection& section : sections_) section.end_soon();
  }
  ::sched_yield();
}

void Streams::end_all() noexcept {
  for (const Seen& seen : look([](const StreamSection&) { return true; })) seen.section->end();
}

void Streams::end_before_wait(CUstream stream) noexcept {
  const bool ends_all = !is_handle(stream);
  for (const Seen& seen : look([&](const StreamSection& section) {
         return ends_all || section.stream() == stream || !is_handle(section.stream());
       }))
    seen.section->end();
}

void Streams::end_idle() noexcept {
  for (const Seen& seen : look([](const StreamSection&) { return true; }))
    if (seen.section->is_idle()) seen.section->end_as_complete(seen.entries);
}

}  // namespace sluice::cuda
