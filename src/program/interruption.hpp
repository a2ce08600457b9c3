// Interruption: a request to end a stress run or a measurement now, from a terminal (SIGINT), a
// terminal that closes (SIGHUP), or a batch system (SIGTERM). The run then ends its round and
// reports its results so far. A second signal ends the process at once.
#pragma once

namespace sluice::program {

void watch_for_interruption() noexcept;

// The signal that asked for it; 0: none did.
[[nodiscard]] int interruption() noexcept;

// Ends the process by that signal, as it would have ended without the watch. Output must have been
// written.
[[noreturn]] void end_by(int signal) noexcept;

}  // namespace sluice::program
