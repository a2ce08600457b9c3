// The engine's own threads, as fault handlers know them.
//
// A thread of the engine that touches the application view waits for a handler, which may wait for
// that thread: a hang without a trace. So engine threads are marked, and a handler that meets one
// as the faulting thread aborts the process with a message. The check is lock-free and
// async-signal-safe.
#pragma once

#include <cstdint>

namespace sluice::fault {

// Marks the calling thread until it ends. Idempotent.
void mark_engine_thread() noexcept;

// True if that kernel thread id is marked.
[[nodiscard]] bool is_engine_thread(std::int32_t thread) noexcept;
// True if the calling thread is marked; asks Linux nothing.
[[nodiscard]] bool calling_engine_thread() noexcept;

}  // namespace sluice::fault
