// One function for each kind of file. Values that no user space looks at are the ones that a real
// machine of the kind shows.
#include "face/kfd/topology/topology.hpp"

#include <string_view>
#include <vector>

#include "face/kfd/topology/chip.hpp"

namespace sluice::kfd {
namespace {

using Files = std::map<std::string, std::string>;

constexpr std::string_view topology_root = "/sys/devices/virtual/kfd/kfd/topology";
constexpr std::uint32_t simds_per_unit = 4;

// Lines of "name value".
class Properties {
 public:
  Properties& add(std::string_view name, std::uint64_t value) {
    text_.append(name).append(" ").append(std::to_string(value)).append("\n");
    return *this;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

std::string node_folder(int node) {
  return std::string(topology_root) + "/nodes/" + std::to_string(node);
}

// A connection as one of its ends shows it.
struct LinkEnd {
  int from = 0;
  int to = 0;
  std::uint32_t type = 0;
  std::uint32_t weight = 0;
  std::uint32_t bandwidth = 0;  // MB/s, the same in both directions
};
constexpr std::uint32_t pcie_link = 2;
constexpr std::uint32_t xgmi_link = 11;

std::string link_text(const LinkEnd& link) {
  constexpr std::uint32_t enabled = 1;
  return Properties()
      .add("type", link.type)
      .add("version_major", 0)
      .add("version_minor", 0)
      .add("node_from", static_cast<std::uint64_t>(link.from))
      .add("node_to", static_cast<std::uint64_t>(link.to))
      .add("weight", link.weight)
      .add("min_latency", 0)
      .add("max_latency", 0)
      .add("min_bandwidth", link.bandwidth)
      .add("max_bandwidth", link.bandwidth)
      .add("recommended_transfer_size", 0)
      .add("flags", enabled)
      .text();
}

// The links of a node: to the host over PCIe; among GPUs in one hive over XGMI, else peer to peer.
struct NodeLinks {
  std::vector<LinkEnd> direct;
  std::vector<LinkEnd> peer;
};

NodeLinks links_of(int node, const MachineSpec& spec) {
  constexpr std::uint32_t to_host = 20;
  constexpr std::uint32_t over_host = 40;
  constexpr std::uint32_t in_hive = 15;
  NodeLinks links;
  for (int other = 0; other <= spec.gpus; ++other) {
    if (other == node) continue;
    if (node == 0 || other == 0)
      links.direct.push_back({node, other, pcie_link, to_host, 31504});
    else if (spec.links == Links::xgmi)
      links.direct.push_back({node, other, xgmi_link, in_hive, 50000});
    else
      links.peer.push_back({node, other, pcie_link, over_host, 31504});
  }
  return links;
}

void add_links(Files& files, const std::string& folder, const NodeLinks& links) {
  const auto add = [&](const char* kind, const std::vector<LinkEnd>& ends) {
    for (std::size_t at = 0; at < ends.size(); ++at)
      files[folder + "/" + kind + "/" + std::to_string(at) + "/properties"] = link_text(ends[at]);
  };
  add("io_links", links.direct);
  add("p2p_links", links.peer);
}

std::string memory_text(std::uint32_t heap, std::uint64_t size, std::uint32_t width,
                        std::uint32_t clock) {
  return Properties()
      .add("heap_type", heap)
      .add("size_in_bytes", size)
      .add("flags", 0)
      .add("width", width)
      .add("mem_clk_max", clock)
      .text();
}

std::string cache_text(std::uint32_t first_simd, std::uint32_t level, std::uint32_t kib) {
  constexpr std::uint32_t data_of_a_gpu = 9;  // HSA's bits for "data" and "of compute units"
  constexpr int siblings = 256;
  std::string text = Properties()
                         .add("processor_id_low", first_simd)
                         .add("level", level)
                         .add("size", kib)
                         .add("cache_line_size", 64)
                         .add("cache_lines_per_tag", 1)
                         .add("association", 16)
                         .add("latency", 0)
                         .add("type", data_of_a_gpu)
                         .text();
  text += "sibling_map ";
  for (int sibling = 0; sibling < siblings; ++sibling) text += sibling == 0 ? "1" : ",0";
  return text + "\n";
}

void add_host(Files& files, const MachineSpec& spec, const HostShape& host) {
  const std::string folder = node_folder(0);
  const NodeLinks links = links_of(0, spec);
  files[folder + "/gpu_id"] = "0\n";
  files[folder + "/name"] = "\n";
  files[folder + "/properties"] =
      Properties()
          .add("cpu_cores_count", static_cast<std::uint64_t>(host.processors))
          .add("simd_count", 0)
          .add("mem_banks_count", 1)
          .add("caches_count", 0)
          .add("io_links_count", links.direct.size())
          .add("p2p_links_count", links.peer.size())
          .add("cpu_core_id_base", host.first_apic_id)
          .add("simd_id_base", 0)
          .add("max_waves_per_simd", 0)
          .add("lds_size_in_kb", 0)
          .add("gds_size_in_kb", 0)
          .add("num_gws", 0)
          .add("wave_front_size", 0)
          .add("array_count", 0)
          .add("simd_arrays_per_engine", 0)
          .add("cu_per_simd_array", 0)
          .add("simd_per_cu", 0)
          .add("max_slots_scratch_cu", 0)
          .add("gfx_target_version", 0)
          .add("vendor_id", 0)
          .add("device_id", 0)
          .add("location_id", 0)
          .add("domain", 0)
          .add("drm_render_minor", 0)
          .add("hive_id", 0)
          .add("num_sdma_engines", 0)
          .add("num_sdma_xgmi_engines", 0)
          .add("num_sdma_queues_per_engine", 0)
          .add("num_cp_queues", 0)
          .add("max_engine_clk_ccompute", 2000)
          .text();
  files[folder + "/mem_banks/0/properties"] = memory_text(0, host.memory, 64, 3200);
  add_links(files, folder, links);
}

// Bits of `capability`: kfd_topology.h, HSA_CAP_*.
std::uint64_t gpu_capability() noexcept {
  constexpr std::uint64_t watch_points = 0x80 | 2 << 8;  // four of them
  constexpr std::uint64_t doorbells_of_gfx9 = 2 << 12;
  constexpr std::uint64_t svm = std::uint64_t{1} << 27;
  constexpr std::uint64_t error_correction = std::uint64_t{1} << 20 | std::uint64_t{1} << 26;
  return watch_points | doorbells_of_gfx9 | svm | error_correction;
}

std::string gpu_text(int gpu, const MachineSpec& spec, const NodeLinks& links) {
  const ChipFacts chip = facts_of(spec.chip);
  const auto index = static_cast<std::uint64_t>(gpu);
  const bool in_hive = spec.links == Links::xgmi && spec.gpus > 1;
  constexpr std::uint64_t hive = 0x51ce0001;
  return Properties()
      .add("cpu_cores_count", 0)
      .add("simd_count", std::uint64_t{chip.compute_units} * simds_per_unit)
      .add("mem_banks_count", 1)
      .add("caches_count", 2)
      .add("io_links_count", links.direct.size())
      .add("p2p_links_count", links.peer.size())
      .add("cpu_core_id_base", 0)
      .add("simd_id_base", 0x80000000 + index * 0x800)
      .add("max_waves_per_simd", chip.waves_per_simd)
      .add("lds_size_in_kb", 64)
      .add("gds_size_in_kb", 0)
      .add("num_gws", 64)
      .add("wave_front_size", 64)
      .add("array_count", chip.arrays)
      .add("simd_arrays_per_engine", 1)
      .add("cu_per_simd_array", chip.units_per_array)
      .add("simd_per_cu", simds_per_unit)
      .add("max_slots_scratch_cu", 32)
      .add("gfx_target_version", chip.target_version)
      .add("vendor_id", 0x1002)
      .add("device_id", chip.device_id)
      .add("location_id", (0x10 + index) << 8)
      .add("domain", 0)
      .add("drm_render_minor", first_render_minor + index)
      .add("hive_id", in_hive ? hive : 0)
      .add("num_sdma_engines", 2)
      .add("num_sdma_xgmi_engines", in_hive ? 3 : 0)
      .add("num_sdma_queues_per_engine", 8)
      .add("num_cp_queues", 24)
      .add("max_engine_clk_fcompute", chip.clock_mhz)
      .add("local_mem_size", 0)
      .add("fw_version", 68)
      .add("capability", gpu_capability())
      .add("sdma_fw_version", 8)
      .add("unique_id", 0x51ce000000000000 + index)
      .add("max_engine_clk_ccompute", 2000)
      .text();
}

void add_gpu(Files& files, int gpu, const MachineSpec& spec) {
  constexpr std::uint32_t seen_by_host = 1;  // HSA_MEM_HEAP_TYPE_FB_PUBLIC, and private
  constexpr std::uint32_t hidden = 2;
  const ChipFacts chip = facts_of(spec.chip);
  const std::string folder = node_folder(gpu + 1);
  const NodeLinks links = links_of(gpu + 1, spec);
  files[folder + "/gpu_id"] = std::to_string(gpu_id_of(gpu)) + "\n";
  files[folder + "/name"] = std::string(chip.name) + "\n";
  files[folder + "/properties"] = gpu_text(gpu, spec, links);
  files[folder + "/mem_banks/0/properties"] =
      memory_text(spec.large_bar ? seen_by_host : hidden, vram_of(spec), chip.memory_width,
                  chip.memory_clock_mhz);
  const auto first_simd =
      static_cast<std::uint32_t>(0x80000000U + static_cast<std::uint32_t>(gpu) * 0x800U);
  files[folder + "/caches/0/properties"] = cache_text(first_simd, 1, 16);
  files[folder + "/caches/1/properties"] = cache_text(first_simd, 2, chip.l2_kib);
  add_links(files, folder, links);
  files[render_path(gpu)] = "";
  // By this libdrm knows that a device file is one of a GPU.
  const std::string minor = std::to_string(first_render_minor + gpu);
  files["/sys/dev/char/226:" + minor + "/device/drm/renderD" + minor + "/dev"] =
      "226:" + minor + "\n";
}

}  // namespace

std::string render_path(int gpu) {
  return "/dev/dri/renderD" + std::to_string(first_render_minor + gpu);
}

std::map<std::string, std::string> topology_files(const MachineSpec& spec, const HostShape& host) {
  Files files;
  files[std::string(topology_root) + "/generation_id"] = "2\n";
  files[std::string(topology_root) + "/system_properties"] =
      Properties().add("platform_oem", 0).add("platform_id", 0).add("platform_rev", 0).text();
  add_host(files, spec, host);
  for (int gpu = 0; gpu < spec.gpus; ++gpu) add_gpu(files, gpu, spec);
  files["/sys/module/amdgpu/initstate"] = "live\n";
  files["/sys/module/amdgpu/holders/.none"] = "";  // lsmod reads the folder
  files["/proc/modules"] = "amdgpu 9412608 0 - Live 0x0000000000000000\n";
  files["/dev/kfd"] = "";
  return files;
}

}  // namespace sluice::kfd
