// guard-threads COUNT: so many threads with alternate stacks of 8 KiB read pages that a kernel may
// write, in grade signal, and wait for it there. Says how many read the right value, and below how
// many of those stacks memory was overwritten.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "sluice.h"
#include "sluice/soft_kernels_builtin.h"

namespace {

constexpr std::size_t below = std::size_t{64} << 10;
constexpr std::size_t stack_size = std::size_t{8} << 10;

void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s\n", sluice_last_error());
  _exit(77);
}

struct Thread {
  std::vector<unsigned char> memory = std::vector<unsigned char>(below + stack_size, 0xc5);
  [[nodiscard]] bool is_overwritten() const {
    for (std::size_t i = 0; i < below; ++i)
      if (memory[i] != 0xc5) return true;
    return false;
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 100;
  alarm(120);
  struct sluice_space_options options = {};
  options.size = sizeof options;
  options.best_grade = SLUICE_GRADE_SIGNAL;
  sluice_space* space = nullptr;
  need(sluice_space_open(&options, &space));
  const std::size_t size = static_cast<std::size_t>(count) * 4096;
  void* memory = nullptr;
  need(sluice_allocate(space, size, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &memory));
  memset(memory, 1, size);
  sluice_queue* queue = nullptr;
  need(sluice_queue_create(space, 0, &queue));
  const sluice_use use = {memory, size, SLUICE_ACCESS_WRITE};
  const sluice_soft_sleep arguments = {600'000'000};
  struct sluice_launch request = {};
  request.size = sizeof request;
  need(sluice_kernel_find(space, 0, nullptr, "sleep", &request.kernel));
  request.arguments = &arguments;
  request.argument_size = sizeof arguments;
  request.uses = &use;
  request.use_count = 1;
  std::vector<Thread> threads(static_cast<std::size_t>(count));
  std::vector<std::thread> running;
  std::atomic<bool> begin = false;
  std::atomic<int> right = 0;
  for (int i = 0; i < count; ++i)
    running.emplace_back([&, i] {
      stack_t alternate = {};
      alternate.ss_sp = threads[static_cast<std::size_t>(i)].memory.data() + below;
      alternate.ss_size = stack_size;
      sigaltstack(&alternate, nullptr);
      begin.wait(false);
      right += static_cast<volatile unsigned char*>(memory)[i * 4096] == 1 ? 1 : 0;
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    });
  struct sluice_fence fence;
  need(sluice_launch_submit(queue, &request, &fence));
  begin = true;
  begin.notify_all();
  for (std::thread& one : running) one.join();
  int overwritten = 0;
  for (const Thread& one : threads) overwritten += one.is_overwritten() ? 1 : 0;
  printf("right %d overwritten %d\n", right.load(), overwritten);
  fflush(stdout);
  _exit(right == count && overwritten == 0 ? 0 : 1);
}
