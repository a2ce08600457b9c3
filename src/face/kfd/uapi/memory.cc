// The rules of memory.hpp.
#include "face/kfd/uapi/memory.hpp"

#include <cerrno>
#include <utility>

namespace sluice::kfd {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t end_of_addresses = std::uint64_t{1} << 47;
// Buffers lie apart in the file, so that the first one does not lie at 0, which means "none".
constexpr std::uint64_t first_offset = std::uint64_t{2} << 20;

std::uint64_t whole_pages(std::uint64_t size) noexcept {
  return (size + page_bytes - 1) / page_bytes * page_bytes;
}

}  // namespace

std::uint64_t Buffer::backing() const noexcept {
  const bool is_double = (flags & abi::memory::aql_queue) != 0;
  return whole_pages(is_double ? size / 2 : size);
}

std::uint64_t Buffer::pages() const noexcept {
  return (flags & abi::memory::aql_queue) != 0 ? 2 * backing() : backing();
}

// kfd_ioctl_acquire_vm.
int Memory::acquire(int gpu, const RenderFile& file) {
  std::optional<RenderFile>& mine = of(gpu).file;
  if (mine) return mine->number == file.number ? 0 : EBUSY;
  mine = file;
  return 0;
}

std::uint64_t Memory::handle_of(int gpu, std::uint32_t id) noexcept {
  return std::uint64_t{gpu_id_of(gpu)} << 32 | id;
}

Buffer* Memory::find(std::uint64_t handle) {
  const int gpu =
      gpu_of_id(static_cast<std::uint32_t>(handle >> 32), static_cast<int>(gpus_.size()));
  return gpu < 0 ? nullptr : of(gpu).buffers.find(static_cast<std::uint32_t>(handle));
}

std::uint64_t Memory::add(Buffer buffer) {
  const int gpu = buffer.gpu;
  const std::uint64_t handle = handle_of(gpu, of(gpu).buffers.lowest_free());
  buffer.handle = handle;
  (void)of(gpu).buffers.add(std::move(buffer));
  return handle;
}

std::uint64_t Memory::next_offset(int gpu, std::uint64_t size) {
  PerGpu& mine = of(gpu);
  if (mine.next_offset == 0) mine.next_offset = first_offset;
  const std::uint64_t offset = mine.next_offset;
  // Large pages can only lie behind addresses that are aligned like their place in the file.
  mine.next_offset += (size + first_offset - 1) / first_offset * first_offset;
  return offset;
}

void Memory::remove(std::uint64_t handle) {
  const int gpu =
      gpu_of_id(static_cast<std::uint32_t>(handle >> 32), static_cast<int>(gpus_.size()));
  of(gpu).buffers.remove(static_cast<std::uint32_t>(handle));
}

// svm_range_check_vm, which looks at mapped addresses, and svm_range_check_vm_userptr.
bool Memory::holds_any(std::uint64_t address, std::uint64_t size) {
  bool found = false;
  const auto meets = [&](std::uint64_t first, std::uint64_t bytes) {
    return first < address + size && address < first + bytes;
  };
  for_each([&](const Buffer& buffer) {
    found = found || (buffer.mapped_on != 0 && meets(buffer.address, buffer.pages())) ||
            (buffer.user_address != 0 && meets(buffer.user_address, buffer.size));
  });
  return found;
}

// amdgpu_amdkfd_gpuvm_map_memory_to_gpu, amdgpu_vm_bo_map.
int Memory::map(Buffer& buffer, int gpu) {
  const std::uint64_t bit = std::uint64_t{1} << gpu;
  if ((buffer.mapped_on & bit) != 0) return 0;
  const std::uint64_t end = buffer.address + buffer.pages();
  if (buffer.address % page_bytes != 0 || buffer.pages() == 0 || end > end_of_addresses ||
      end < buffer.address)
    return EINVAL;
  auto& mapped = of(gpu).mapped;
  const auto next = mapped.upper_bound(buffer.address);
  if (next != mapped.end() && next->first < end) return EINVAL;
  if (next != mapped.begin()) {
    const Buffer& before = *std::prev(next)->second;
    if (before.address + before.pages() > buffer.address) return EINVAL;
  }
  mapped.emplace(buffer.address, &buffer);
  buffer.mapped_on |= bit;
  return 0;
}

std::optional<Memory::Place> Memory::at(int gpu, std::uint64_t address) {
  const auto& mapped = of(gpu).mapped;
  const auto next = mapped.upper_bound(address);
  if (next == mapped.begin()) return std::nullopt;
  const Buffer* const buffer = std::prev(next)->second;
  const std::uint64_t offset = address - buffer->address;
  if (offset >= buffer->pages()) return std::nullopt;
  return Place{buffer, offset % buffer->backing()};
}

// amdgpu_amdkfd_gpuvm_unmap_memory_from_gpu.
int Memory::unmap(Buffer& buffer, int gpu) {
  const std::uint64_t bit = std::uint64_t{1} << gpu;
  if ((buffer.mapped_on & bit) == 0) return EINVAL;
  of(gpu).mapped.erase(buffer.address);
  buffer.mapped_on &= ~bit;
  return 0;
}

}  // namespace sluice::kfd
