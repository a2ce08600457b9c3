// Scope: a call of the driver's that puts work into a stream, which may touch managed memory.
//
//   return in_scope(stream, everything, [&] { return SLUICE_REAL(cuLaunchKernel)(...); });
//
// The work comes behind the copies that it needs, and host accesses wait for it. Work in a stream
// that records (stream capture) runs later, in the scope of its graph's launch.
#pragma once

#include <initializer_list>

#include "engine/requests.hpp"
#include "face/cuda/driver_types.hpp"
#include "face/cuda/managed.hpp"

namespace sluice::cuda {

// The memory that the work may touch: parts of managed memory, or all of it.
struct Uses {
  bool everything = true;
  std::initializer_list<engine::Use> parts{};
};

class Scope {
 public:
  Scope(CUstream stream, const Uses& uses) noexcept;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // success, or why the work must not be started.
  [[nodiscard]] CUresult begun() const noexcept { return begun_; }
  // The work is in the stream, or `answer` says why not. Returns `answer`.
  [[nodiscard]] CUresult end(CUresult answer) noexcept;

 private:
  const CUstream stream_;
  CUresult begun_ = success;
  bool is_open_ = false;
  bool waits_ = false;  // in end(): the engine cannot watch the stream
  device::Fence fence_;
};

template <typename Call>
CUresult in_scope(CUstream stream, const Uses& uses, const Call& call) {
  if (!ManagedSpace::get().is_open()) return call();
  Scope scope(stream, uses);
  if (scope.begun() != success) return scope.begun();
  return scope.end(call());
}

}  // namespace sluice::cuda
