// Events as text: lines for people, JSON lines for scripts, one JSON document for Perfetto.
#pragma once

#include <span>
#include <string>

#include "sluice/trace.hpp"

namespace sluice::observe {

// "CpuFault", ...; "Unknown" for a value that is none.
[[nodiscard]] const char* name(EventKind kind) noexcept;
// "host access", ...; empty for none.
[[nodiscard]] const char* name(Cause cause) noexcept;
[[nodiscard]] std::string print(std::span<const Event> events, TraceFormat format);

}  // namespace sluice::observe
