// What the programs of the CUDA face's tests share: the driver's entries, found by both ways, and a
// program with GPU 0's context. Nothing of it knows Sluice.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "sluice/soft_kernels_builtin.h"

namespace program {

using Result = int;
using Pointer = unsigned long long;
struct Location {
  int type;
  int id;
};

inline void* library = nullptr;

template <typename Function>
Function* named(const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr) {
    std::printf("no %s\n", name);
    std::exit(1);
  }
  return reinterpret_cast<Function*>(found);
}

// As the runtime does it.
template <typename Function>
Function* asked_for(const char* name) {
  static auto* const ask =
      named<Result(const char*, void**, int, std::uint64_t, int*)>("cuGetProcAddress_v2");
  void* found = nullptr;
  if (ask(name, &found, 13000, 0, nullptr) != 0) {
    std::printf("no %s by asking\n", name);
    std::exit(1);
  }
  return reinterpret_cast<Function*>(found);
}

inline void must(Result result, const char* call) {
  if (result == 0) return;
  std::printf("%s: error %d\n", call, result);
  std::exit(1);
}
#define MUST(call) ::program::must((call), #call)

struct Driver {
  Result (*init)(unsigned) = named<Result(unsigned)>("cuInit");
  Result (*retain)(void**, int) = named<Result(void**, int)>("cuDevicePrimaryCtxRetain");
  Result (*set_context)(void*) = named<Result(void*)>("cuCtxSetCurrent");
  Result (*allocate)(Pointer*, std::size_t, unsigned) =
      asked_for<Result(Pointer*, std::size_t, unsigned)>("cuMemAllocManaged");
  Result (*allocate_on_device)(Pointer*, std::size_t) =
      asked_for<Result(Pointer*, std::size_t)>("cuMemAlloc");
  Result (*free)(Pointer) = asked_for<Result(Pointer)>("cuMemFree");
  Result (*load)(void**, const char*) = named<Result(void**, const char*)>("cuModuleLoad");
  Result (*function)(void**, void*, const char*) =
      named<Result(void**, void*, const char*)>("cuModuleGetFunction");
  Result (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   void*, void**, void**) =
      asked_for<Result(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                       void*, void**, void**)>("cuLaunchKernel");
  Result (*make_stream)(void**, unsigned) = named<Result(void**, unsigned)>("cuStreamCreate");
  Result (*synchronize)() = named<Result()>("cuCtxSynchronize");
  Result (*copy)(Pointer, Pointer,
                 std::size_t) = named<Result(Pointer, Pointer, std::size_t)>("cuMemcpy");
  Result (*fill)(Pointer, unsigned char, std::size_t, void*) =
      named<Result(Pointer, unsigned char, std::size_t, void*)>("cuMemsetD8Async");
};

template <typename T>
T* at(Pointer address) {
  return reinterpret_cast<T*>(address);
}

class Program {
 public:
  Program() {
    MUST(driver.init(0));
    void* context = nullptr;
    MUST(driver.retain(&context, 0));
    MUST(driver.set_context(context));
    module_ = module();
    MUST(driver.make_stream(&stream, 1));
  }
  // Sluice's built-in kernels, of the file that the environment names.
  [[nodiscard]] void* module() const {
    const char* const file = std::getenv("SLUICE_CUDA_KERNELS");
    void* made = nullptr;
    MUST(driver.load(&made, file != nullptr ? file : "SLUICE_CUDA_KERNELS is not set"));
    return made;
  }
  [[nodiscard]] Pointer managed(std::size_t size) const {
    Pointer made = 0;
    MUST(driver.allocate(&made, size, 1));
    return made;
  }
  [[nodiscard]] void* function(const char* name) const {
    void* found = nullptr;
    MUST(driver.function(&found, module_, name));
    return found;
  }
  template <typename Arguments>
  void launch(const char* name, Arguments arguments, std::uint64_t items, void* on) const {
    void* parameters[] = {&arguments, &items};
    MUST(driver.launch(function(name), 1, 1, 1, 1, 1, 1, 0, on, parameters, nullptr));
  }

  Driver driver;
  void* stream = nullptr;

 private:
  void* module_ = nullptr;
};

inline std::uint64_t sum_of(const std::uint32_t* words, std::size_t count) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += words[i];
  return sum;
}

// The first thing that main() does.
inline void open_driver(const char* name) {
  library = dlopen(name, RTLD_NOW);
  if (library != nullptr) return;
  std::printf("no driver: %s\n", dlerror());
  std::exit(1);
}

}  // namespace program
