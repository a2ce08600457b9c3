// The driver is the one that SLUICE_CUDA_DRIVER names, which `sluice run --cuda` sets. Wrappers
// are known by the addresses of what they stand in front of, so no table of versions is needed: the
// driver resolves name, version and flags.
#include "face/cuda/wrapper.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "os/environment.hpp"

namespace sluice::cuda {
namespace {

constinit const Wrapper* all_wrappers = nullptr;

void* driver_library() noexcept {
  static void* const library = [] {
    const char* const path = os::environment("SLUICE_CUDA_DRIVER");
    return path != nullptr ? ::dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  }();
  return library;
}

// In the place of any entry: the callers of C functions clear the stack.
CUresult missing() noexcept { return not_found; }

}  // namespace

void* find_real(const char* name) noexcept {
  void* const library = driver_library();
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}

void* find_real_or_missing(const char* name) noexcept {
  void* const real = find_real(name);
  return real != nullptr ? real : reinterpret_cast<void*>(&missing);
}

Wrapper::Wrapper(const char* name, void* wrapper) noexcept
    : name_(name), wrapper_(wrapper), next_(std::exchange(all_wrappers, this)) {}

void* in_front_of(void* entry) noexcept {
  static const auto& by_entry = *[] {
    auto* const made = new std::vector<std::pair<void*, void*>>;
    for (const Wrapper* each = all_wrappers; each != nullptr; each = each->next_)
      if (void* const real = find_real(each->name_)) made->emplace_back(real, each->wrapper_);
    std::sort(made->begin(), made->end());
    return made;
  }();
  const auto found =
      std::lower_bound(by_entry.begin(), by_entry.end(), std::pair<void*, void*>(entry, nullptr));
  return found != by_entry.end() && found->first == entry ? found->second : entry;
}

std::size_t list_wrappers(const char** names, std::size_t room) noexcept {
  std::size_t count = 0;
  for (const Wrapper* each = all_wrappers; each != nullptr; each = each->next_, ++count)
    if (count < room) names[count] = each->name_;
  return count;
}

// For `sluice doctor --cuda`.
extern "C" __attribute__((visibility("default"))) std::size_t sluice_cuda_wrapped(
    const char** names, std::size_t room) {
  return list_wrappers(names, room);
}

bool is_on() noexcept {
  static const bool on = [] {
    const char* const managed = os::environment("SLUICE_CUDA_MANAGED");
    return managed == nullptr || std::strcmp(managed, "driver") != 0;
  }();
  return on;
}

SLUICE_WRAP(cuGetProcAddress,
            (const char* symbol, void** function, int version, std::uint64_t flags)) {
  const CUresult answer = SLUICE_REAL(cuGetProcAddress)(symbol, function, version, flags);
  if (answer == success && function != nullptr) *function = in_front_of(*function);
  return answer;
}

SLUICE_WRAP(cuGetProcAddress_v2,
            (const char* symbol, void** function, int version, std::uint64_t flags, int* status)) {
  const CUresult answer =
      SLUICE_REAL(cuGetProcAddress_v2)(symbol, function, version, flags, status);
  if (answer == success && function != nullptr) *function = in_front_of(*function);
  return answer;
}

}  // namespace sluice::cuda
