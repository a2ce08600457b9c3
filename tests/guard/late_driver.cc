// A program whose SIGSEGV handler is there before the driver is, as inside a test of Catch2 or
// under a language runtime. Its faults are its own to jump out of, and the driver must answer
// managed accesses before and after that.
//
// Ends with 0 and "all right", or with 1 and the step that failed.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "stand_in/stand_in.h"

static sigjmp_buf way_out;
static volatile void* caught;
static void on_fault(int, siginfo_t* info, void*) {
  caught = info->si_addr;
  siglongjmp(way_out, 1);
}
static void another(int) { _Exit(2); }

static void must(bool holds, const char* step) {
  if (holds) return;
  printf("FAILED: %s\n", step);
  exit(1);
}

static bool comes_back(int* data) {
  data[7] = 1;
  stand_in_add(data, 2);
  const bool first = data[7] == 3;
  stand_in_add(data, 2);
  return first && data[7] == 5;
}

int main() {
  setvbuf(stdout, nullptr, _IONBF, 0);
  struct sigaction mine = {};
  mine.sa_sigaction = on_fault;
  mine.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &mine, nullptr);
  auto* const data = static_cast<int*>(stand_in_allocate(40960));
  must(comes_back(data), "managed memory comes back");
  void* const page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int round = 0; round < 3; ++round) {
    caught = nullptr;
    if (sigsetjmp(way_out, 1) == 0) *static_cast<volatile char*>(page) = 1;
    must(caught == page, "a fault of the program's own comes to its handler");
    must(comes_back(data), "managed memory comes back after the handler jumped out");
  }
  struct sigaction now = {};
  sigaction(SIGSEGV, nullptr, &now);
  must(now.sa_sigaction == on_fault, "the program's handler is the program's to ask for");
  must(signal(SIGSEGV, another) == mine.sa_handler, "and to change");
  must(comes_back(data), "managed memory comes back below the new handler");
  sigaction(SIGSEGV, nullptr, &now);
  must(now.sa_handler == another, "the change is in force");
  puts("all right");
  return 0;
}
