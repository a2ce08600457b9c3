// Opens the devices of a space: software GPUs, NVIDIA's, or what a face supplies.
//
// The facts that the engine needs about all of them together are gathered here, once. What it does
// not do: mix kinds that cannot reach each other's memory. Devices copy from each other.
#include <algorithm>
#include <utility>

#include "base/device_set.hpp"
#include "device/cuda/cuda_device.hpp"
#include "device/soft/soft_device.hpp"
#include "engine/core.hpp"
#include "os/environment.hpp"

namespace sluice::engine {
namespace {

void add_software_devices(const SoftwareDevices& wanted, bool strict,
                          std::vector<OpenDevice>& devices) {
  for (int count = 0; count < wanted.count; ++count)
    devices.emplace_back(
        [&wanted, strict](int number, const device::HostMemory& host,
                          device::EventSink& events) -> Result<std::unique_ptr<device::Device>> {
          device::soft::SoftOptions soft;
          soft.number = number;
          soft.memory_size = wanted.memory_size;
          soft.retries_faults = DeviceSet::of_mask(wanted.retrying_devices).contains(number);
          soft.limits_launches = strict;
          soft.kernel_timeout = wanted.kernel_timeout;
          soft.hang_timeout = wanted.transfer_timeout;
          soft.fault_plan = wanted.fault_plan;
          const char* const variable = os::environment("SLUICE_FAULT_PLAN");
          if (!soft.fault_plan.empty() || variable == nullptr)
            return device::soft::open(soft, host, events);
          soft.fault_plan = variable;
          auto opened = device::soft::open(soft, host, events);
          // The program has no such plan: the message says where it comes from.
          if (!opened && opened.error().code() == ErrorCode::invalid_argument)
            opened = fail(ErrorCode::invalid_argument, "SLUICE_FAULT_PLAN: %s",
                          opened.error().detail().data());
          return opened;
        });
}

void add_cuda_devices(const CudaDevices& wanted, std::vector<OpenDevice>& devices) {
  for (const int gpu : wanted.gpus)
    devices.emplace_back(
        [&wanted, gpu](int number, const device::HostMemory& host, device::EventSink& events) {
          device::cuda::CudaOptions cuda;
          cuda.number = number;
          cuda.gpu = gpu;
          cuda.memory_size = wanted.memory_size;
          cuda.peers = wanted.gpus;
          return device::cuda::open(cuda, host, events);
        });
}

// GPUs need the addresses of device memory for themselves, so host ranges get half of the window of
// their own.
AddressSpan host_zone_for(AddressSpan window) noexcept {
  const std::size_t size = round_down(window.size / 2, block_size);
  return {window.end() - size, size};
}

}  // namespace

Result<void> Core::open_devices(const Supplied& supplied) {
  if (!options.cuda.gpus.empty()) host_zone = host_zone_for(memory->window());
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
  host.host_zone = host_zone;

  std::vector<OpenDevice> wanted;
  add_software_devices(options.software, options.strict != Strict::off, wanted);
  add_cuda_devices(options.cuda, wanted);
  wanted.insert(wanted.end(), supplied.devices.begin(), supplied.devices.end());
  for (const OpenDevice& open : wanted) {
    const int number = devices.count();
    SLUICE_ASSIGN(opened, open(number, host, events));
    const device::Traits& traits = opened->traits();
    if (traits.retries_faults) {
      abilities.retrying_devices.insert(number);
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
