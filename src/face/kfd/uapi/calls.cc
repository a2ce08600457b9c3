// The table of the calls that are served, and what several of them need.
#include "face/kfd/uapi/calls.hpp"

#include <array>
#include <cerrno>

namespace sluice::kfd {
namespace {

// Of calls that the kernel serves and this machine does not.
struct UnservedCall {
  abi::Call call;
  const char* name;
};
constexpr std::array unserved = std::to_array<UnservedCall>({
    {abi::Call::get_queue_wave_state, "GET_QUEUE_WAVE_STATE"},
    {abi::Call::alloc_queue_gws, "ALLOC_QUEUE_GWS"},
    {abi::Call::criu, "CRIU_OP"},
});

}  // namespace

const char* Machine::unserved_name(std::uint32_t request) noexcept {
  for (const UnservedCall& each : unserved)
    if (static_cast<std::uint32_t>(each.call) == (request & 0xff)) return each.name;
  return nullptr;
}

Calls::Function Calls::function_of(abi::Call call) noexcept {
  switch (call) {
    case abi::Call::get_version:
      return &Calls::get_version;
    case abi::Call::create_queue:
      return &Calls::create_queue;
    case abi::Call::destroy_queue:
      return &Calls::destroy_queue;
    case abi::Call::set_memory_policy:
      return &Calls::set_memory_policy;
    case abi::Call::get_clock_counters:
      return &Calls::get_clock_counters;
    case abi::Call::get_process_apertures:
      return &Calls::get_process_apertures;
    case abi::Call::update_queue:
      return &Calls::update_queue;
    case abi::Call::create_event:
      return &Calls::create_event;
    case abi::Call::destroy_event:
      return &Calls::destroy_event;
    case abi::Call::set_event:
      return &Calls::set_event;
    case abi::Call::reset_event:
      return &Calls::reset_event;
    case abi::Call::wait_events:
      return &Calls::wait_events;
    case abi::Call::set_scratch_backing:
      return &Calls::set_scratch_backing;
    case abi::Call::get_tile_config:
      return &Calls::get_tile_config;
    case abi::Call::set_trap_handler:
      return &Calls::set_trap_handler;
    case abi::Call::get_process_apertures_new:
      return &Calls::get_process_apertures_new;
    case abi::Call::acquire_vm:
      return &Calls::acquire_vm;
    case abi::Call::alloc_memory:
      return &Calls::alloc_memory;
    case abi::Call::free_memory:
      return &Calls::free_memory;
    case abi::Call::map_memory:
      return &Calls::map_memory;
    case abi::Call::unmap_memory:
      return &Calls::unmap_memory;
    case abi::Call::set_cu_mask:
      return &Calls::set_cu_mask;
    case abi::Call::get_dmabuf_info:
      return &Calls::get_dmabuf_info;
    case abi::Call::import_dmabuf:
      return &Calls::import_dmabuf;
    case abi::Call::smi_events:
      return &Calls::smi_events;
    case abi::Call::svm:
      return &Calls::svm;
    case abi::Call::set_xnack_mode:
      return &Calls::set_xnack_mode;
    case abi::Call::available_memory:
      return &Calls::available_memory;
    default:
      return nullptr;
  }
}

Answer Calls::run(abi::Call call) {
  // kfd_ioctl_dbg_register and the three after it.
  if (call >= abi::Call::debug_register && call <= abi::Call::debug_wave_control)
    return {EPERM, {}};
  const Function function = function_of(call);
  return function == nullptr ? Answer{ENOTTY, {}} : (this->*function)();
}

int Calls::gpu_of(std::uint32_t id) const noexcept { return gpu_of_id(id, machine_.spec_.gpus); }

// kfd_process_device_data_by_id, kfd_bind_process_to_device.
int Calls::bind(std::uint32_t id, int& gpu) const {
  gpu = gpu_of(id);
  if (gpu < 0) return EINVAL;
  return process_.memory.file(gpu) ? 0 : ENODEV;
}

}  // namespace sluice::kfd
