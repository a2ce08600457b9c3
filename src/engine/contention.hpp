// Contention: how a caller waits for other threads that are busy with the same blocks.
#pragma once

#include <chrono>
#include <thread>

namespace sluice::engine::contention {

// How often a caller waits for others that are busy with evictable blocks before it takes memory to
// be full, and how long each time. They are busy for a copy or two.
inline constexpr int patience = 10'000;
inline constexpr std::chrono::microseconds moment{100};

// Waits for a moment. Call without claims: the others may need one of them.
inline void yield() { std::this_thread::sleep_for(moment); }

}  // namespace sluice::engine::contention
