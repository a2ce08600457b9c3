// A program that opens the library it is given, which opens another.
#include <dlfcn.h>

#include <cstdio>

int main(int count, char** words) {
  void* const outer = dlopen(count > 1 ? words[1] : nullptr, RTLD_NOW);
  if (outer == nullptr) {
    std::puts(dlerror());  // NOLINT(concurrency-mt-unsafe): there is one thread
    return 1;
  }
  std::puts(reinterpret_cast<const char* (*)()>(dlsym(outer, "opening_outer"))());
  return 0;
}
