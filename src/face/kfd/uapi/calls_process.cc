// The ioctls about the process and its GPUs as such: kfd_chardev.c; apertures as
// kfd_flat_memory.c, kfd_init_apertures_v9, lays them out.
#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t page_mask = 4095;

}  // namespace

Answer Calls::get_version() {
  put(abi::GetVersion{abi::version_major, abi::version_minor});
  return {};
}

Answer Calls::set_memory_policy() {
  const auto asked = get<abi::SetMemoryPolicy>();
  if (asked.default_policy > 1 || asked.alternate_policy > 1) return {EINVAL, {}};
  int gpu = -1;
  const int error = bind(asked.gpu_id, gpu);
  return {error == ENODEV ? ESRCH : error, {}};
}

// One clock: a GPU's counter runs at 100 MHz (amdgpu_amdkfd_get_gpu_clock_counter).
Answer Calls::get_clock_counters() {
  constexpr std::uint64_t nanoseconds_per_tick = 10;
  auto asked = get<abi::GetClockCounters>();
  const auto now = static_cast<std::uint64_t>(machine_.surroundings_.now().count());
  asked.gpu_clock_counter = gpu_of(asked.gpu_id) < 0 ? 0 : now / nanoseconds_per_tick;
  asked.cpu_clock_counter = now;
  asked.system_clock_counter = now;
  asked.system_clock_freq = 1'000'000'000;
  put(asked);
  return {};
}

abi::Apertures Calls::apertures_of(int gpu) const noexcept {
  constexpr std::uint64_t aperture = 0xffffffffU;
  constexpr std::uint64_t lds = std::uint64_t{1} << 48;
  constexpr std::uint64_t scratch = std::uint64_t{2} << 48;
  return {.lds_base = lds,
          .lds_limit = lds | aperture,
          .scratch_base = scratch,
          .scratch_limit = scratch | aperture,
          .gpuvm_base = 0x1000000,
          .gpuvm_limit = (std::uint64_t{1} << 47) - 1,
          .gpu_id = gpu_id_of(gpu),
          .pad = 0};
}

Answer Calls::get_process_apertures() {
  auto asked = get<abi::GetProcessApertures>();
  asked.num_of_nodes = std::min<std::uint32_t>(static_cast<std::uint32_t>(machine_.spec_.gpus),
                                               abi::apertures_of_old_call);
  for (std::uint32_t gpu = 0; gpu < asked.num_of_nodes; ++gpu)
    asked.process_apertures[gpu] = apertures_of(static_cast<int>(gpu));
  put(asked);
  return {};
}

// 0 nodes: only their number is asked for.
Answer Calls::get_process_apertures_new() {
  auto asked = get<abi::GetProcessAperturesNew>();
  const auto gpus = static_cast<std::uint32_t>(machine_.spec_.gpus);
  if (asked.num_of_nodes == 0) {
    asked.num_of_nodes = gpus;
    put(asked);
    return {};
  }
  asked.num_of_nodes = std::min(asked.num_of_nodes, gpus);
  put(asked);
  std::vector<abi::Apertures> all;
  for (std::uint32_t gpu = 0; gpu < asked.num_of_nodes; ++gpu)
    all.push_back(apertures_of(static_cast<int>(gpu)));
  const bool written = machine_.surroundings_.write(asked.kfd_process_device_apertures_ptr,
                                                    std::as_bytes(std::span(all)));
  return {written ? 0 : EFAULT, {}};
}

Answer Calls::set_scratch_backing() {
  int gpu = -1;
  return {bind(get<abi::SetScratchVa>().gpu_id, gpu), {}};
}

// gfx9 has no tables of tiles: amdgpu_amdkfd_get_tile_config finds none.
Answer Calls::get_tile_config() {
  auto asked = get<abi::GetTileConfig>();
  if (gpu_of(asked.gpu_id) < 0) return {EINVAL, {}};
  asked.gb_addr_config = 0x104042;
  asked.num_banks = 0;
  asked.num_ranks = 0;
  asked.num_tile_configs = 0;
  asked.num_macro_tile_configs = 0;
  put(asked);
  return {};
}

Answer Calls::set_trap_handler() {
  int gpu = -1;
  const int error = bind(get<abi::SetTrapHandler>().gpu_id, gpu);
  return {error == ENODEV ? ESRCH : error, {}};
}

// kfd_ioctl_svm, svm_range_is_valid.
Answer Calls::svm() {
  const auto asked = get<abi::Svm>();
  if (((asked.start_addr | asked.size) & page_mask) != 0 || asked.start_addr == 0 ||
      asked.size == 0)
    return {EINVAL, {}};
  // Attributes follow in the arguments; more than those hold is a mistake of the caller.
  const std::size_t room = (arguments_.size() - sizeof asked) / sizeof(abi::SvmAttribute);
  if (asked.nattr > room || asked.op > abi::svm::get_attributes) return {EINVAL, {}};
  std::vector<abi::SvmAttribute> attributes(asked.nattr);
  const std::span<std::byte> bytes =
      arguments_.subspan(sizeof asked, asked.nattr * sizeof(abi::SvmAttribute));
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(attributes)).begin());
  if (asked.op == abi::svm::get_attributes) {
    if (!machine_.surroundings_.is_mapped(asked.start_addr, asked.size)) return {EFAULT, {}};
    const int error = process_.svm.get(asked.start_addr, asked.size, process_.xnack, attributes);
    std::ranges::copy(std::as_bytes(std::span(attributes)), bytes.begin());
    return {error, {}};
  }
  if (const int error = process_.svm.check(attributes)) return {error, {}};
  if (!machine_.surroundings_.is_mapped(asked.start_addr, asked.size)) return {EFAULT, {}};
  if (process_.memory.holds_any(asked.start_addr, asked.size)) return {EADDRINUSE, {}};
  machine_.surroundings_.watch(asked.start_addr, asked.size);
  process_.svm.set(asked.start_addr, asked.size, process_.xnack, attributes);
  const int error =
      process_.svm.prefetch(asked.start_addr, asked.size, process_.xnack, [&](int gpu) {
        return machine_.surroundings_.planned(gpu, Step::migrate).fails ? ENOMEM : 0;
      });
  machine_.tell_ranges(process_);
  return {error, {}};
}

// kfd_smi_event_open.
Answer Calls::smi_events() {
  auto asked = get<abi::SmiEvents>();
  const int gpu = gpu_of(asked.gpu_id);
  if (gpu < 0) return {EINVAL, {}};
  const int file = machine_.surroundings_.open_events(gpu);
  if (file < 0) return {-file, {}};
  asked.anon_fd = static_cast<std::uint32_t>(file);
  put(asked);
  return {};
}

// kfd_ioctl_set_xnack_mode: negative asks.
Answer Calls::set_xnack_mode() {
  auto asked = get<abi::SetXnackMode>();
  if (asked.xnack_enabled < 0) {
    asked.xnack_enabled = process_.xnack ? 1 : 0;
    put(asked);
    return {};
  }
  if (!process_.queues.empty()) return {EBUSY, {}};
  const bool wanted = asked.xnack_enabled != 0;
  if (wanted && machine_.spec_.chip == Chip::gfx908) return {EPERM, {}};
  process_.xnack = wanted;
  return {};
}

}  // namespace sluice::kfd
