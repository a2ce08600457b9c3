// The five steps: allocate, initialize from the host, prefetch to the device, run a kernel, read from the host; in a program that has
// set a SIGSEGV handler, as test frameworks do. Prints how long a host access that brings the allocation back takes.
// Without the guard it says that the handler got the fault, and ends with 1.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "stand_in/stand_in.h"

static jmp_buf way_out;
static void on_fault(int) { longjmp(way_out, 1); }

static double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

int main(int argc, char**) {
  constexpr int n = 8192;
  auto* const data = static_cast<int*>(stand_in_allocate(n * sizeof(int)));
  puts("step 1: allocated");
  if (argc > 1) signal(SIGSEGV, on_fault);  // any argument: with a handler
  for (int i = 0; i < n; ++i) data[i] = i;
  puts("step 2: initialized from the host");
  if (setjmp(way_out) != 0) {
    puts("FAILED: the program's handler got the driver's fault");
    return 1;
  }
  stand_in_to_device(data);
  puts("step 3: prefetched to the device");
  stand_in_add(data, 1);
  puts("step 4: the kernel ran");
  for (int i = 0; i < n; ++i)
    if (data[i] != i + 1) return printf("FAILED: data[%d] is %d\n", i, data[i]), 1;
  puts("step 5: read from the host, all right");

  constexpr int rounds = 4000;
  std::vector<double> times;
  volatile int* const first = data;
  for (int round = 0; round < rounds; ++round) {
    stand_in_to_device(data);
    const double begin = now();
    (void)*first;
    times.push_back(now() - begin);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  printf("access %.3f us, migrations %u\n", times[rounds / 2], stand_in_migrations());
  return 0;
}
