// Five steps on Level Zero's shared memory: allocate, write from the host, launch a kernel, set a
// SIGSEGV handler of the program's own, as test frameworks do, and read from the host.
//
// Ends with 0 if the host read what it must, with 1 if the program's handler got the fault that the
// driver was to answer, with 2 if bytes are wrong. In the driver's capture mode kernels do not
// execute, so the bytes are those that the host wrote.
#include <setjmp.h>
#include <signal.h>

#include "level_zero.hpp"

namespace {

sigjmp_buf way_out;
void on_fault(int) { siglongjmp(way_out, 1); }

// All as the host wrote them, or all as the kernel left them.
bool is_right(const int* data, int count) {
  const int added = data[0];
  if (added != 0 && added != 1) return false;
  for (int i = 0; i < count; ++i)
    if (data[i] != i + added) return false;
  return true;
}

}  // namespace

int main() {
  constexpr int count = 8192;
  level_zero::World world;
  std::printf("Device: %s\n", world.name());
  int* const data = static_cast<int*>(world.shared(count * sizeof(int)));
  std::printf("Step 1: zeMemAllocShared gave %p\n", static_cast<void*>(data));
  for (int i = 0; i < count; ++i) data[i] = i;
  std::puts("Step 2: the host wrote all of it");
  world.add(data, count, 1);
  std::puts("Step 3: a kernel was launched, and has ended");
  struct sigaction mine = {};
  mine.sa_handler = on_fault;
  struct sigaction before = {};
  sigaction(SIGSEGV, &mine, &before);
  std::puts("Step 4: the program has set a SIGSEGV handler of its own");
  if (sigsetjmp(way_out, 1) != 0) {
    std::puts("Step 5: the host's read went to the program's handler\n\nBUG: the driver's fault");
    return 1;
  }
  const bool right = is_right(data, count);
  std::printf("Step 5: the host read all of it\n\n%s\n", right ? "PASSED" : "WRONG BYTES");
  sigaction(SIGSEGV, &before, nullptr);
  world.free(data);
  return right ? 0 : 2;
}
