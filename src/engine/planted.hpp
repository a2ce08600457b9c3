// Planted bugs: deliberate mistakes that the stress run must find, or it would prove nothing.
//
// They exist only in the library that tests/planted links (SLUICE_PLANTED_BUGS); elsewhere is() is false at compile time.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::engine::planted {

enum class Bug : std::uint8_t {
  none,
  publish_late,  // launches learn that a page was taken only after it became visible on the host
  copy_before_revoke,  // bytes are copied out while the host may still store to them
  evict_leased,        // eviction ignores leases
  keep_stale_copy,     // a device's read copy survives a write of the host
};

#if SLUICE_PLANTED_BUGS
inline std::atomic<Bug> selected{Bug::none};
inline void select(Bug bug) noexcept { selected = bug; }
inline bool is(Bug bug) noexcept { return selected.load(std::memory_order_relaxed) == bug; }
#else
constexpr bool is(Bug /*bug*/) noexcept { return false; }
#endif

}  // namespace sluice::engine::planted
