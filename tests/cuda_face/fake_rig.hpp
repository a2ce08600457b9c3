// The stand-in driver as a program of the driver's interface sees it. Tests that lose the context
// or need settings of their own run in a process of their own (in_a_process()).
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "device/cuda/driver.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::cuda_face_tests {

using device::cuda::CUcontext;
using device::cuda::CUdevice;
using device::cuda::CUdeviceptr;
using device::cuda::CUevent;
using device::cuda::CUfunction;
using device::cuda::CUmemAccessDesc;
using device::cuda::CUmemAllocationProp;
using device::cuda::CUmemGenericAllocationHandle;
using device::cuda::CUmodule;
using device::cuda::CUresult;
using device::cuda::CUstream;
using device::cuda::Driver;
using device::cuda::success;

constexpr std::size_t block = std::size_t{2} << 20;
constexpr CUresult illegal_address = 700;
// CU_MEM_ACCESS_FLAGS_PROT_*
constexpr int access_read = 1;
constexpr int access_read_write = 3;

inline void* fake_library() {
  static void* const library = dlopen(SLUICE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) ADD_FAILURE() << dlerror();  // NOLINT(concurrency-mt-unsafe)
  return library;
}

// An entry that the back end does not use.
template <typename Function>
Function* entry(const char* name) {
  return reinterpret_cast<Function*>(dlsym(fake_library(), name));
}

// Fails the test, or ends its process, unless a call succeeds.
#define MUST(call)                                                                      \
  do {                                                                                  \
    if (const ::sluice::device::cuda::CUresult result = (call); result != 0) {          \
      std::fprintf(stderr, "%s:%d: %s: error %d\n", __FILE__, __LINE__, #call, result); \
      std::abort();                                                                     \
    }                                                                                   \
  } while (false)

// A program with GPU 0's context and a stream.
class Program {
 public:
  Program() {
#define SLUICE_FIND(member, symbol, parameters) \
  driver.member = reinterpret_cast<CUresult(*) parameters>(dlsym(fake_library(), #symbol));
    SLUICE_CUDA_ENTRIES(SLUICE_FIND)
#undef SLUICE_FIND
    MUST(driver.init(0));
    MUST(driver.context_retain(&context, 0));
    MUST(driver.context_push(context));
    MUST(driver.stream_create(&stream, device::cuda::stream_non_blocking, 0));
    MUST(driver.module_load_data(&module, "// any code"));
    load_all();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    (void)driver.stream_destroy(stream);
    (void)driver.context_pop(nullptr);
    (void)driver.context_release(0);
  }

  [[nodiscard]] CUmemGenericAllocationHandle create(std::size_t size = block) const {
    const CUmemAllocationProp properties{.type = device::cuda::allocation_pinned,
                                         .requestedHandleTypes = 0,
                                         .location = {device::cuda::location_device, 0},
                                         .win32HandleMetaData = nullptr,
                                         .allocFlags = {}};
    CUmemGenericAllocationHandle made = 0;
    MUST(driver.memory_create(&made, size, &properties, 0));
    return made;
  }
  [[nodiscard]] CUdeviceptr reserve(std::size_t size = block) const {
    CUdeviceptr begin = 0;
    MUST(driver.address_reserve(&begin, size, block, 0, 0));
    return begin;
  }
  void allow(CUdeviceptr address, int access = access_read_write, std::size_t size = block) const {
    const CUmemAccessDesc right{{device::cuda::location_device, 0}, access};
    MUST(driver.memory_set_access(address, size, &right, 1));
  }
  // New memory at a new address.
  [[nodiscard]] CUdeviceptr map() const {
    const CUdeviceptr begin = reserve();
    MUST(driver.memory_map(begin, block, 0, create(), 0));
    allow(begin);
    return begin;
  }

  [[nodiscard]] CUfunction function(const char* name) const {
    CUfunction found = nullptr;
    MUST(driver.module_function(&found, module, name));
    return found;
  }
  template <typename Arguments>
  [[nodiscard]] CUresult launch(const char* name, Arguments arguments, std::uint64_t items = 1,
                                CUstream on = nullptr) const {
    void* parameters[] = {&arguments, &items};
    return driver.launch(function(name), 1, 1, 1, 1, 1, 1, 0, on != nullptr ? on : stream,
                         parameters, nullptr);
  }
  [[nodiscard]] CUresult fill(CUdeviceptr to, std::uint32_t value, std::uint64_t items) const {
    return launch("fill", sluice_soft_fill{words(to), value}, items);
  }
  // What the GPU has at an address.
  [[nodiscard]] std::uint32_t word_at(CUdeviceptr address) const {
    std::uint32_t word = 0;
    MUST(driver.copy(reinterpret_cast<CUdeviceptr>(&word), address, sizeof word, stream));
    MUST(driver.stream_synchronize(stream));
    return word;
  }
  [[nodiscard]] CUresult finish() const { return driver.stream_synchronize(stream); }

  [[nodiscard]] static std::uint32_t* words(CUdeviceptr address) {
    return reinterpret_cast<std::uint32_t*>(address);  // NOLINT(performance-no-int-to-ptr)
  }

  Driver driver;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  CUmodule module = nullptr;

 private:
  void load_all() const {
    unsigned count = 0;
    MUST(driver.module_count(&count, module));
    std::vector<CUfunction> functions(count);
    MUST(driver.module_list(functions.data(), count, module));
    for (CUfunction each : functions) MUST(driver.function_load(each));
  }
};

// Host memory that GPU and host use at once.
class SharedWord {
 public:
  explicit SharedWord(const Program& program) : program_(program) {
    void* made = nullptr;
    MUST(program.driver.host_allocate(&made, 4096, 3));
    word_ = static_cast<std::uint32_t*>(made);
    set(0);
  }
  void set(std::uint32_t value) { __atomic_store_n(word_, value, __ATOMIC_RELEASE); }
  void await(std::uint32_t value) const {
    while (__atomic_load_n(word_, __ATOMIC_ACQUIRE) != value) usleep(100);
  }
  [[nodiscard]] std::uint32_t* get() const { return word_; }
  // Keeps a stream busy until the word is 1.
  void hold_up(CUstream stream = nullptr) const {
    MUST(program_.launch("spin", sluice_soft_spin{word_, 1}, 1, stream));
  }

 private:
  const Program& program_;
  std::uint32_t* word_ = nullptr;
};

// A process of its own, which ends with 0 after all of `body` and says `text` on stderr.
template <typename Body>
void in_a_process(const char* text, const Body& body) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        body();
        _exit(::testing::Test::HasFailure() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), text);
}

// A variable of the environment for the processes that a scope starts.
class Setting {
 public:
  Setting(const char* name, const char* value) : name_(name) {
    ::setenv(name, value, 1);  // NOLINT(concurrency-mt-unsafe)
  }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;
  ~Setting() { ::unsetenv(name_); }  // NOLINT(concurrency-mt-unsafe)

 private:
  const char* name_;
};

}  // namespace sluice::cuda_face_tests
