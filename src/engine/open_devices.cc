// Opens the devices of a space: those that its options name, and what a face supplies.
//
// The facts that the engine needs about all of them together are gathered here, once. What it does
// not do: mix kinds that cannot reach each other's memory. Devices copy from each other.
#include <algorithm>
#include <utility>

#include "engine/core.hpp"

namespace sluice::engine {
namespace {

// Devices that need the addresses of device memory for themselves leave host ranges half of the
// window.
AddressSpan host_zone_for(AddressSpan window) noexcept {
  const std::size_t size = round_down(window.size / 2, block_size);
  return {window.end() - size, size};
}

}  // namespace

Result<void> Core::open_devices(device::DeviceGroup* named, const ExternalBackends& external) {
  if (named != nullptr && named->address_needs().host_zone)
    host_zone = host_zone_for(memory->window());
  os::HostMemory* const views = memory.get();
  device::HostMemory host;
  host.file = memory->file();
  host.alias = memory->alias_begin();
  host.window = memory->window();
  host.file_at = [views](Address address) {
    return views->pages_at(address) == HostPages::huge ? views->huge_file() : views->file();
  };
  host.is_intact = [views] { return views->has_files(); };
  host.view_at = [this](Address address) { return ranges.pages_at(address); };
  host.populate = [views](AddressSpan span) { views->populate_to_register(span); };
  host.host_zone = host_zone;

  const int of_options = named != nullptr ? named->count() : 0;
  const int all = of_options + static_cast<int>(external.devices.size());
  for (int number = 0; number < all; ++number) {
    const auto index = static_cast<std::size_t>(number - of_options);
    SLUICE_ASSIGN(opened, number < of_options ? named->open(number, host, events)
                                              : external.devices[index](number, host, events));
    const device::Traits& traits = opened->traits();
    if (traits.recoverable_faults) {
      abilities.recoverable_fault_devices.insert(number);
      abilities.granule = std::max(abilities.granule,
                                   static_cast<std::uint32_t>(traits.mapping_granule / page_size));
    }
    if (traits.shares_addresses) abilities.sharing_devices.insert(number);
    keeps_host_memory = keeps_host_memory || traits.keeps_host_memory;
    devices.add(std::move(opened));
  }
  return {};
}

}  // namespace sluice::engine
