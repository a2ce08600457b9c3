// in_scope(): a call of the driver's that puts work into a stream, which may touch managed memory.
//
//   return in_scope(stream, everything, [&] { return SLUICE_REAL(cuLaunchKernel)(...); });
//
// The work comes behind the copies that it needs, and host accesses wait for it. Work in a stream
// that records (stream capture) runs later, in the scope of its graph's launch. Streams of a GPU
// are not put in order: the program does that.
#pragma once

#include <initializer_list>

#include "engine/requests.hpp"
#include "face/cuda/driver_types.hpp"
#include "face/cuda/managed.hpp"
#include "face/cuda/recording.hpp"
#include "face/cuda/streams.hpp"

namespace sluice::cuda {

// The memory that the work may touch: parts of managed memory, or all of it.
struct Uses {
  bool everything = true;
  std::initializer_list<engine::Use> parts{};
};

// A scope that names what it touches.
class Scope {
 public:
  Scope(StreamSection& section, const Uses& uses) noexcept;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // success, or why the work must not be started.
  [[nodiscard]] CUresult begun() const noexcept { return begun_; }
  // The work is in the stream, or was refused.
  void end() noexcept;

 private:
  StreamSection& section_;
  CUresult begun_ = success;
  device::Fence fence_;
};

template <typename Call>
CUresult in_scope(CUstream stream, const Uses& uses, const Call& call) {
  if (!ManagedSpace::get().is_open() || is_recording(stream)) return call();
  StreamSection* const section = Streams::get().of(stream);
  if (section == nullptr) return call();
  if (uses.everything) {
    if (const CUresult error = section->enter(); error != success) return error;
    const CUresult answer = call();
    section->leave();
    return answer;
  }
  Scope scope(*section, uses);
  if (scope.begun() != success) return scope.begun();
  const CUresult answer = call();
  scope.end();
  return answer;
}

}  // namespace sluice::cuda
