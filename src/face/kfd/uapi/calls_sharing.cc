// The ioctls of dma-bufs: kfd_chardev.c, kfd_ioctl_get_dmabuf_info and kfd_ioctl_import_dmabuf;
// amdgpu_amdkfd.c, amdgpu_amdkfd_get_dmabuf_info; amdgpu_amdkfd_gpuvm.c,
// amdgpu_amdkfd_gpuvm_import_dmabuf. Imported memory is charged to nobody.
#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"

namespace sluice::kfd {

Answer Calls::get_dmabuf_info() {
  constexpr std::uint32_t largest_metadata = 4U << 20;  // kzalloc gives no more
  auto asked = get<abi::GetDmabufInfo>();
  if (asked.metadata_ptr != 0 && asked.metadata_size > largest_metadata) return {ENOMEM, {}};
  SharedBuffer shared;
  if (const int error = machine_.surroundings_.open_shared(asked.dmabuf_fd, shared))
    return {error, {}};
  machine_.surroundings_.close_shared(shared.file);
  if (shared.file.gpu >= machine_.spec_.gpus) return {EINVAL, {}};
  const std::size_t room = asked.metadata_ptr != 0 ? asked.metadata_size : 0;
  asked.size = shared.size;
  asked.gpu_id = gpu_id_of(shared.file.gpu);
  asked.flags = shared.is_vram ? abi::memory::vram : abi::memory::gtt;
  if (shared.is_host_accessible) asked.flags |= abi::memory::host_accessible;
  if (room != 0 && room < shared.metadata.size()) return {EINVAL, {}};
  asked.metadata_size = static_cast<std::uint32_t>(shared.metadata.size());
  put(asked);
  if (room == 0) return {};
  const bool copied = machine_.surroundings_.write(asked.metadata_ptr, shared.metadata);
  return {copied ? 0 : EFAULT, {}};
}

Answer Calls::import_dmabuf() {
  auto asked = get<abi::ImportDmabuf>();
  SharedBuffer shared;
  if (const int error = machine_.surroundings_.open_shared(asked.dmabuf_fd, shared))
    return {error, {}};
  int gpu = -1;
  int error = bind(asked.gpu_id, gpu);
  if (error == 0 && shared.file.gpu != gpu) error = EINVAL;
  if (error != 0) {
    machine_.surroundings_.close_shared(shared.file);
    return {error, {}};
  }
  Buffer buffer;
  buffer.address = asked.va_addr;
  buffer.size = shared.size;
  buffer.flags = shared.is_vram ? abi::memory::vram : abi::memory::gtt;
  buffer.gpu = gpu;
  buffer.shared = shared.file;
  asked.handle = process_.memory.add(buffer);
  machine_.surroundings_.note(asked.handle, process_.memory.find(asked.handle));
  put(asked);
  return {};
}

}  // namespace sluice::kfd
