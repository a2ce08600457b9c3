// The ioctls of memory: kfd_chardev.c, kfd_ioctl_acquire_vm to kfd_ioctl_unmap_memory_from_gpu.
//
// The order of the checks is the kernel's, since programs see which of two mistakes is told.
#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t doorbell_bytes_of_process = 8192;  // kfd_doorbell_process_slice of gfx9
constexpr std::uint64_t mmio_bytes = 4096;
constexpr std::uint64_t largest_size = std::uint64_t{1} << 47;
constexpr std::uint32_t most_ids = 1U << 20;  // kmalloc_array gives at most 4 MiB

constexpr std::uint32_t kinds = abi::memory::vram | abi::memory::gtt | abi::memory::userptr |
                                abi::memory::doorbell | abi::memory::mmio_remap;

}  // namespace

Answer Calls::acquire_vm() {
  const auto asked = get<abi::AcquireVm>();
  const auto file = machine_.surroundings_.render_file(asked.drm_fd);
  if (!file) return {EINVAL, {}};
  const int gpu = gpu_of(asked.gpu_id);
  // amdgpu_file_to_fpriv, amdgpu_vm_make_compute: the file must be one of this GPU.
  if (gpu < 0 || file->gpu != gpu) return {EINVAL, {}};
  if (process_.memory.file(gpu)) return {process_.memory.acquire(gpu, *file), {}};
  if (machine_.surroundings_.planned(gpu, Step::acquire).fails) return {ENOMEM, {}};
  return {process_.memory.acquire(gpu, *file), {}};
}

// amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu, up to the limits.
int Calls::check_allocation(const abi::AllocMemory& asked, int gpu) const {
  const std::uint32_t flags = asked.flags;
  if ((flags & abi::memory::host_accessible) != 0 && (flags & abi::memory::vram) != 0 &&
      !machine_.spec_.large_bar)
    return EINVAL;
  if (!process_.memory.file(gpu)) return ENODEV;
  if ((flags & abi::memory::doorbell) != 0) {
    if (asked.size != doorbell_bytes_of_process) return EINVAL;
  } else if ((flags & abi::memory::mmio_remap) != 0 && asked.size != mmio_bytes) {
    return EINVAL;
  }
  if ((flags & kinds) == 0) return EINVAL;
  // VRAM and GTT are looked for first, so their flags win over that of user memory.
  const bool is_user =
      (flags & (abi::memory::vram | abi::memory::gtt)) == 0 && (flags & abi::memory::userptr) != 0;
  if (is_user && asked.mmap_offset == 0) return EINVAL;
  // No GPU and no host has as much, and sums of sizes stay far from an overflow.
  return asked.size > largest_size ? ENOMEM : 0;
}

Answer Calls::alloc_memory() {
  auto asked = get<abi::AllocMemory>();
  if (asked.size == 0) return {EINVAL, {}};
  const bool is_user = (asked.flags & abi::memory::userptr) != 0;
  const std::uint64_t looked_at = std::min(asked.size, largest_size);
  if (process_.svm.covers_any(asked.va_addr, looked_at) ||
      (is_user && process_.svm.covers_any(asked.mmap_offset, looked_at)))
    return {EADDRINUSE, {}};
  const int gpu = gpu_of(asked.gpu_id);
  if (gpu < 0) return {EINVAL, {}};
  if (const int error = check_allocation(asked, gpu)) return {error, {}};
  if (machine_.surroundings_.planned(gpu, Step::allocate).fails ||
      !machine_.limits_.charge(gpu, asked.size, asked.flags))
    return {ENOMEM, {}};
  // init_user_pages
  if ((asked.flags & kinds) == abi::memory::userptr &&
      !machine_.surroundings_.is_mapped(asked.mmap_offset, asked.size)) {
    machine_.limits_.uncharge(gpu, asked.size, asked.flags);
    return {EFAULT, {}};
  }
  Buffer buffer{.address = asked.va_addr, .size = asked.size, .flags = asked.flags, .gpu = gpu};
  if ((asked.flags & kinds) == abi::memory::userptr) buffer.user_address = asked.mmap_offset;
  buffer.offset = process_.memory.next_offset(gpu, buffer.backing());
  asked.mmap_offset =
      (asked.flags & abi::memory::mmio_remap) != 0 ? mmio_cookie(gpu) : buffer.offset;
  asked.handle = process_.memory.add(buffer);
  machine_.surroundings_.note(asked.handle, &buffer);
  put(asked);
  return {};
}

// amdgpu_amdkfd_gpuvm_free_memory_of_gpu: a buffer that is mapped anywhere keeps its handle.
Answer Calls::free_memory() {
  const std::uint64_t handle = get<abi::FreeMemory>().handle;
  if (process_.event_page != 0 && process_.event_page == handle) return {EPERM, {}};
  Buffer* const buffer = process_.memory.find(handle);
  if (buffer == nullptr) return {EINVAL, {}};
  if (buffer->mapped_on != 0) {
    ++buffer->refused_frees;
    machine_.surroundings_.note(handle, buffer);
    return {EBUSY, {}};
  }
  machine_.give_back(process_, *buffer);
  machine_.surroundings_.note(handle, nullptr);
  process_.memory.remove(handle);
  return {};
}

int Calls::read_ids(const abi::MapMemory& asked, std::vector<std::uint32_t>& ids) {
  if (asked.n_devices == 0 || asked.n_success > asked.n_devices) return EINVAL;
  if (asked.n_devices > most_ids) return ENOMEM;
  ids.resize(asked.n_devices);
  return machine_.surroundings_.read(asked.device_ids_array_ptr,
                                     std::as_writable_bytes(std::span(ids)))
             ? 0
             : EFAULT;
}

int Calls::map_on(Buffer& buffer, std::uint32_t id) {
  int gpu = -1;
  if (const int error = bind(id, gpu)) return error;
  const StepFault fault = machine_.surroundings_.planned(gpu, Step::map);
  if (fault.fails) return ENOMEM;
  const bool is_new = (buffer.mapped_on >> gpu & 1) == 0;
  if (const int error = process_.memory.map(buffer, gpu)) return error;
  if (!is_new) return 0;
  ++machine_.dispatches_;
  const Time now = machine_.surroundings_.now();
  if (machine_.surroundings_.planned(gpu, Step::room).fails) process_.eviction.ask(gpu, now);
  const Time done = now + (fault.hangs ? Machine::hang_timeout : fault.delay);
  buffer.settled = std::max(buffer.settled, done);
  if (fault.hangs) machine_.plan_reset(gpu, done);
  return 0;
}

// In order; stops at the first failure, with n_success telling how far it came. Then the wait for
// the updates of the page tables, which a signal may interrupt: a restart finds nothing left to do
// and waits on.
Answer Calls::change_mappings(bool maps) {
  auto asked = get<abi::MapMemory>();
  const int gpu = gpu_of(static_cast<std::uint32_t>(asked.handle >> 32));
  std::vector<std::uint32_t> ids;
  if (const int error = read_ids(asked, ids)) return {error, {}};
  if (gpu < 0) return {EINVAL, {}};
  if (maps && !process_.memory.file(gpu)) return {ENODEV, {}};
  Buffer* const buffer = process_.memory.find(asked.handle);
  if (buffer == nullptr) return {ENOMEM, {}};
  int error = 0;
  while (asked.n_success < asked.n_devices) {
    const std::uint32_t id = ids[asked.n_success];
    error = maps ? map_on(*buffer, id) : unmap_on(*buffer, id);
    if (error != 0) break;
    ++asked.n_success;
  }
  put(asked);
  if (maps) buffer->last_map = {error, asked.n_success, asked.n_devices};
  machine_.surroundings_.note(asked.handle, buffer);
  return error != 0 ? Answer{error, {}} : settle(*buffer);
}

Answer Calls::map_memory() { return change_mappings(true); }
Answer Calls::unmap_memory() { return change_mappings(false); }

// amdgpu_amdkfd_gpuvm_sync_memory.
Answer Calls::settle(const Buffer& buffer) {
  const StepFault fault = machine_.surroundings_.planned(buffer.gpu, Step::wait);
  const Time now = machine_.surroundings_.now();
  const Time until = std::max(buffer.settled, now + fault.delay);
  if (until <= now && !fault.interrupts) return {};
  Answer answer = machine_.wait(number_, false, until);
  answer.wait->is_interrupted = fault.interrupts;
  return answer;
}

int Calls::unmap_on(Buffer& buffer, std::uint32_t id) {
  const int gpu = gpu_of(id);
  if (gpu < 0) return EINVAL;
  const StepFault fault = machine_.surroundings_.planned(gpu, Step::unmap);
  if (const int error = process_.memory.unmap(buffer, gpu)) return error;
  ++machine_.dispatches_;
  const Time now = machine_.surroundings_.now();
  const Time done = now + (fault.hangs ? Machine::hang_timeout : fault.delay);
  buffer.settled = std::max(buffer.settled, done);
  if (fault.hangs) machine_.plan_reset(gpu, done);
  return 0;
}

Answer Calls::available_memory() {
  auto asked = get<abi::AvailableMemory>();
  const int gpu = gpu_of(asked.gpu_id);
  if (gpu < 0) return {EINVAL, {}};
  asked.available = machine_.limits_.available(gpu);
  put(asked);
  return {};
}

}  // namespace sluice::kfd
