// Home: the effect of `SLUICE_SHARED=host` and `auto`, besides migration on demand.
//
// `host` moves an allocation back whole after every launch. `auto` does so for one that the host
// has taken back, at least half of it, before each of the last two launches: a host that reads
// everything after every kernel pays one copy at the link's rate instead of a fault for each
// window. Every eighth launch such an allocation is left where it is, to see whether the host still
// uses it. Costs a look at the directory for each allocation and launch, a few microseconds for 100
// MiB. What it does not do: move parts home, or watch the host's accesses to bytes that it has.
#include "home.hpp"

#include "layer.hpp"
#include "options.hpp"

namespace sluice::opencl {
namespace {

constexpr std::uint32_t enough_returns = 2;
constexpr std::uint32_t look_again = 8;
// Below this size, one fault moves all of it anyway.
constexpr std::size_t worth_it = std::size_t{256} << 10;

bool most_is_on_host(const Allocation& allocation) {
  const auto found = allocation.arena->engine().residency(allocation.span());
  return found && found->host * page_size * 2 >= allocation.asked.size;
}

bool is_homebound(const Allocation& allocation) {
  if (allocation.arena == nullptr || allocation.asked.type == CL_MEM_TYPE_DEVICE_INTEL)
    return false;
  if (allocation.asked.type == CL_MEM_TYPE_HOST_INTEL) return true;
  if (options().home == Home::host) return true;
  if (options().home == Home::migrate || allocation.asked.size < worth_it) return false;
  Usage& usage = *allocation.usage;
  const std::uint32_t launches = usage.launches++;
  // Before the first launch it is on the host because it was made there.
  const bool returned = launches != 0 && most_is_on_host(allocation);
  const std::uint32_t returns = returned ? ++usage.returned : (usage.returned = 0);
  return returns >= enough_returns && launches % look_again != 0;
}

}  // namespace

std::vector<Allocation> homebound_after(const Context& /*context*/,
                                        const std::vector<Allocation>& used) {
  std::vector<Allocation> homebound;
  for (const Allocation& allocation : used)
    if (is_homebound(allocation)) homebound.push_back(allocation);
  return homebound;
}

void bring_home(Context& context, const std::vector<Allocation>& allocations, cl_event after) {
  if (allocations.empty()) return;
  driver().clRetainEvent(after);
  const auto job = [allocations, after] {
    driver().clWaitForEvents(1, &after);
    driver().clReleaseEvent(after);
    std::vector<std::pair<Arena*, device::Fence>> under_way;
    for (const Allocation& allocation : allocations) {
      engine::Engine& engine = allocation.arena->engine();
      if (const auto fence = engine.prefetch(allocation.span(), Location::host()))
        under_way.emplace_back(allocation.arena, *fence);
    }
    for (const auto& [arena, fence] : under_way) (void)arena->engine().wait(fence, {});
  };
  if (!context.hints().add(job)) driver().clReleaseEvent(after);
}

}  // namespace sluice::opencl
