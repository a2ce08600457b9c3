// The source text's question put to AMD's runtime (ROCr): memory of the first of four GPUs cannot
// be mapped on the third, and is released. A line for each step; 3 if the failure came too early.
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>

#include <cstdio>
#include <vector>

namespace {

constexpr std::size_t size = 1 << 20;

std::vector<hsa_agent_t> gpus;
hsa_amd_memory_pool_t pool{};

hsa_status_t note_gpu(hsa_agent_t agent, void*) {
  hsa_device_type_t type{};
  hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type);
  if (type == HSA_DEVICE_TYPE_GPU) gpus.push_back(agent);
  return HSA_STATUS_SUCCESS;
}

hsa_status_t note_pool(hsa_amd_memory_pool_t found, void*) {
  hsa_amd_segment_t segment{};
  hsa_amd_memory_pool_get_info(found, HSA_AMD_MEMORY_POOL_INFO_SEGMENT, &segment);
  if (segment != HSA_AMD_SEGMENT_GLOBAL) return HSA_STATUS_SUCCESS;
  pool = found;
  return HSA_STATUS_INFO_BREAK;
}

int run() {
  if (hsa_init() != HSA_STATUS_SUCCESS) return 3;
  hsa_iterate_agents(note_gpu, nullptr);
  std::printf("gpus %zu\n", gpus.size());
  if (gpus.size() != 4) return 3;
  hsa_amd_agent_iterate_memory_pools(gpus[0], note_pool, nullptr);
  void* buffer = nullptr;
  if (hsa_amd_memory_pool_allocate(pool, size, 0, &buffer) != HSA_STATUS_SUCCESS) return 3;
  std::printf("allow 4 GPUs\n");
  std::fflush(stdout);
  std::printf("allowed: %d\n", hsa_amd_agents_allow_access(4, gpus.data(), nullptr, buffer));
  std::fflush(stdout);
  std::printf("free: %d\n", hsa_amd_memory_pool_free(buffer));
  std::fflush(stdout);
  std::printf("shut down: %d\n", hsa_shut_down());
  return 0;
}

}  // namespace

int main() { return run(); }
