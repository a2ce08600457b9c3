// Wrappers: functions with the names of the driver's entries that stand in front of them.
//
//   SLUICE_WRAP(cuMemFree_v2, (CUdeviceptr address)) { ... return SLUICE_REAL(cuMemFree_v2)(address); }
//
// A program reaches them by the name, or by cuGetProcAddress(), which asks the driver and then
// takes the wrapper of what the driver answers. Entries without a wrapper are the driver's own.
#pragma once

#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// The driver's own entry; null: it has none of that name.
[[nodiscard]] void* find_real(const char* name) noexcept;
// Or one that answers CUDA_ERROR_NOT_FOUND.
[[nodiscard]] void* find_real_or_missing(const char* name) noexcept;

// The wrapper of an entry of the driver's, or the entry itself.
[[nodiscard]] void* in_front_of(void* entry) noexcept;

// Names a wrapper; one for each, static.
class Wrapper {
 public:
  Wrapper(const char* name, void* wrapper) noexcept;

 private:
  friend void* in_front_of(void* entry) noexcept;
  friend std::size_t list_wrappers(const char** names, std::size_t room) noexcept;
  const char* name_;
  void* wrapper_;
  const Wrapper* next_;
};

// The names of all wrappers, as far as there is room; returns how many there are.
std::size_t list_wrappers(const char** names, std::size_t room) noexcept;

// True once managed memory is Sluice's in this process: SLUICE_CUDA_MANAGED is not "driver".
[[nodiscard]] bool is_on() noexcept;

}  // namespace sluice::cuda

// NOLINTBEGIN(bugprone-macro-parentheses): names and parameters take none
#define SLUICE_WRAP(name, parameters)                                                         \
  extern "C" __attribute__((visibility("default"))) CUresult name parameters;                 \
  static const Wrapper wrapper_of_##name(#name, reinterpret_cast<void*>(&name)); /* NOLINT */ \
  CUresult name parameters

#define SLUICE_REAL(name)                                                                     \
  ([]() noexcept {                                                                            \
    static auto* const real = reinterpret_cast<decltype(&name)>(find_real_or_missing(#name)); \
    return real;                                                                              \
  }())
// NOLINTEND(bugprone-macro-parentheses)
