// Planted bugs: deliberate mistakes that the tests must find, or they would prove nothing.
//
// The first six are for the stress run (tests/planted), the others for the mapping contract
// (tests/mapping). They exist only in the library that those link (SLUICE_PLANTED_BUGS); elsewhere
// is() is false at compile time.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::engine::planted {

enum class Bug : std::uint8_t {
  none,
  publish_late,  // launches learn that a page was taken only after it became visible on the host
  copy_before_revoke,   // bytes are copied out while the host may still store to them
  evict_leased,         // eviction ignores leases
  keep_stale_copy,      // a device's read copy survives a write of the host
  host_stays,           // a launch leaves the host its rights to what it reaches in host memory
  forget_lost,          // bytes that were lost with a device read as zeros
  map_everywhere,       // a mapping operation maps on every device, named or not
  skip_wait,            // the call returns before the operation is over
  dispatch_again,       // a call that is repeated does not attach, and hands everything over again
  report_one_too_many,  // the report counts a device that is not mapped
  roll_back_older,      // undoing also unmaps what was mapped before the operation
  roll_back_nothing,    // all_or_nothing leaves the mappings that succeeded
  signal_before_flush,  // the operation ends before the devices' fences do
  free_while_mapped,    // a mapped range may be freed
  unmap_nothing,        // unmapping changes the directory and no page table
  resume_starts_over,   // resume hands over what is mapped already as well
  lose_last_error,      // the failure of the last device is not reported
  move_mapped,          // a launch moves mapped bytes into its device's memory
  forget_deadline,      // a repeated call starts the deadline anew
  keep_failed,          // the partial mappings of a failed device are left there
  drop_rights,          // a mapping is made for writing, even if only reading was asked for
  relocate_running,    // evicts under a running queue: mapped memory moves and no queue was stopped
  forget_restart,      // the queues stay stopped after a relocation
  relocate_too_often,  // queues are stopped at every request, however often
  relocate_again,      // a range that was just moved may be chosen again
  relocate_newest,     // the range that was chosen last leaves first
  serve_newest,        // the requester that came last has the turn
  relocate_leased,     // a leased range is moved
  book_refused_mapping,  // a device that could not map it again is still recorded
};

#if SLUICE_PLANTED_BUGS
inline std::atomic<Bug> selected{Bug::none};
inline void select(Bug bug) noexcept { selected = bug; }
inline bool is(Bug bug) noexcept { return selected.load(std::memory_order_relaxed) == bug; }

// The bugs that the suite of the mapping contract must find, by name.
struct Named {
  const char* name;
  Bug bug;
};
inline constexpr Named mapping_bugs[] = {
    {"map_everywhere", Bug::map_everywhere},
    {"skip_wait", Bug::skip_wait},
    {"dispatch_again", Bug::dispatch_again},
    {"report_one_too_many", Bug::report_one_too_many},
    {"roll_back_older", Bug::roll_back_older},
    {"roll_back_nothing", Bug::roll_back_nothing},
    {"signal_before_flush", Bug::signal_before_flush},
    {"free_while_mapped", Bug::free_while_mapped},
    {"unmap_nothing", Bug::unmap_nothing},
    {"resume_starts_over", Bug::resume_starts_over},
    {"lose_last_error", Bug::lose_last_error},
    {"move_mapped", Bug::move_mapped},
    {"forget_deadline", Bug::forget_deadline},
    {"keep_failed", Bug::keep_failed},
    {"drop_rights", Bug::drop_rights},
    {"relocate_running", Bug::relocate_running},
    {"forget_restart", Bug::forget_restart},
    {"relocate_too_often", Bug::relocate_too_often},
    {"relocate_again", Bug::relocate_again},
    {"relocate_newest", Bug::relocate_newest},
    {"serve_newest", Bug::serve_newest},
    {"relocate_leased", Bug::relocate_leased},
    {"book_refused_mapping", Bug::book_refused_mapping},
};
#else
constexpr bool is(Bug /*bug*/) noexcept { return false; }
#endif

}  // namespace sluice::engine::planted
