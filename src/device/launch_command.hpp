// A launch as a device sees it: its queue, kernel and memory as plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/types.hpp"
#include "device/fence.hpp"
#include "sluice/access.hpp"

namespace sluice::device {

struct QueueId {
  std::uint16_t value = 0;
};
struct KernelId {
  std::uint64_t value = 0;
};

// Memory that a launch or a dispatch call names.
struct NamedMemory {
  AddressSpan span;
  Access access = Access::read;
};

struct LaunchCommand {
  KernelId kernel;
  std::span<const std::byte> arguments;
  std::uint64_t items = 1;          // how many work items; the kernel's own meaning
  std::span<const Fence> wait_for;  // fences of this same device
  // Only with Traits::limits_launches. The kernel reaches only these mapped pages, with these
  // rights. Any other access to a managed address stalls it, as on a device with recoverable
  // faults, and an answer that resolves the fault adds the page. Without a value the launch is not
  // limited.
  std::optional<std::span<const NamedMemory>>
      granted{};  // NOLINT(readability-redundant-member-init)
};

// The access that ended a kernel.
struct KernelFault {
  std::string kernel;
  QueueId queue;
  Address address;
  Access access = Access::read;
};

}  // namespace sluice::device
