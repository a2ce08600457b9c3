// GemObjects: memory that programs make by a render node, and give to other processes or to
// /dev/kfd as a dma-buf. Linux 6.1: amdgpu_gem.c, drm_prime.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "face/kfd/transport/open_files.hpp"
#include "os/owned_fd.hpp"

namespace sluice::kfd {

class GemObjects {
 public:
  // An errno, or 0, of GEM_CREATE, GEM_METADATA, GEM_CLOSE and PRIME_HANDLE_TO_FD; none: it is
  // another call.
  [[nodiscard]] std::optional<int> call(const OpenFile& file, std::uint32_t request,
                                        std::span<std::byte> arguments);

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;  // the file's number, the handle
  int create(const OpenFile& file, std::span<std::byte> arguments);
  int metadata(const OpenFile& file, std::span<std::byte> arguments);
  int close(const OpenFile& file, std::span<const std::byte> arguments);
  int share(const OpenFile& file, std::span<std::byte> arguments);
  // Null: no object of the file has the handle.
  [[nodiscard]] const os::OwnedFd* find(const OpenFile& file, std::uint32_t handle) const;

  std::map<Key, os::OwnedFd> objects_;
};

}  // namespace sluice::kfd
