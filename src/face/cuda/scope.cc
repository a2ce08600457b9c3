// A scope costs what a launch of the engine's costs, which looks at every live range: safety never
// rests on what a launch names.
//
// The engine watches streams of primary contexts. Work in a stream of another context is waited for
// in the call; what it touches is right, and it is slow.
#include "face/cuda/scope.hpp"

#include "face/cuda/wrapper.hpp"
#include "os/uncancelled.hpp"

namespace sluice::cuda {
namespace {

using IsCapturing = CUresult(CUstream, int*);
using GetDevice = CUresult(CUdevice*);
using Retain = CUresult(CUcontext*, CUdevice);
using Release = CUresult(CUdevice);
using GetCurrent = CUresult(CUcontext*);
using Synchronize = CUresult(CUstream);

template <typename Function>
Function* entry(const char* name) noexcept {
  return reinterpret_cast<Function*>(find_real(name));
}

bool is_capturing(CUstream stream) noexcept {
  static auto* const ask = entry<IsCapturing>("cuStreamIsCapturing");
  int status = 0;
  return ask != nullptr && ask(stream, &status) == success && status != 0;
}

// The GPU of the current context; -1: there is none.
int current_gpu() noexcept {
  static auto* const ask = entry<GetDevice>("cuCtxGetDevice");
  CUdevice gpu = -1;
  return ask != nullptr && ask(&gpu) == success ? gpu : -1;
}

bool is_primary(int gpu) noexcept {
  static auto* const current = entry<GetCurrent>("cuCtxGetCurrent");
  static auto* const retain = entry<Retain>("cuDevicePrimaryCtxRetain");
  static auto* const release = entry<Release>("cuDevicePrimaryCtxRelease_v2");
  CUcontext now = nullptr;
  CUcontext primary = nullptr;
  if (current(&now) != success || retain(&primary, gpu) != success) return false;
  (void)release(gpu);
  return now == primary;
}

CUresult synchronize(CUstream stream) noexcept {
  static auto* const wait = entry<Synchronize>("cuStreamSynchronize");
  return wait(stream);
}

}  // namespace

Scope::Scope(CUstream stream, const Uses& uses) noexcept : stream_(stream) {
  const int gpu = current_gpu();
  // The driver itself refuses work without a context.
  if (gpu < 0 || is_capturing(stream)) return;
  const os::Uncancelled whole_call;
  waits_ = !is_primary(gpu);
  engine::LaunchRequest request;
  request.device = gpu;
  request.uses = {uses.parts.begin(), uses.parts.size()};
  request.every_shared_range = uses.everything;
  request.external = device::ExternalQueue{waits_ ? 0 : reinterpret_cast<std::uintptr_t>(stream)};
  const auto begun = ManagedSpace::get().engine().launch(request);
  if (!begun) {
    begun_ = code_of(begun.error());
    return;
  }
  fence_ = *begun;
  is_open_ = true;
  if (!waits_) return;
  // The other context's stream does not see what the engine's streams wait for.
  (void)synchronize(nullptr);
}

CUresult Scope::end(CUresult answer) noexcept {
  if (!is_open_) return answer;
  const os::Uncancelled whole_call;
  const std::uintptr_t mark = waits_ ? 0 : reinterpret_cast<std::uintptr_t>(stream_);
  if (waits_ && answer == success) answer = synchronize(stream_);
  const auto ended = ManagedSpace::get().engine().submitted(fence_, {mark});
  return answer == success && !ended ? code_of(ended.error()) : answer;
}

}  // namespace sluice::cuda
