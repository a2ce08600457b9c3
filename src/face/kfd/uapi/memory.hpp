// Memory: the buffer objects of one process on all GPUs, and where each is mapped.
//
// Linux 6.1: kfd_chardev.c, the ioctls; amdgpu_amdkfd_gpuvm.c, the work. A buffer belongs to one
// GPU, by whose id and a number its handle is made, and can be mapped on any. Mapping is ordered:
// it stops at the first GPU that fails, leaves later ones untouched, and undoes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "face/kfd/uapi/abi.hpp"
#include "face/kfd/uapi/id_table.hpp"
#include "face/kfd/uapi/limits.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

// How far a MAP came.
struct MapReport {
  int error = 0;
  std::uint32_t n_success = 0;
  std::uint32_t n_devices = 0;  // 0: there was none
};

struct Buffer {
  std::uint64_t handle = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;  // as it was asked for
  std::uint32_t flags = 0;
  int gpu = 0;
  std::uint64_t offset = 0;            // in the GPU's render file
  std::uint64_t user_address = 0;      // of user memory; 0: it is none
  std::optional<RenderFile> shared{};  // a dma-buf's; then it is charged to nobody
  std::uint64_t mapped_on = 0;         // a bit for each GPU
  Time settled{0};                     // when the last change of its mappings is complete
  bool is_in_gtt = false;              // VRAM whose place another client needed
  MapReport last_map{};
  std::uint32_t refused_frees = 0;  // because it was mapped

  // Bytes behind it: an AQL queue's buffer is mapped twice in a row.
  [[nodiscard]] std::uint64_t backing() const noexcept;
  [[nodiscard]] std::uint64_t pages() const noexcept;  // bytes of addresses, in whole pages
};

class Memory {
 public:
  explicit Memory(int gpus) : gpus_(static_cast<std::size_t>(gpus)) {}

  // The render file that the process uses for the GPU; none before acquire().
  [[nodiscard]] const std::optional<RenderFile>& file(int gpu) const { return of(gpu).file; }
  // EBUSY: another file is.
  [[nodiscard]] int acquire(int gpu, const RenderFile& file);

  [[nodiscard]] static std::uint64_t handle_of(int gpu, std::uint32_t id) noexcept;
  // Null: no buffer has this handle.
  [[nodiscard]] Buffer* find(std::uint64_t handle);

  // Adds a buffer that has been charged; its handle.
  [[nodiscard]] std::uint64_t add(Buffer buffer);
  // The next place in the render file for so many bytes. Places are not used twice.
  [[nodiscard]] std::uint64_t next_offset(int gpu, std::uint64_t size);
  void remove(std::uint64_t handle);

  // True if a buffer, or the user memory of one, is at any of these addresses.
  [[nodiscard]] bool holds_any(std::uint64_t address, std::uint64_t size);

  // EINVAL: the addresses are no whole pages below 2^47, or another buffer is mapped there.
  [[nodiscard]] int map(Buffer& buffer, int gpu);
  // EINVAL: it is not mapped there.
  [[nodiscard]] int unmap(Buffer& buffer, int gpu);

  // The buffer that is mapped on the GPU at an address, and the place in its bytes.
  struct Place {
    const Buffer* buffer = nullptr;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<Place> at(int gpu, std::uint64_t address);

  // The process's own memory that a GPU reaches where no buffer is mapped on it: bytes in a row
  // from an address on, 0 if there are none.
  using Beyond = std::function<std::uint64_t(int gpu, std::uint64_t address, bool writes)>;
  void extend(Beyond beyond) { beyond_ = std::move(beyond); }
  [[nodiscard]] std::uint64_t beyond(int gpu, std::uint64_t address, bool writes) const {
    return beyond_ ? beyond_(gpu, address, writes) : 0;
  }

  // Calls `visit(Buffer&)` for every buffer.
  template <typename Visitor>
  void for_each(Visitor&& visit) {
    for (PerGpu& each : gpus_)
      for (auto& [id, buffer] : each.buffers) visit(buffer);
  }

 private:
  struct PerGpu {
    std::optional<RenderFile> file;
    IdTable<Buffer> buffers;
    std::map<std::uint64_t, const Buffer*> mapped;  // by the first byte
    std::uint64_t next_offset = 0;
  };
  [[nodiscard]] PerGpu& of(int gpu) { return gpus_[static_cast<std::size_t>(gpu)]; }
  [[nodiscard]] const PerGpu& of(int gpu) const { return gpus_[static_cast<std::size_t>(gpu)]; }

  std::vector<PerGpu> gpus_;
  Beyond beyond_;
};

}  // namespace sluice::kfd
