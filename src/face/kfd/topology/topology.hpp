// Topology: the files by which sysfs shows the machine's processors, GPUs and links.
//
// Linux 6.1, kfd_topology.c, writes them; AMD's thunk and tools read them. Pure: (machine) -> text
// by path. Node 0 is the host, node 1 + i is GPU i.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {

struct HostShape {
  int processors = 1;
  std::uint32_t first_apic_id = 0;  // as /proc/cpuinfo has it: by it the host's name is found
  std::uint64_t memory = 0;         // bytes
};

// The files by absolute path: those of KFD's topology, what shows that the driver is there, and an
// empty one for each device file.
[[nodiscard]] std::map<std::string, std::string> topology_files(const MachineSpec& spec,
                                                                const HostShape& host);

// The device file of a GPU.
inline constexpr int first_render_minor = 128;
[[nodiscard]] std::string render_path(int gpu);

}  // namespace sluice::kfd
