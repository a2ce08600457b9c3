// Scopes on the program's own streams.
//
// Naming one more part releases everything acquired and acquires it again: nothing was put into the
// stream yet, and waiting for one part while holding another could deadlock two threads. It costs a
// look at the gate when all is in place.
#include "sluice/stream_scope.hpp"

#include <utility>

#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {

StreamScope::StreamScope(std::shared_ptr<engine::Engine> engine, int device,
                         CUstream_st* stream) noexcept
    : engine_(std::move(engine)), device_(device), stream_(stream) {}

StreamScope::StreamScope(StreamScope&& other) noexcept
    : engine_(std::move(other.engine_)),
      device_(other.device_),
      stream_(other.stream_),
      uses_(std::move(other.uses_)),
      every_shared_range_(other.every_shared_range_),
      every_shared_access_(other.every_shared_access_),
      ready_(std::move(other.ready_)),
      fence_(std::move(other.fence_)),
      open_(std::exchange(other.open_, false)) {}

StreamScope::~StreamScope() {
  if (open_) (void)done();
}

StreamScope&& StreamScope::reads(const void* data, std::size_t size) && {
  uses_.push_back({data, size, Access::read});
  acquire();
  return std::move(*this);
}

StreamScope&& StreamScope::writes(void* data, std::size_t size) && {
  uses_.push_back({data, size, Access::write});
  acquire();
  return std::move(*this);
}

StreamScope&& StreamScope::every_shared_range(Access access) && {
  every_shared_range_ = true;
  every_shared_access_ = access;
  acquire();
  return std::move(*this);
}

void StreamScope::acquire() {
  const os::Uncancelled whole_call;
  give_up();
  std::vector<engine::Use> uses;
  uses.reserve(uses_.size());
  for (const Use& use : uses_) uses.push_back({span_of(use.data, use.size), use.access});
  engine::LaunchRequest request;
  request.device = device_;
  request.uses = uses;
  request.every_shared_range = every_shared_range_;
  request.every_shared_access = every_shared_access_;
  request.external = device::ExternalQueue{reinterpret_cast<std::uintptr_t>(stream_)};
  auto begun = engine_->launch(request);
  ready_ = begun ? Result<void>{} : tl::unexpected<Error>(begun.error());
  if (!begun) return;
  fence_ = Inside::fence(engine_, *begun);
  open_ = true;
}

void StreamScope::give_up() noexcept {
  const os::Uncancelled whole_call;
  if (std::exchange(open_, false)) engine_->nothing_submitted(Inside::fence(fence_));
}

Result<Fence> StreamScope::done() {
  const os::Uncancelled whole_call;
  if (!ready_) return tl::unexpected<Error>(ready_.error());
  if (!std::exchange(open_, false)) return fence_;
  SLUICE_TRY(
      engine_->submitted(Inside::fence(fence_), {reinterpret_cast<std::uintptr_t>(stream_)}));
  return fence_;
}

StreamScope Space::on(CUstream_st* stream, int device) const {
  return Inside::scope(engine_, device, stream);
}

}  // namespace sluice
