// Scopes on the program's own streams.
#include "sluice/stream_scope.hpp"

#include <utility>

#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {

ScopeRequest::ScopeRequest(std::shared_ptr<engine::Engine> engine, int device,
                           CUstream_st* stream) noexcept
    : engine_(std::move(engine)), device_(device), stream_(stream) {}

ScopeRequest&& ScopeRequest::reads(const void* data, std::size_t size) && {
  uses_.push_back({data, size, Access::read});
  return std::move(*this);
}

ScopeRequest&& ScopeRequest::writes(void* data, std::size_t size) && {
  uses_.push_back({data, size, Access::write});
  return std::move(*this);
}

ScopeRequest&& ScopeRequest::every_shared_range(Access access) && {
  every_shared_ = access;
  return std::move(*this);
}

Result<StreamScope> ScopeRequest::begin() && {
  const os::Uncancelled whole_call;
  std::vector<engine::Use> uses;
  uses.reserve(uses_.size());
  for (const Use& use : uses_) uses.push_back({span_of(use.data, use.size), use.access});
  engine::LaunchRequest request;
  request.device = device_;
  request.uses = uses;
  request.every_shared_range = every_shared_.has_value();
  request.every_shared_access = every_shared_.value_or(Access::write);
  request.external = device::ExternalQueue{reinterpret_cast<std::uintptr_t>(stream_)};
  SLUICE_ASSIGN(begun, engine_->launch(request));
  return Inside::scope(Inside::fence(engine_, begun), stream_);
}

StreamScope::StreamScope(Fence end, CUstream_st* stream) noexcept
    : end_(std::move(end)), stream_(stream) {}

StreamScope::StreamScope(StreamScope&& other) noexcept
    : end_(std::move(other.end_)),
      stream_(other.stream_),
      open_(std::exchange(other.open_, false)) {}

StreamScope::~StreamScope() {
  if (open_) (void)done();
}

Result<Fence> StreamScope::done() {
  const os::Uncancelled whole_call;
  if (std::exchange(open_, false))
    SLUICE_TRY(Inside::engine(end_)->submitted(Inside::fence(end_),
                                               {reinterpret_cast<std::uintptr_t>(stream_)}));
  return end_;
}

ScopeRequest Space::on(CUstream_st* stream, int device) const {
  return Inside::scope_request(engine_, device, stream);
}

}  // namespace sluice
