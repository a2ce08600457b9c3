// Decides what leases and mappings of a block allow others: a few comparisons under its claim.
//
// What it does not do: wait for the end of a lease. The caller does, or refuses.
#include "engine/lease_rules.hpp"

namespace sluice::engine {

Result<std::optional<plan::Means>> means_under_leases(const Block& block, int device,
                                                      Access access) {
  if (!block.state().leases().any()) return std::optional<plan::Means>{};
  if (access == Access::write && block.state().mapped().rights(device) == Rights::read)
    return fail(ErrorCode::invalid_argument,
                "%#lx is mapped on device %d for reading; map it for writing first",
                block.begin.value, device);
  const BlockLeases& leases = block.state().leases();
  const bool shares = access == Access::read && !leases.any_writing();
  if (leases.location().is_host())
    return shares ? std::optional<plan::Means>{} : std::optional(plan::Means::host_mapped);
  // A host mapping would take the leased copy away.
  if (shares || leases.any_at(Location::device(device))) return std::optional(plan::Means::own);
  return fail(ErrorCode::busy, "%#lx is leased on device %d; device %d may not take it",
              block.begin.value, leases.location().number(), device);
}

tl::unexpected<Error> held_by_leases(const Block& block, const char* refused) {
  if (block.state().mapped().empty())
    return fail(ErrorCode::busy, "%#lx is leased; end the lease before %s", block.begin.value,
                refused);
  return fail(ErrorCode::busy, "%#lx is mapped on device %d; unmap it before %s", block.begin.value,
              block.state().mapped().all().first(), refused);
}

}  // namespace sluice::engine
