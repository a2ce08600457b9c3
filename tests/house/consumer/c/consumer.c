/* A user's program in C: the same as cc/consumer.cc. */
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  printf("%s: %s\n", sluice_status_name(status), sluice_last_error());
  exit(1);
}

int main(void) {
  if (SLUICE_VERSION != sluice_version_number() ||
      strcmp(SLUICE_VERSION_STRING, PACKAGE_VERSION) != 0) {
    printf("headers %s, package %s, library %s\n", SLUICE_VERSION_STRING, PACKAGE_VERSION,
           sluice_version());
    return 1;
  }
  enum { count = 1000 };
  struct sluice_space_options options = {.size = sizeof options, .device_count = 1};
  sluice_space* space;
  need(sluice_space_open(&options, &space));
  void* base;
  need(sluice_allocate(space, count * sizeof(int), SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC,
                       &base));
  int* numbers = base;
  for (int i = 0; i < count; ++i) numbers[i] = 2;

  struct sluice_kernel fill;
  need(sluice_kernel_find(space, 0, NULL, "fill", &fill));

  struct sluice_fence moved;
  need(sluice_prefetch(space, numbers, count * sizeof(int), 0, &moved));
  need(sluice_fence_wait(space, moved, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));

  int sum = 0;
  for (int i = 0; i < count; ++i) sum += numbers[i];
  need(sluice_free(space, base));
  sluice_space_close(space);
  puts(sum == 2 * count ? "consumer: PASS" : "consumer: FAIL");
  return sum == 2 * count ? 0 : 1;
}
