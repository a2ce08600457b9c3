// The built-in kernels that tests and measurements need: single accesses of every width, sums that
// can be checked, and kernels that wait, do nothing or misbehave.
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "sluice/soft_kernel.h"
#include "sluice/soft_kernels_builtin.h"

namespace {

// One access of `width` bytes at any alignment: memcpy of a constant size is a single instruction.
uint64_t load_of(const void* from, uint32_t width) {
  uint64_t value = 0;
  switch (width) {
    case 1:
      std::memcpy(&value, from, 1);
      break;
    case 2:
      std::memcpy(&value, from, 2);
      break;
    case 4:
      std::memcpy(&value, from, 4);
      break;
    default:
      std::memcpy(&value, from, 8);
      break;
  }
  return value;
}

void store_to(void* to, uint64_t value, uint32_t width) {
  switch (width) {
    case 1:
      std::memcpy(to, &value, 1);
      break;
    case 2:
      std::memcpy(to, &value, 2);
      break;
    case 4:
      std::memcpy(to, &value, 4);
      break;
    default:
      std::memcpy(to, &value, 8);
      break;
  }
}

}  // namespace

extern "C" {

void mix(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_mix*>(arguments);
  for (uint64_t i = work->begin; i < work->end; ++i) {
    uint8_t* place = a.bytes + i * a.stride;
    store_to(place, sluice_soft_mixed(load_of(place, a.width), a.seed, i), a.width);
  }
}

void check_sum(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_check_sum*>(arguments);
  uint64_t sum = 0;
  for (uint64_t i = work->begin; i < work->end; ++i) sum += (i + 1) * a.from[i];
  __atomic_fetch_add(a.sum, sum, __ATOMIC_RELAXED);
}

void store(const sluice_soft_work*, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_store*>(arguments);
  store_to(a.to, a.value, a.width);
}

void load(const sluice_soft_work*, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_load*>(arguments);
  *a.to = load_of(a.from, a.width);
}

void spin(const sluice_soft_work*, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_spin*>(arguments);
  while (a.word == nullptr || __atomic_load_n(a.word, __ATOMIC_ACQUIRE) != a.value) {
    // There may be only two cores, and the thread that writes the word needs one of them.
    const timespec moment{0, 1000};
    nanosleep(&moment, nullptr);
  }
}

void meet(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_meet*>(arguments);
  __atomic_store_n(a.here, 1U, __ATOMIC_RELEASE);
  const sluice_soft_spin rest{a.word, a.value};
  spin(work, &rest);
}

// The C library declares its own function of this name.
void sleep_kernel(const sluice_soft_work* work, const void* arguments) __asm__("sleep");
void sleep_kernel(const sluice_soft_work*, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_sleep*>(arguments);
  timespec left{static_cast<time_t>(a.nanoseconds / 1000000000),
                static_cast<long>(a.nanoseconds % 1000000000)};
  while (nanosleep(&left, &left) != 0) {
  }
}

void nothing(const sluice_soft_work*, const void*) {}

void crash(const sluice_soft_work*, const void*) { std::abort(); }

}  // extern "C"
