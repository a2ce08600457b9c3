// A library that opens another by its bare name.
#include <dlfcn.h>

extern "C" const char* opening_outer() {
  void* const inner = dlopen("libcuda-opening-inner.so", RTLD_NOW);
  if (inner == nullptr) return dlerror();  // NOLINT(concurrency-mt-unsafe): there is one thread
  return reinterpret_cast<const char* (*)()>(dlsym(inner, "opening_inner"))();
}
