// The source text's question put to AMD's thunk: a buffer for four GPUs cannot be mapped on the
// third, and is released. A line for each step; the exit status is 0 if the steps before the one
// in question went well, 3 if the failure came too early.
#include <hsakmt.h>

#include <cstdint>
#include <cstdio>

namespace {

constexpr HSAuint64 size = 1 << 20;

int run(int argument_count) {
  if (hsaKmtOpenKFD() != HSAKMT_STATUS_SUCCESS) return 3;
  HsaSystemProperties system{};
  if (hsaKmtAcquireSystemProperties(&system) != HSAKMT_STATUS_SUCCESS) return 3;
  std::printf("nodes %u\n", system.NumNodes);
  HsaMemFlags flags{};
  flags.ui32.NonPaged = 1;
  flags.ui32.HostAccess = 1;
  void* buffer = nullptr;
  if (hsaKmtAllocMemory(1, size, flags, &buffer) != HSAKMT_STATUS_SUCCESS) return 3;
  HSAuint32 nodes[4] = {1, 2, 3, 4};
  HSAuint64 other_address = 0;
  HsaMemMapFlags how{};
  const auto map = [&] {
    return hsaKmtMapMemoryToGPUNodes(buffer, size, &other_address, how, 4, nodes);
  };
  std::printf("map on 4 GPUs: %d\n", map());
  if (argument_count > 1) std::printf("map again: %d\n", map());
  std::printf("unmap: %d\n", hsaKmtUnmapMemoryToGPU(buffer));
  std::printf("free: %d\n", hsaKmtFreeMemory(buffer, size));
  return 0;
}

}  // namespace

// With an argument the mapping is tried once more before the release.
int main(int argument_count, char**) { return run(argument_count); }
