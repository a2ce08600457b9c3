// The guard around a program that this process becomes: docs/signals.md.
#pragma once

namespace sluice::tool {

// Whether this process runs under the guard.
[[nodiscard]] bool guard_is_loaded() noexcept;

// Whether the next exec is to load it already, as after put_guard_around().
[[nodiscard]] bool guard_is_asked_for();

// Has the next exec load it before everything else. CannotRun if it lies in no folder beside the
// tool.
void put_guard_around();

// Puts a value before what a list in the environment holds.
void put_before(const char* name, const char* value);

}  // namespace sluice::tool
