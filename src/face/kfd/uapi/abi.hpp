// The ioctls of /dev/kfd, interface 1.11 (Linux 6.1): their numbers and arguments.
//
// These are definitions of our own, so that what is served does not depend on the headers of the
// machine that builds it; tests/kfd/abi_test.cc compares each with <linux/kfd_ioctl.h>.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::kfd::abi {

inline constexpr std::uint32_t version_major = 1;
inline constexpr std::uint32_t version_minor = 11;

// The number of an ioctl, the lowest byte of its request.
enum class Call : std::uint8_t {
  get_version = 0x01,
  create_queue = 0x02,
  destroy_queue = 0x03,
  set_memory_policy = 0x04,
  get_clock_counters = 0x05,
  get_process_apertures = 0x06,
  update_queue = 0x07,
  create_event = 0x08,
  destroy_event = 0x09,
  set_event = 0x0a,
  reset_event = 0x0b,
  wait_events = 0x0c,
  debug_register = 0x0d,
  debug_wave_control = 0x10,  // the last of four that the kernel no longer serves
  set_scratch_backing = 0x11,
  get_tile_config = 0x12,
  set_trap_handler = 0x13,
  get_process_apertures_new = 0x14,
  acquire_vm = 0x15,
  alloc_memory = 0x16,
  free_memory = 0x17,
  map_memory = 0x18,
  unmap_memory = 0x19,
  set_cu_mask = 0x1a,
  get_queue_wave_state = 0x1b,
  get_dmabuf_info = 0x1c,
  import_dmabuf = 0x1d,
  alloc_queue_gws = 0x1e,
  smi_events = 0x1f,
  svm = 0x20,
  set_xnack_mode = 0x21,
  criu = 0x22,
  available_memory = 0x23,
};
inline constexpr std::uint32_t first_call = 0x01;
inline constexpr std::uint32_t end_of_calls = 0x24;
inline constexpr std::uint32_t group = 'K';

struct GetVersion {
  std::uint32_t major_version, minor_version;
};
struct CreateQueue {
  std::uint64_t ring_base_address, write_pointer_address, read_pointer_address, doorbell_offset;
  std::uint32_t ring_size, gpu_id, queue_type, queue_percentage, queue_priority, queue_id;
  std::uint64_t eop_buffer_address, eop_buffer_size, ctx_save_restore_address;
  std::uint32_t ctx_save_restore_size, ctl_stack_size;
};
struct DestroyQueue {
  std::uint32_t queue_id, pad;
};
struct UpdateQueue {
  std::uint64_t ring_base_address;
  std::uint32_t queue_id, ring_size, queue_percentage, queue_priority;
};
struct SetCuMask {
  std::uint32_t queue_id, num_cu_mask;
  std::uint64_t cu_mask_ptr;
};
struct SetMemoryPolicy {
  std::uint64_t alternate_aperture_base, alternate_aperture_size;
  std::uint32_t gpu_id, default_policy, alternate_policy, pad;
};
struct GetClockCounters {
  std::uint64_t gpu_clock_counter, cpu_clock_counter, system_clock_counter, system_clock_freq;
  std::uint32_t gpu_id, pad;
};
struct Apertures {
  std::uint64_t lds_base, lds_limit, scratch_base, scratch_limit, gpuvm_base, gpuvm_limit;
  std::uint32_t gpu_id, pad;
};
inline constexpr std::size_t apertures_of_old_call = 7;
struct GetProcessApertures {
  std::array<Apertures, apertures_of_old_call> process_apertures;
  std::uint32_t num_of_nodes, pad;
};
struct GetProcessAperturesNew {
  std::uint64_t kfd_process_device_apertures_ptr;
  std::uint32_t num_of_nodes, pad;
};
struct CreateEvent {
  std::uint64_t event_page_offset;
  std::uint32_t event_trigger_data, event_type, auto_reset, node_id, event_id, event_slot_index;
};
struct OneEvent {  // destroy, set, reset
  std::uint32_t event_id, pad;
};
struct HwException {
  std::uint32_t reset_type, reset_cause, memory_lost, gpu_id;
};
struct EventData {
  std::array<std::uint32_t, 8> data;  // of memory exceptions or hardware exceptions
  std::uint64_t kfd_event_data_ext;
  std::uint32_t event_id, pad;
};
struct WaitEvents {
  std::uint64_t events_ptr;
  std::uint32_t num_events, wait_for_all, timeout, wait_result;
};
struct SetScratchVa {
  std::uint64_t va_addr;
  std::uint32_t gpu_id, pad;
};
struct GetTileConfig {
  std::uint64_t tile_config_ptr, macro_tile_config_ptr;
  std::uint32_t num_tile_configs, num_macro_tile_configs, gpu_id, gb_addr_config, num_banks,
      num_ranks;
};
struct SetTrapHandler {
  std::uint64_t tba_addr, tma_addr;
  std::uint32_t gpu_id, pad;
};
struct AcquireVm {
  std::uint32_t drm_fd, gpu_id;
};
struct AllocMemory {
  std::uint64_t va_addr, size, handle, mmap_offset;
  std::uint32_t gpu_id, flags;
};
struct FreeMemory {
  std::uint64_t handle;
};
struct MapMemory {  // unmap too
  std::uint64_t handle, device_ids_array_ptr;
  std::uint32_t n_devices, n_success;
};
struct SvmAttribute {
  std::uint32_t type, value;
};
struct Svm {
  std::uint64_t start_addr, size;
  std::uint32_t op, nattr;  // attributes follow
};
struct SetXnackMode {
  std::int32_t xnack_enabled;
};
struct GetDmabufInfo {
  std::uint64_t size, metadata_ptr;
  std::uint32_t metadata_size, gpu_id, flags, dmabuf_fd;
};
struct ImportDmabuf {
  std::uint64_t va_addr, handle;
  std::uint32_t gpu_id, dmabuf_fd;
};
struct SmiEvents {
  std::uint32_t gpu_id, anon_fd;
};
struct AvailableMemory {
  std::uint64_t available;
  std::uint32_t gpu_id, pad;
};

namespace memory {
inline constexpr std::uint32_t vram = 1U << 0;
inline constexpr std::uint32_t gtt = 1U << 1;
inline constexpr std::uint32_t userptr = 1U << 2;
inline constexpr std::uint32_t doorbell = 1U << 3;
inline constexpr std::uint32_t mmio_remap = 1U << 4;
inline constexpr std::uint32_t aql_queue = 1U << 27;
inline constexpr std::uint32_t host_accessible = 1U << 29;  // PUBLIC
}  // namespace memory

namespace queue {
inline constexpr std::uint32_t compute = 0;
inline constexpr std::uint32_t sdma = 1;
inline constexpr std::uint32_t compute_aql = 2;
inline constexpr std::uint32_t sdma_xgmi = 3;
inline constexpr std::uint32_t most_percent = 100;
inline constexpr std::uint32_t most_priority = 15;
inline constexpr std::uint32_t smallest_ring = 1024;
}  // namespace queue

namespace event {
inline constexpr std::uint32_t signal = 0;
inline constexpr std::uint32_t hw_exception = 3;
inline constexpr std::uint32_t debug = 5;
inline constexpr std::uint32_t memory = 8;
inline constexpr std::uint32_t signal_limit = 4096;
inline constexpr std::uint32_t immediate = 0;
inline constexpr std::uint32_t infinite = 0xffffffffU;
inline constexpr std::uint32_t complete = 0;  // results of a wait
inline constexpr std::uint32_t timeout = 1;
inline constexpr std::uint32_t failed = 2;
}  // namespace event

namespace svm {
enum Attribute : std::uint32_t {
  preferred_location,
  prefetch_location,
  access,
  access_in_place,
  no_access,
  set_flags,
  clear_flags,
  granularity
};
inline constexpr std::uint32_t set_attributes = 0;
inline constexpr std::uint32_t get_attributes = 1;
inline constexpr std::uint32_t system_memory = 0;
inline constexpr std::uint32_t undefined = 0xffffffffU;
inline constexpr std::uint32_t host_access = 1;
inline constexpr std::uint32_t coherent = 2;
}  // namespace svm

}  // namespace sluice::kfd::abi
