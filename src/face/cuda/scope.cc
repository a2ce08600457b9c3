// A scope of its own costs what a launch of the engine's costs, and a word that the stream writes.
#include "face/cuda/scope.hpp"

#include "os/uncancelled.hpp"

namespace sluice::cuda {

Scope::Scope(StreamSection& section, const Uses& uses) noexcept : section_(section) {
  const os::Uncancelled whole_call;
  begun_ = section.prepare_mark();
  if (begun_ != success) return;
  engine::LaunchRequest request;
  request.device = section.gpu();
  request.uses = {uses.parts.begin(), uses.parts.size()};
  request.external = device::ExternalQueue{.ordered_by_program = true};
  while (true) {
    const auto begun = ManagedSpace::get().engine().launch(request);
    if (begun) {
      fence_ = *begun;
      return;
    }
    begun_ = code_of(begun.error());
    if (begun.error().code() != ErrorCode::busy) return;
    begun_ = success;
    Streams::get().make_room();
  }
}

void Scope::end() noexcept {
  const os::Uncancelled whole_call;
  section_.complete_with_stream(fence_);
}

}  // namespace sluice::cuda
