// The ioctls of a render node that AMD's user space asks on its way to /dev/kfd: the driver's
// version, and facts of the GPU. Linux 6.1: drm_ioctl.c, drm_version; amdgpu_kms.c,
// amdgpu_info_ioctl.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "face/kfd/uapi/spec.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

inline constexpr std::uint32_t drm_group = 'd';

// An errno, or 0. ENOTTY: it is not served.
[[nodiscard]] int drm_call(const MachineSpec& spec, std::uint32_t request,
                           std::span<std::byte> arguments, Surroundings& surroundings);

}  // namespace sluice::kfd
