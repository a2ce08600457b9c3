// report: one line on stderr, from threads that must not use stdio.
//
// A program may hold stderr's lock while it faults on managed memory; a thread of the engine that
// wanted that lock would wait for itself. So lines are formatted on the stack and written with one
// system call.
#pragma once

namespace sluice::os {

// Prefixes "sluice: " and ends the line. At most 512 bytes; longer lines are cut.
[[gnu::format(printf, 1, 2)]] void report(const char* format, ...) noexcept;

}  // namespace sluice::os
