// One pointer: the host writes, two devices compute, the host reads. The program copies nothing.
#include <cstdio>

#include "need.hpp"
#include "sluice/sluice.hpp"

int main() {
  const auto space =
      need(sluice::Space::open({.software = {.count = 2}, .strict = sluice::Strict::report}));

  constexpr std::size_t n = 100'000;
  const auto x = need(space.buffer<float>(n));
  const auto y = need(space.buffer<float>(n));  // never written: reads as zeros, costs nothing
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i);

  for (int device = 0; device < 2; ++device) {
    const auto queue = need(space.queue(device));
    const auto saxpy = need(queue.kernel("saxpy"));
    const auto fence = need(queue.launch(saxpy)
                                .reads(x)
                                .writes(y)
                                .arguments(y.data(), x.data(), 2.0F)
                                .items(n)
                                .submit());
    need(fence.wait());
    const auto holders = need(space.residency(y.data())).holders;
    need(holders == sluice::Location::device(device), "only the device holds what it wrote");
    std::printf("y lives on device %d alone\n", device);
  }

  // These loads find pages that live on device 1. The pages move to the host, and the loop goes on.
  for (std::size_t i = 0; i < n; ++i) need(y[i] == 4 * x[i], "y = 2 x + 2 x");
  const auto holders = need(space.residency(y.data())).holders;
  need(holders.has_host(), "the host holds what it read");
  std::printf("the host has read %zu results through the same pointer, %p\n", n,
              static_cast<void*>(y.data()));
}
