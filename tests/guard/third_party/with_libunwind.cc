// libunwind, from the program's handler through the signal frame.
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../stand_in/stand_in.h"

static sigjmp_buf way_out;
static volatile bool sees_main;
static volatile bool sees_fault;

static void trace(int, siginfo_t*, void*) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  for (int frame = 0; frame < 32 && unw_step(&cursor) > 0; ++frame) {
    char name[128] = "";
    unw_word_t offset = 0;
    unw_get_proc_name(&cursor, name, sizeof name, &offset);
    if (strcmp(name, "main") == 0) sees_main = true;
    if (strcmp(name, "fault_here") == 0) sees_fault = true;
  }
  siglongjmp(way_out, 1);
}
extern "C" __attribute__((noinline)) void fault_here(volatile char* page) {
  *page = 1;
  asm volatile("" ::: "memory");
}

int main() {
  auto* const data = static_cast<int*>(stand_in_allocate(4096));
  struct sigaction action = {};
  action.sa_sigaction = trace;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
  data[0] = 1;
  stand_in_add(data, 1);
  const int value = data[0];
  auto* const page =
      static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (sigsetjmp(way_out, 1) == 0) fault_here(page);
  printf("value %d, trace has fault_here %d and main %d\n", value, sees_fault, sees_main);
  return value == 2 && sees_main && sees_fault ? 0 : 1;
}
