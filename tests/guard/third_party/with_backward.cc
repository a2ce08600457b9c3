// backward-cpp's handler, which prints a trace and lets the program die.
#include <backward.hpp>

#include "../stand_in/stand_in.h"

extern "C" __attribute__((noinline)) void crash_here(volatile int* nowhere) {
  *nowhere = 1;
  asm volatile("" ::: "memory");
}

int main() {
  auto* const data = static_cast<int*>(stand_in_allocate(4096));
  backward::SignalHandling handling;
  data[0] = 1;
  stand_in_add(data, 1);
  printf("value %d\n", data[0]);
  fflush(stdout);
  crash_here(nullptr);
  return 0;
}
