// Decides what leases and mappings of a block allow others: a few comparisons under its claim.
//
// What it does not do: wait for the end of a lease. The caller does, or refuses.
#include "engine/lease_rules.hpp"

namespace sluice::engine {

Result<std::optional<plan::Means>> means_under_leases(const Block& block, int device,
                                                      Access access) {
  if (block.leases == 0) return std::optional<plan::Means>{};
  if (access == Access::write && block.mapped_rights(device) == Rights::read)
    return fail(ErrorCode::invalid_argument,
                "%#lx is mapped on device %d for reading; map it for writing first",
                block.begin.value, device);
  const bool shares = access == Access::read && block.writing_leases == 0;
  if (block.leased_at.is_host())
    return shares ? std::optional<plan::Means>{} : std::optional(plan::Means::reach);
  // Reaching the block in host memory would take the leased copy away.
  if (shares || block.leased_at == Location::device(device)) return std::optional(plan::Means::own);
  return fail(ErrorCode::busy, "%#lx is leased on device %d; device %d may not take it",
              block.begin.value, block.leased_at.number(), device);
}

tl::unexpected<Error> held_by_leases(const Block& block, const char* refused) {
  if (!block.is_mapped())
    return fail(ErrorCode::busy, "%#lx is leased; end the lease before %s", block.begin.value,
                refused);
  return fail(ErrorCode::busy, "%#lx is mapped on device %d; unmap it before %s", block.begin.value,
              (block.mapped_to_read | block.mapped_to_write).first(), refused);
}

}  // namespace sluice::engine
