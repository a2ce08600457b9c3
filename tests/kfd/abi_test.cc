// Our definitions of the ioctls' numbers and arguments against those of Linux's own header.
#include <gtest/gtest.h>
#include <linux/kfd_ioctl.h>

#include <cstddef>

#include "face/kfd/uapi/abi.hpp"

namespace sluice::kfd {
namespace {

struct Row {
  abi::Call call;
  std::size_t size;
  unsigned long request;  // Linux's
};

TEST(KfdAbi, numbers_and_sizes_are_those_of_linux) {
  const Row rows[] = {
      {abi::Call::get_version, sizeof(abi::GetVersion), AMDKFD_IOC_GET_VERSION},
      {abi::Call::get_dmabuf_info, sizeof(abi::GetDmabufInfo), AMDKFD_IOC_GET_DMABUF_INFO},
      {abi::Call::import_dmabuf, sizeof(abi::ImportDmabuf), AMDKFD_IOC_IMPORT_DMABUF},
      {abi::Call::smi_events, sizeof(abi::SmiEvents), AMDKFD_IOC_SMI_EVENTS},
      {abi::Call::create_queue, sizeof(abi::CreateQueue), AMDKFD_IOC_CREATE_QUEUE},
      {abi::Call::destroy_queue, sizeof(abi::DestroyQueue), AMDKFD_IOC_DESTROY_QUEUE},
      {abi::Call::set_memory_policy, sizeof(abi::SetMemoryPolicy), AMDKFD_IOC_SET_MEMORY_POLICY},
      {abi::Call::get_clock_counters, sizeof(abi::GetClockCounters), AMDKFD_IOC_GET_CLOCK_COUNTERS},
      {abi::Call::get_process_apertures, sizeof(abi::GetProcessApertures),
       AMDKFD_IOC_GET_PROCESS_APERTURES},
      {abi::Call::update_queue, sizeof(abi::UpdateQueue), AMDKFD_IOC_UPDATE_QUEUE},
      {abi::Call::create_event, sizeof(abi::CreateEvent), AMDKFD_IOC_CREATE_EVENT},
      {abi::Call::destroy_event, sizeof(abi::OneEvent), AMDKFD_IOC_DESTROY_EVENT},
      {abi::Call::set_event, sizeof(abi::OneEvent), AMDKFD_IOC_SET_EVENT},
      {abi::Call::reset_event, sizeof(abi::OneEvent), AMDKFD_IOC_RESET_EVENT},
      {abi::Call::wait_events, sizeof(abi::WaitEvents), AMDKFD_IOC_WAIT_EVENTS},
      {abi::Call::debug_register, 8, AMDKFD_IOC_DBG_REGISTER_DEPRECATED},
      {abi::Call::debug_wave_control, 16, AMDKFD_IOC_DBG_WAVE_CONTROL_DEPRECATED},
      {abi::Call::set_scratch_backing, sizeof(abi::SetScratchVa),
       AMDKFD_IOC_SET_SCRATCH_BACKING_VA},
      {abi::Call::get_tile_config, sizeof(abi::GetTileConfig), AMDKFD_IOC_GET_TILE_CONFIG},
      {abi::Call::set_trap_handler, sizeof(abi::SetTrapHandler), AMDKFD_IOC_SET_TRAP_HANDLER},
      {abi::Call::get_process_apertures_new, sizeof(abi::GetProcessAperturesNew),
       AMDKFD_IOC_GET_PROCESS_APERTURES_NEW},
      {abi::Call::acquire_vm, sizeof(abi::AcquireVm), AMDKFD_IOC_ACQUIRE_VM},
      {abi::Call::alloc_memory, sizeof(abi::AllocMemory), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU},
      {abi::Call::free_memory, sizeof(abi::FreeMemory), AMDKFD_IOC_FREE_MEMORY_OF_GPU},
      {abi::Call::map_memory, sizeof(abi::MapMemory), AMDKFD_IOC_MAP_MEMORY_TO_GPU},
      {abi::Call::unmap_memory, sizeof(abi::MapMemory), AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU},
      {abi::Call::set_cu_mask, sizeof(abi::SetCuMask), AMDKFD_IOC_SET_CU_MASK},
      {abi::Call::svm, sizeof(abi::Svm), AMDKFD_IOC_SVM},
      {abi::Call::set_xnack_mode, sizeof(abi::SetXnackMode), AMDKFD_IOC_SET_XNACK_MODE},
      {abi::Call::available_memory, sizeof(abi::AvailableMemory), AMDKFD_IOC_AVAILABLE_MEMORY},
      {abi::Call::criu, sizeof(kfd_ioctl_criu_args), AMDKFD_IOC_CRIU_OP},
      {abi::Call::smi_events, sizeof(kfd_ioctl_smi_events_args), AMDKFD_IOC_SMI_EVENTS},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(static_cast<unsigned>(row.call), _IOC_NR(row.request));
    EXPECT_EQ(row.size, _IOC_SIZE(row.request)) << _IOC_NR(row.request);
    EXPECT_EQ(abi::group, _IOC_TYPE(row.request));
  }
}

#define SAME(ours, theirs, field) \
  static_assert(offsetof(ours, field) == offsetof(theirs, field), #field)
SAME(abi::CreateQueue, kfd_ioctl_create_queue_args, doorbell_offset);
SAME(abi::CreateQueue, kfd_ioctl_create_queue_args, queue_id);
SAME(abi::CreateQueue, kfd_ioctl_create_queue_args, ctx_save_restore_size);
SAME(abi::UpdateQueue, kfd_ioctl_update_queue_args, queue_priority);
SAME(abi::SetCuMask, kfd_ioctl_set_cu_mask_args, cu_mask_ptr);
SAME(abi::SetMemoryPolicy, kfd_ioctl_set_memory_policy_args, alternate_policy);
SAME(abi::GetClockCounters, kfd_ioctl_get_clock_counters_args, gpu_id);
SAME(abi::Apertures, kfd_process_device_apertures, scratch_base);
SAME(abi::Apertures, kfd_process_device_apertures, gpuvm_limit);
SAME(abi::Apertures, kfd_process_device_apertures, gpu_id);
SAME(abi::GetProcessApertures, kfd_ioctl_get_process_apertures_args, num_of_nodes);
SAME(abi::GetProcessAperturesNew, kfd_ioctl_get_process_apertures_new_args, num_of_nodes);
SAME(abi::CreateEvent, kfd_ioctl_create_event_args, event_trigger_data);
SAME(abi::CreateEvent, kfd_ioctl_create_event_args, auto_reset);
SAME(abi::CreateEvent, kfd_ioctl_create_event_args, event_slot_index);
SAME(abi::EventData, kfd_event_data, kfd_event_data_ext);
SAME(abi::EventData, kfd_event_data, event_id);
SAME(abi::HwException, kfd_hsa_hw_exception_data, memory_lost);
SAME(abi::HwException, kfd_hsa_hw_exception_data, gpu_id);
SAME(abi::WaitEvents, kfd_ioctl_wait_events_args, timeout);
SAME(abi::WaitEvents, kfd_ioctl_wait_events_args, wait_result);
SAME(abi::SetScratchVa, kfd_ioctl_set_scratch_backing_va_args, gpu_id);
SAME(abi::GetTileConfig, kfd_ioctl_get_tile_config_args, gpu_id);
SAME(abi::GetTileConfig, kfd_ioctl_get_tile_config_args, num_ranks);
SAME(abi::SetTrapHandler, kfd_ioctl_set_trap_handler_args, gpu_id);
SAME(abi::AcquireVm, kfd_ioctl_acquire_vm_args, gpu_id);
SAME(abi::AllocMemory, kfd_ioctl_alloc_memory_of_gpu_args, handle);
SAME(abi::AllocMemory, kfd_ioctl_alloc_memory_of_gpu_args, mmap_offset);
SAME(abi::AllocMemory, kfd_ioctl_alloc_memory_of_gpu_args, flags);
SAME(abi::MapMemory, kfd_ioctl_map_memory_to_gpu_args, n_success);
SAME(abi::MapMemory, kfd_ioctl_unmap_memory_from_gpu_args, n_success);
SAME(abi::Svm, kfd_ioctl_svm_args, nattr);
SAME(abi::AvailableMemory, kfd_ioctl_get_available_memory_args, gpu_id);
#undef SAME
static_assert(sizeof(abi::EventData) == sizeof(kfd_event_data));
static_assert(sizeof(abi::Apertures) == sizeof(kfd_process_device_apertures));
static_assert(sizeof(abi::SvmAttribute) == sizeof(kfd_ioctl_svm_attribute));
static_assert(abi::memory::vram == KFD_IOC_ALLOC_MEM_FLAGS_VRAM &&
              abi::memory::gtt == KFD_IOC_ALLOC_MEM_FLAGS_GTT &&
              abi::memory::userptr == KFD_IOC_ALLOC_MEM_FLAGS_USERPTR &&
              abi::memory::doorbell == KFD_IOC_ALLOC_MEM_FLAGS_DOORBELL &&
              abi::memory::mmio_remap == KFD_IOC_ALLOC_MEM_FLAGS_MMIO_REMAP &&
              abi::memory::aql_queue == KFD_IOC_ALLOC_MEM_FLAGS_AQL_QUEUE_MEM &&
              abi::memory::host_accessible == KFD_IOC_ALLOC_MEM_FLAGS_PUBLIC);
static_assert(+abi::svm::access == +KFD_IOCTL_SVM_ATTR_ACCESS &&
              +abi::svm::granularity == +KFD_IOCTL_SVM_ATTR_GRANULARITY &&
              abi::svm::get_attributes == KFD_IOCTL_SVM_OP_GET_ATTR);
static_assert(abi::event::hw_exception == KFD_IOC_EVENT_HW_EXCEPTION &&
              abi::event::debug == KFD_IOC_EVENT_DEBUG_EVENT &&
              abi::event::memory == KFD_IOC_EVENT_MEMORY &&
              abi::event::signal_limit == KFD_SIGNAL_EVENT_LIMIT);

}  // namespace
}  // namespace sluice::kfd
