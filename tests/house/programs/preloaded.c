/* A program that tells what of Sluice stands in it, for the test that starts it with raised rights.
 *
 *   preloaded guard     whether the guard is loaded, and whether it keeps this program's handler for a driver's
 *   preloaded opencl    whether the layer is loaded, and whether it serves devices
 *   preloaded cuda      whether the CUDA face is loaded, and what its first call answers
 *
 * A line for each; the last is "works".
 */
#define _GNU_SOURCE
#ifdef WITH_OPENCL
#define CL_TARGET_OPENCL_VERSION 210
#include <CL/cl.h>
#endif
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell_of_library(const char* name) {
  char line[4096];
  FILE* const maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) exit(2);
  int found = 0;
  while (fgets(line, sizeof line, maps) != NULL) found |= strstr(line, name) != NULL;
  fclose(maps);
  printf("%s is %s\n", name, found ? "loaded" : "absent");
}

static void on_fault(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
}

/* A driver that the guard knows is told that a handler was there before; this program has none. */
static void tell_of_guard(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO}, before;
  action.sa_sigaction = on_fault;
  if (sigaction(SIGSEGV, &action, &before) != 0) exit(2);
  printf("this program is %s\n", before.sa_handler == SIG_DFL ? "no driver" : "a driver");
}

#ifdef WITH_OPENCL
static void tell_of_opencl(void) {
  cl_platform_id platform;
  cl_device_id device;
  static char extensions[65536];
  if (clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS ||
      clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS ||
      clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof extensions, extensions, NULL) != CL_SUCCESS)
    exit(2);
  const cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
  if (context == NULL || clReleaseContext(context) != CL_SUCCESS) exit(2);
  printf("unified shared memory: %s\n", strstr(extensions, "cl_intel_unified_shared_memory") ? "yes" : "no");
}
#endif

/* The first entry of the driver's that the face replaces: it has to find the driver. */
static void tell_of_cuda(void) {
  typedef int (*Find)(const char*, void**, int, unsigned long long, int*);
  const Find find = (Find)dlsym(RTLD_DEFAULT, "cuGetProcAddress_v2");
  void* found = NULL;
  if (find == NULL)
    puts("cuGetProcAddress_v2: none");
  else
    printf("cuGetProcAddress_v2: %d\n", find("cuInit", &found, 12000, 0, NULL));
}

int main(int count, char** arguments) {
  const char* const part = count == 2 ? arguments[1] : "";
  if (strcmp(part, "guard") == 0) {
    tell_of_library("libsluice-guard");
    tell_of_guard();
#ifdef WITH_OPENCL
  } else if (strcmp(part, "opencl") == 0) {
    tell_of_library("libsluice-opencl");
    tell_of_opencl();
#endif
  } else if (strcmp(part, "cuda") == 0) {
    tell_of_library("libsluice-cuda");
    tell_of_cuda();
  } else {
    return 2;
  }
  puts("works");
  return 0;
}
