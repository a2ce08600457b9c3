// The five steps: allocate, initialize from the host, prefetch to the device, run a kernel, read
// from the host; in a program that has set a SIGSEGV handler, as test frameworks do. Prints how
// long a host access that brings the allocation back takes, and how long a call that sets a SIGSEGV
// handler takes. Without the guard it says that the handler got the fault, and ends with 1.
//
//   steps [handler | plain [ROUNDS]]      handler: sets one; ROUNDS: how many accesses are timed (4000)
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

template <typename Step>
static double median_of(int rounds, Step step) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) times.push_back(step());
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<std::size_t>(rounds / 2)];
}

static double time_access(int* data) {
  stand_in_to_device(data);
  const double begin = now();
  (void)*static_cast<volatile int*>(data);
  return now() - begin;
}

// A hundred at a time: one is shorter than the clock.
static double time_sigaction() {
  struct sigaction mine = {};
  mine.sa_handler = on_fault;
  const double begin = now();
  for (int i = 0; i < 100; ++i) sigaction(SIGSEGV, &mine, nullptr);
  return (now() - begin) / 100;
}

int main(int argc, char** argv) {
  constexpr int n = 8192;
  const int rounds = argc > 2 ? atoi(argv[2]) : 4000;
  auto* const data = static_cast<int*>(stand_in_allocate(n * sizeof(int)));
  puts("step 1: allocated");
  if (argc > 1 && strcmp(argv[1], "handler") == 0) signal(SIGSEGV, on_fault);
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
  if (rounds <= 0) return 0;
  const double access = median_of(rounds, [&] { return time_access(data); });
  printf("access %.3f us, migrations %u\n", access, stand_in_migrations());
  // Last: natively the driver's handler is gone after this.
  printf("sigaction %.3f us\n", median_of(40, time_sigaction));
  return 0;
}
