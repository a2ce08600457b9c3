/* A test program that is built with a sanitizer: it reads a page that a device has, in grade signal, after it set a handler of SIGSEGV as
   test frameworks do, and one before, when the sanitizer's own handler is in front. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sluice.h"

static void on_fault(int number) {
  (void)number;
  _exit(77);
}

static void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s\n", sluice_last_error());
  _exit(40);
}

int main(int argc, char** argv) {
  struct sluice_space_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.best_grade = SLUICE_GRADE_SIGNAL;
  sluice_space* space = NULL;
  need(sluice_space_open(&options, &space));
  void* memory = NULL;
  need(sluice_allocate(space, 1 << 20, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &memory));
  volatile unsigned* words = memory;
  for (unsigned i = 0; i < 1U << 18; i += 512) words[i] = i;
  struct sluice_fence fence;
  need(sluice_prefetch(space, memory, 1 << 20, 0, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
  const unsigned before = words[1024]; /* the sanitizer's own handler, or none, is in front */
  if (argc < 2 || strcmp(argv[1], "plain") != 0) signal(SIGSEGV, on_fault);
  need(sluice_prefetch(space, memory, 1 << 20, 0, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
  const unsigned after = words[2048];
  printf("%s\n", before == 1024 && after == 2048 ? "right" : "wrong");
  fflush(stdout);
  sluice_space_close(space);
  return 0;
}
