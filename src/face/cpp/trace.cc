// Trace: a handle on the engine's observer.
#include "sluice/trace.hpp"

#include "face/cpp/inside.hpp"
#include "observe/observe.hpp"
#include "observe/print.hpp"
#include "os/uncancelled.hpp"

namespace sluice {

Trace::Trace(std::shared_ptr<engine::Engine> engine) noexcept : engine_(std::move(engine)) {}

Result<void> Trace::start(std::size_t capacity) const {
  const os::Uncancelled whole_call;
  if (engine_->inherited())
    return fail(ErrorCode::unsupported, "a forked child has no part in its parent's trace");
  return engine_->observer().start(capacity);
}

void Trace::stop() const noexcept { engine_->observer().stop(); }

bool Trace::running() const noexcept { return engine_->observer().recording(); }

std::vector<Event> Trace::events() const {
  const os::Uncancelled whole_call;
  return engine_->inherited() ? std::vector<Event>() : engine_->observer().events();
}

std::uint64_t Trace::overwritten() const noexcept {
  return engine_->inherited() ? 0 : engine_->observer().overwritten();
}

const char* Trace::name(EventKind kind) noexcept { return observe::name(kind); }
const char* Trace::name(Cause cause) noexcept { return observe::name(cause); }

std::string Trace::print(std::span<const Event> events, TraceFormat format) {
  return observe::print(events, format);
}

}  // namespace sluice
