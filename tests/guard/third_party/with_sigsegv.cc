// GNU libsigsegv: a handler for faults and one for stack overflows, on a stack of its own.
#include <setjmp.h>
#include <sigsegv.h>
#include <stdio.h>
#include <sys/mman.h>

#include "../stand_in/stand_in.h"

static sigjmp_buf way_out;
static int repaired;
static char* page;
static char extra_stack[65536];

static int on_fault(void* address, int) {
  if (address < page || address >= page + 4096) return 0;
  ++repaired;
  return mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0;
}
static void leave(void*, void*, void*) { siglongjmp(way_out, 1); }
static void on_overflow(int, stackoverflow_context_t) {
  sigsegv_leave_handler(leave, nullptr, nullptr, nullptr);
}
static int overflow(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return overflow(depth + 1) + frame[0];
}

int main() {
  auto* const data = static_cast<int*>(stand_in_allocate(40960));
  page = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  sigsegv_install_handler(on_fault);
  stackoverflow_install_handler(on_overflow, extra_stack, sizeof extra_stack);
  data[7] = 7;
  stand_in_add(data, 1);
  page[0] = 1;
  if (sigsetjmp(way_out, 1) == 0) printf("%d\n", overflow(0));
  stand_in_add(data, 1);
  printf("data %d, repaired %d, survived an overflow\n", data[7], repaired);
  return data[7] == 9 && repaired == 1 ? 0 : 1;
}
