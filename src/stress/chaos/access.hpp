// Host accesses that may raise SIGSEGV: to pages with their only copy on a device that is gone. A
// stress run under chaos survives them, and then checks that the SIGSEGV was justified.
#pragma once

#include <cstddef>
#include <string>

namespace sluice::stress {

// Before a space is opened, so that in grade signal the engine's handler stands in front of it.
void catch_dying_accesses() noexcept;

// False if the access raised SIGSEGV. `managed` may then hold part of the bytes. Any thread; not in
// a signal handler.
[[nodiscard]] bool load(std::byte* to, const std::byte* managed, std::size_t size) noexcept;
[[nodiscard]] bool store(std::byte* managed, const std::byte* from, std::size_t size) noexcept;

// The signal of this thread's last such access, its address, and the mapping there now: a denied
// page has no rights, and lies in a mapping of its own.
[[nodiscard]] std::string last_death();

}  // namespace sluice::stress
