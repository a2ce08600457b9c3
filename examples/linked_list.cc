// A linked list in managed memory, walked by a device: pointers mean the same everywhere.
//
// The launch names the head only. every_shared_range() declares that the kernel follows pointers
// from there, as CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL does in OpenCL.
#include <cstdio>
#include <vector>

#include "need.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

int main() {
  const auto space = need(sluice::Space::open({.strict = sluice::Strict::report}));

  // Nodes in several ranges, linked across them: 0 of the first, 0 of the second, ..., 1 of the
  // first, ...
  constexpr std::size_t lists = 4;
  constexpr std::size_t nodes = 1000;
  std::vector<sluice::Buffer<sluice_soft_node>> buffers;
  buffers.reserve(lists);
  for (std::size_t i = 0; i < lists; ++i)
    buffers.push_back(need(space.buffer<sluice_soft_node>(nodes)));
  sluice_soft_node* next = nullptr;
  for (std::size_t i = lists * nodes; i-- > 0;) {
    sluice_soft_node& node = buffers[i % lists][i / lists];
    node = {next, i};
    next = &node;
  }

  const auto count = need(space.buffer<std::uint64_t>(1));
  const auto queue = need(space.queue(0));
  const auto walk = need(queue.kernel("list_walk"));
  const auto fence = need(queue.launch(walk)
                              .every_shared_range()
                              .arguments(sluice_soft_list_walk{next, 1'000'000, count.data()})
                              .submit());
  need(fence.wait());

  need(count[0] == lists * nodes, "the kernel met every node");
  std::size_t met = 0;
  for (const sluice_soft_node* node = next; node != nullptr; node = node->next) {
    need(node->value == met++ + 1'000'000, "the kernel's addition");
  }
  std::printf("a kernel and the host have walked the same %zu nodes in %zu ranges\n", met, lists);
}
