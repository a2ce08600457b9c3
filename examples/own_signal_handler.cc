// A program with a SIGSEGV handler of its own, and managed memory: neither notices the other.
//
// Drivers that resolve faults in a SIGSEGV handler break when a program installs its own, as test
// frameworks, debuggers and language runtimes do. Here no signal is involved, and a real invalid
// access still reaches the handler.
#include <csetjmp>
#include <csignal>
#include <cstdio>

#include "need.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace {

sigjmp_buf back;

void on_segv(int) { siglongjmp(back, 1); }

// True if the load works. The handler leaves by siglongjmp.
bool can_read(const volatile std::uint32_t* address) {
  if (sigsetjmp(back, 1) != 0) return false;
  static_cast<void>(*address);
  return true;
}

}  // namespace

int main() {
  struct sigaction action{};
  action.sa_handler = on_segv;
  sigaction(SIGSEGV, &action, nullptr);

  const auto space = need(sluice::Space::open({.strict = sluice::Strict::report}));
  const auto data = need(space.buffer<std::uint32_t>(1 << 20));
  const auto queue = need(space.queue(0));
  const auto fill = need(queue.kernel("fill"));
  const auto fence = need(queue.launch(fill)
                              .writes(data)
                              .arguments(sluice_soft_fill{data.data(), 42})
                              .items(data.size())
                              .submit());
  need(fence.wait());

  need(can_read(data.data()), "a page that lives on the device can be read");
  need(data[data.size() - 1] == 42, "the kernel's value");
  std::printf("read %u from device memory, the handler was not called\n", data[0]);

  need(!can_read(nullptr), "a null pointer cannot be read");
  std::printf("read a null pointer, the handler was called\n");
}
