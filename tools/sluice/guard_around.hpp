// The guard around a program that this process becomes: docs/signals.md.
#pragma once

namespace sluice::tool {

// True if this process runs under the guard.
[[nodiscard]] bool guard_is_loaded() noexcept;

// True if the next exec will load it already, as after put_guard_around().
[[nodiscard]] bool guard_is_asked_for();

// Makes the next exec load it before everything else. CannotRun if it is in no folder beside the
// tool.
void put_guard_around();

// Prepends a value to a list in the environment.
void put_before(const char* name, const char* value);

}  // namespace sluice::tool
