// SharedMemory: memory of a GPU that processes hand to each other by a descriptor, as a dma-buf.
//
// It is a memory file, so that mmap() of the descriptor shows the bytes. Its last page says what it
// is. Its size is sealed: nobody can take pages away under another process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "os/owned_fd.hpp"

namespace sluice::kfd {

inline constexpr std::size_t most_metadata = 256;  // amdgpu_gem_metadata_ioctl

struct SharedFacts {
  std::uint64_t magic = 0;
  std::uint64_t size = 0;  // of the memory, in whole pages
  std::uint32_t gpu = 0;
  std::uint32_t is_vram = 0;
  std::uint32_t is_host_accessible = 0;
  std::uint32_t metadata_size = 0;
  std::uint64_t metadata_flags = 0;
  std::uint64_t tiling = 0;
  std::array<std::byte, most_metadata> metadata{};
};

// `facts.size` in whole pages. Not open: errno says why.
[[nodiscard]] os::OwnedFd make_shared_memory(SharedFacts facts) noexcept;
// EBADF: there is no such descriptor. EINVAL: it is none of these files, or is not as it says.
[[nodiscard]] int read_shared_facts(int descriptor, SharedFacts& facts) noexcept;
[[nodiscard]] bool write_shared_facts(int descriptor, const SharedFacts& facts) noexcept;

}  // namespace sluice::kfd
