// A view of a range is two mappings, and splits up to two others at each end. Each count gives out
// an eighth of the free ones: some twenty counts lie between an empty process and a full one.
#include "os/mapping_allowance.hpp"

#include <algorithm>

#include "os/machine.hpp"

namespace sluice::os {
namespace {

constexpr std::size_t kept = 64;  // for the program
constexpr std::size_t mappings_of_view = 8;

}  // namespace

Result<void> MappingAllowance::take() {
  if (views_left_.fetch_sub(1, std::memory_order_relaxed) > 0) return {};
  const MappingLimit limit = inspect_mapping_limit();
  const std::size_t free = limit.most - std::min(limit.most, limit.in_use);
  if (free < kept + mappings_of_view) {
    views_left_.store(0, std::memory_order_relaxed);
    return fail(ErrorCode::out_of_host_memory,
                "%zu of the %zu mappings that this process may have are in use "
                "(vm.max_map_count), "
                "and the last %zu are left to the program; free ranges, "
                "allocate fewer and larger "
                "ones, or raise the limit (sysctl vm.max_map_count)",
                limit.in_use, limit.most, kept);
  }
  views_left_.store(static_cast<std::int64_t>((free - kept) / mappings_of_view) - 1,
                    std::memory_order_relaxed);
  return {};
}

}  // namespace sluice::os
