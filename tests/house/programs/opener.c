/* A program that uses Sluice as any would, for the tests that install it where somebody tries to steer it.
 *
 *   opener [become-root] [chdir DIRECTORY] [lose-directory] [module PATH]
 *
 * Does these in order, then opens a space, finds a kernel, and prints "works" or the error.
 */
#define _GNU_SOURCE
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char* what) {
  perror(what);
  exit(2);
}

static void lose_directory(void) {
  char folder[] = "/tmp/sluice-gone-XXXXXX";
  if (mkdtemp(folder) == NULL || chdir(folder) != 0 || rmdir(folder) != 0) fail("lose-directory");
}

int main(int count, char** arguments) {
  const char* module = NULL;
  for (int i = 1; i < count; ++i) {
    if (strcmp(arguments[i], "become-root") == 0) {
      if (setresuid(0, 0, 0) != 0) fail("become-root");
    } else if (strcmp(arguments[i], "chdir") == 0) {
      if (chdir(arguments[++i]) != 0) fail("chdir");
    } else if (strcmp(arguments[i], "lose-directory") == 0) {
      lose_directory();
    } else if (strcmp(arguments[i], "module") == 0) {
      module = arguments[++i];
    }
  }
  sluice_space* space = NULL;
  struct sluice_kernel kernel;
  if (sluice_space_open(NULL, &space) != SLUICE_OK ||
      sluice_kernel_find(space, 0, module, "fill", &kernel) != SLUICE_OK) {
    printf("refused: %s\n", sluice_last_error());
    return 1;
  }
  sluice_space_close(space);
  puts("works");
  return 0;
}
