/* The C API: open, allocate, launch, wait, read, close. */
#include <stdio.h>
#include <stdlib.h>

#include "sluice.h"
#include "sluice/soft_kernels_builtin.h"

static void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s: %s\n", sluice_status_name(status), sluice_last_error());
  exit(1); /* NOLINT(concurrency-mt-unsafe): the end */
}

int main(void) {
  sluice_space* space = NULL;
  struct sluice_space_options options = {
      .size = sizeof options, .device_count = 2, .strict = SLUICE_STRICT_REPORT};
  need(sluice_space_open(&options, &space));

  const size_t n = 1 << 16;
  void* memory = NULL;
  need(sluice_allocate(space, n * sizeof(uint32_t), SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC,
                       &memory));

  sluice_queue* queue = NULL;
  struct sluice_kernel fill;
  need(sluice_queue_create(space, 1, &queue));
  need(sluice_kernel_find(space, 1, NULL, "fill", &fill));

  const sluice_soft_fill arguments = {memory, 42};
  const struct sluice_use uses[] = {{memory, n * sizeof(uint32_t), SLUICE_ACCESS_WRITE}};
  const struct sluice_launch launch = {
      .size = sizeof launch,
      .kernel = fill,
      .arguments = &arguments,
      .argument_size = sizeof arguments,
      .items = n,
      .uses = uses,
      .use_count = sizeof uses / sizeof *uses,
  };
  struct sluice_fence fence;
  need(sluice_launch_submit(queue, &launch, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));

  const uint32_t* words = memory;
  for (size_t i = 0; i < n; ++i) {
    if (words[i] != 42) return fprintf(stderr, "word %zu is %u\n", i, words[i]), 1;
  }
  printf("the host has read %zu words that device 1 wrote\n", n);

  /* An error and its text. */
  const enum sluice_status refused = sluice_free(space, (char*)memory + 8);
  printf("freeing the middle of it: %s (%s)\n", sluice_status_name(refused), sluice_last_error());

  need(sluice_free(space, memory));
  sluice_queue_destroy(queue);
  sluice_space_close(space);
  return refused == SLUICE_ERROR_UNKNOWN_ADDRESS ? 0 : 1;
}
