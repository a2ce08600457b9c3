// Opens the devices of a space: software GPUs, or NVIDIA's.
//
// What the engine needs to know of all of them together is gathered here, once. What it does not do: mix kinds. Devices copy from each
// other, and no kind knows another's memory.
#include <cstdlib>

#include "device/cuda/cuda_device.hpp"
#include "device/soft/soft_device.hpp"
#include "engine/engine.hpp"

namespace sluice::engine {

namespace {

// GPUs need the addresses of device memory for themselves, so host ranges get half of the window of their own. (The driver reserves
// powers of two.)
AddressSpan host_zone_for(AddressSpan window) noexcept {
  const std::size_t size = round_down(window.size / 2, block_size);
  return {window.end() - size, size};
}

}  // namespace

Result<void> Engine::open_devices() {
  const bool on_cuda = !options_.cuda.gpus.empty();
  if (on_cuda && options_.software.count != 0)
    return fail(ErrorCode::invalid_argument,
                "cuda.gpus names %zu GPUs and software.count is %d; a space has one kind of device",
                options_.cuda.gpus.size(), options_.software.count);
  if (options_.cuda.gpus.size() > static_cast<std::size_t>(max_devices))
    return fail(ErrorCode::invalid_argument, "cuda.gpus has %zu entries; it may have %d",
                options_.cuda.gpus.size(), max_devices);
  if (on_cuda) host_zone_ = host_zone_for(memory_->window());
  os::HostMemory* memory = memory_.get();
  device::HostMemory host;
  host.file = memory->file();
  host.alias = memory->alias_begin();
  host.window = memory->window();
  host.file_at = [memory](Address address) {
    return memory->pages_at(address) == HostPages::huge ? memory->huge_file() : memory->file();
  };
  host.view_at = [this](Address address) {
    const Pin range = ranges_.find(address);
    return range ? range->pages : AddressSpan{};
  };
  host.host_zone = host_zone_;
  SLUICE_TRY(on_cuda ? open_cuda_devices(host) : open_software_devices(host));

  for (std::size_t number = 0; number < devices_.size(); ++number) {
    const device::Traits& traits = devices_[number]->traits();
    const std::uint64_t bit = std::uint64_t{1} << number;
    if (traits.retries_faults) abilities_.retrying_devices |= bit;
    if (traits.shares_addresses) abilities_.sharing_devices |= bit;
    keeps_host_memory_ = keeps_host_memory_ || traits.keeps_host_memory;
  }
  return {};
}

Result<void> Engine::open_software_devices(const device::HostMemory& host) {
  const SoftwareDevices& wanted = options_.software;
  for (int number = 0; number < wanted.count; ++number) {
    device::soft::SoftOptions soft;
    soft.number = number;
    soft.memory_size = wanted.memory_size;
    soft.retries_faults = (wanted.retrying_devices >> number & 1) != 0;
    soft.kernel_timeout = wanted.kernel_timeout;
    soft.hang_timeout = wanted.transfer_timeout;
    const char* environment = std::getenv("SLUICE_FAULT_PLAN");
    soft.fault_plan =
        !wanted.fault_plan.empty() || environment == nullptr ? wanted.fault_plan : environment;
    SLUICE_ASSIGN(opened, device::soft::open(soft, host, *this));
    devices_.push_back(std::move(opened));
  }
  return {};
}

Result<void> Engine::open_cuda_devices(const device::HostMemory& host) {
  for (const int gpu : options_.cuda.gpus) {
    device::cuda::CudaOptions cuda;
    cuda.number = static_cast<int>(devices_.size());
    cuda.gpu = gpu;
    cuda.memory_size = options_.cuda.memory_size;
    cuda.peers = options_.cuda.gpus;
    SLUICE_ASSIGN(opened, device::cuda::open(cuda, host, *this));
    devices_.push_back(std::move(opened));
  }
  return {};
}

}  // namespace sluice::engine
