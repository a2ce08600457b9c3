// The files of the topology: they must agree with each other and with what was asked for.
#include "face/kfd/topology/topology.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace sluice::kfd {
namespace {

const std::string nodes = "/sys/devices/virtual/kfd/kfd/topology/nodes/";

class Shown {
 public:
  explicit Shown(const MachineSpec& spec)
      : files_(topology_files(spec, {.processors = 6, .first_apic_id = 3, .memory = 1 << 30})) {}

  const std::string& text(const std::string& path) const { return files_.at(path); }
  bool has(const std::string& path) const { return files_.count(path) != 0; }
  // The value of a property.
  std::uint64_t value(const std::string& path, const std::string& name) const {
    std::istringstream lines(text(path));
    std::string found;
    std::uint64_t value = 0;
    while (lines >> found >> value)
      if (found == name) return value;
    ADD_FAILURE() << path << " has no " << name;
    return 0;
  }
  std::uint64_t of_node(int node, const std::string& name) const {
    return value(nodes + std::to_string(node) + "/properties", name);
  }
  // How many folders of the kind a node has.
  int count(int node, const std::string& kind) const {
    int found = 0;
    while (has(nodes + std::to_string(node) + "/" + kind + "/" + std::to_string(found) +
               "/properties"))
      ++found;
    return found;
  }

 private:
  std::map<std::string, std::string> files_;
};

TEST(KfdTopology, counts_are_those_of_the_folders_for_1_to_64_gpus) {
  for (const int gpus : {1, 2, 4, 16, 64}) {
    for (const Links links : {Links::pcie, Links::xgmi}) {
      const Shown shown({.gpus = gpus, .links = links});
      for (int node = 0; node <= gpus; ++node) {
        EXPECT_EQ(shown.of_node(node, "io_links_count"), shown.count(node, "io_links"));
        EXPECT_EQ(shown.of_node(node, "p2p_links_count"), shown.count(node, "p2p_links"));
        EXPECT_EQ(shown.of_node(node, "mem_banks_count"), shown.count(node, "mem_banks"));
        EXPECT_EQ(shown.of_node(node, "caches_count"), shown.count(node, "caches"));
        // Every other node is reached by one link.
        EXPECT_EQ(shown.count(node, "io_links") + shown.count(node, "p2p_links"), gpus);
      }
      EXPECT_FALSE(shown.has(nodes + std::to_string(gpus + 1) + "/gpu_id"));
    }
  }
}

TEST(KfdTopology, ids_places_and_device_files_differ) {
  const Shown shown({.gpus = 64});
  std::set<std::string> ids;
  std::set<std::uint64_t> places;
  for (int gpu = 0; gpu < 64; ++gpu) {
    const std::string& id = shown.text(nodes + std::to_string(gpu + 1) + "/gpu_id");
    EXPECT_EQ(id, std::to_string(gpu_id_of(gpu)) + "\n");
    EXPECT_EQ(gpu_of_id(gpu_id_of(gpu), 64), gpu);
    EXPECT_LT(gpu_id_of(gpu), 65536U);  // Linux makes it from 16 bits
    ids.insert(id);
    places.insert(shown.of_node(gpu + 1, "location_id"));
    EXPECT_TRUE(
        shown.has("/dev/dri/renderD" + std::to_string(shown.of_node(gpu + 1, "drm_render_minor"))));
  }
  EXPECT_EQ(ids.size(), 64U);
  EXPECT_EQ(places.size(), 64U);
  EXPECT_EQ(gpu_of_id(0, 64), -1);
  EXPECT_EQ(gpu_of_id(gpu_id_of(8), 8), -1);
  EXPECT_TRUE(shown.has("/dev/kfd"));
}

TEST(KfdTopology, the_host_is_node_0_and_no_gpu) {
  const Shown shown({.gpus = 2});
  EXPECT_EQ(shown.text(nodes + "0/gpu_id"), "0\n");
  EXPECT_EQ(shown.of_node(0, "cpu_cores_count"), 6U);
  EXPECT_EQ(shown.of_node(0, "cpu_core_id_base"), 3U);
  EXPECT_EQ(shown.of_node(0, "simd_count"), 0U);
  EXPECT_EQ(shown.value(nodes + "0/mem_banks/0/properties", "size_in_bytes"), 1U << 30);
}

TEST(KfdTopology, chips_memory_and_links_are_as_asked) {
  struct Row {
    Chip chip;
    std::uint64_t version, device;
  };
  for (const auto& [chip, version, device] :
       {Row{Chip::gfx908, 90008, 0x738c}, Row{Chip::gfx90a, 90010, 0x7408},
        Row{Chip::gfx942, 90402, 0x74a1}}) {
    const Shown shown({.gpus = 1, .chip = chip});
    EXPECT_EQ(shown.of_node(1, "gfx_target_version"), version);
    EXPECT_EQ(shown.of_node(1, "device_id"), device);
    EXPECT_EQ(shown.of_node(1, "hive_id"), 0U);  // one GPU is no hive
  }
  const Shown hive({.gpus = 3, .vram = 5 << 20});
  EXPECT_NE(hive.of_node(2, "hive_id"), 0U);
  EXPECT_EQ(hive.value(nodes + "2/io_links/1/properties", "type"), 11U);
  EXPECT_EQ(hive.value(nodes + "2/mem_banks/0/properties", "size_in_bytes"), 5U << 20);
  EXPECT_EQ(hive.value(nodes + "2/mem_banks/0/properties", "heap_type"), 1U);
  const Shown apart({.gpus = 3, .links = Links::pcie, .large_bar = false});
  EXPECT_EQ(apart.of_node(2, "hive_id"), 0U);
  EXPECT_EQ(apart.value(nodes + "2/p2p_links/1/properties", "node_to"), 3U);
  EXPECT_EQ(apart.value(nodes + "2/mem_banks/0/properties", "heap_type"), 2U);
}

// The thunk reads a page of each file, and the runtime refuses caches of another type.
TEST(KfdTopology, files_fit_a_page_and_caches_have_the_type_that_rocr_wants) {
  const MachineSpec spec{.gpus = 64};
  for (const auto& [path, text] : topology_files(spec, {})) EXPECT_LT(text.size(), 4096U) << path;
  const Shown shown(spec);
  EXPECT_EQ(shown.value(nodes + "5/caches/0/properties", "type"), 9U);
}

}  // namespace
}  // namespace sluice::kfd
