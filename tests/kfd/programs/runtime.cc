// The source text's question put to AMD's runtime (ROCr): memory of the first of four GPUs cannot
// be mapped on the third, and is released. A line for each step; 3 if the failure came too early.
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>
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

hsa_status_t note_host(hsa_agent_t agent, void* to) {
  hsa_device_type_t type{};
  hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type);
  if (type == HSA_DEVICE_TYPE_CPU) *static_cast<hsa_agent_t*>(to) = agent;
  return HSA_STATUS_SUCCESS;
}

// One copy by a GPU, waited for; prints how it ended.
bool copy(const char* what, void* to, hsa_agent_t to_agent, const void* from,
          hsa_agent_t from_agent) {
  hsa_signal_t signal{};
  if (hsa_signal_create(1, 0, nullptr, &signal) != HSA_STATUS_SUCCESS) return false;
  const hsa_status_t begun =
      hsa_amd_memory_async_copy(to, to_agent, from, from_agent, size, 0, nullptr, signal);
  const hsa_signal_value_t left = hsa_signal_wait_scacquire(signal, HSA_SIGNAL_CONDITION_LT, 1,
                                                            UINT64_MAX, HSA_WAIT_STATE_BLOCKED);
  hsa_signal_destroy(signal);
  std::printf("%s: %d, %lld\n", what, begun, static_cast<long long>(left));
  std::fflush(stdout);
  return begun == HSA_STATUS_SUCCESS && left == 0;
}

// Host to GPU 0, to GPU 1, and back: the bytes must be the same.
int copies() {
  if (hsa_init() != HSA_STATUS_SUCCESS) return 3;
  hsa_iterate_agents(note_gpu, nullptr);
  hsa_agent_t host{};
  hsa_iterate_agents(note_host, &host);
  hsa_amd_agent_iterate_memory_pools(host, note_pool, nullptr);
  void* here = nullptr;
  void* back = nullptr;
  if (hsa_amd_memory_pool_allocate(pool, size, 0, &here) != HSA_STATUS_SUCCESS) return 3;
  if (hsa_amd_memory_pool_allocate(pool, size, 0, &back) != HSA_STATUS_SUCCESS) return 3;
  const auto count = static_cast<std::uint32_t>(gpus.size());
  hsa_amd_agents_allow_access(count, gpus.data(), nullptr, here);
  hsa_amd_agents_allow_access(count, gpus.data(), nullptr, back);
  std::vector<void*> buffers(2);
  for (std::size_t gpu = 0; gpu < 2; ++gpu) {
    hsa_amd_agent_iterate_memory_pools(gpus[gpu], note_pool, nullptr);
    if (hsa_amd_memory_pool_allocate(pool, size, 0, &buffers[gpu]) != HSA_STATUS_SUCCESS) return 3;
    hsa_amd_agents_allow_access(count, gpus.data(), nullptr, buffers[gpu]);
  }
  auto* const sent = static_cast<std::uint32_t*>(here);
  auto* const got = static_cast<std::uint32_t*>(back);
  for (std::size_t at = 0; at < size / 4; ++at) sent[at] = static_cast<std::uint32_t>(at * 7 + 1);
  bool good = copy("host to GPU 0", buffers[0], gpus[0], here, host) &&
              copy("GPU 0 to GPU 1", buffers[1], gpus[1], buffers[0], gpus[0]) &&
              copy("GPU 1 to host", back, host, buffers[1], gpus[1]);
  for (std::size_t at = 0; at < size / 4; ++at) good = good && got[at] == sent[at];
  std::printf("bytes: %s\n", good ? "the same" : "wrong");
  std::printf("shut down: %d\n", hsa_shut_down());
  return good ? 0 : 1;
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

void wait_for_line() {
  std::fflush(stdout);
  for (int read = std::getchar(); read != '\n' && read != EOF; read = std::getchar()) {
  }
}

double microseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

// One byte of the first GPU for all of them, as hipMalloc(1) asks for it. Waits for a line after
// the start, and once more after the allocation.
int one_byte() {
  auto begin = std::chrono::steady_clock::now();
  if (hsa_init() != HSA_STATUS_SUCCESS) return 3;
  hsa_iterate_agents(note_gpu, nullptr);
  hsa_amd_agent_iterate_memory_pools(gpus[0], note_pool, nullptr);
  std::printf("process %d\nstart: %.0f us\n", getpid(), microseconds_since(begin));
  wait_for_line();
  begin = std::chrono::steady_clock::now();
  void* buffer = nullptr;
  if (hsa_amd_memory_pool_allocate(pool, 1, 0, &buffer) != HSA_STATUS_SUCCESS) return 3;
  const auto count = static_cast<std::uint32_t>(gpus.size());
  if (hsa_amd_agents_allow_access(count, gpus.data(), nullptr, buffer) != HSA_STATUS_SUCCESS)
    return 3;
  std::printf("one byte: %.0f us\n", microseconds_since(begin));
  wait_for_line();
  return hsa_amd_memory_pool_free(buffer) == HSA_STATUS_SUCCESS ? 0 : 1;
}

}  // namespace

// With the argument `copies` or `one-byte` it does that instead.
int main(int count, char** arguments) {
  if (count < 2) return run();
  return std::string_view(arguments[1]) == "copies" ? copies() : one_byte();
}
