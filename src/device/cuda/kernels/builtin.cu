// The built-in kernels for GPUs: the same names, arguments and meaning as the software GPU's
// (sluice/soft_kernels_builtin.h).
//
// Each takes its arguments as one structure and the number of items. Floating-point steps are
// rounded one by one, as the host does them, so that results can be compared bit by bit.
#include <cstdint>

#include "sluice/soft_kernels_builtin.h"

namespace {

__device__ uint64_t first() { return blockIdx.x * uint64_t{blockDim.x} + threadIdx.x; }
__device__ uint64_t stride() { return gridDim.x * uint64_t{blockDim.x}; }

// Any alignment: byte by byte.
__device__ uint64_t load_of(const void* from, uint32_t width) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < width; ++i)
    value |= uint64_t{static_cast<const volatile uint8_t*>(from)[i]} << (8 * i);
  return value;
}
__device__ void store_to(void* to, uint64_t value, uint32_t width) {
  for (uint32_t i = 0; i < width; ++i)
    static_cast<volatile uint8_t*>(to)[i] = static_cast<uint8_t>(value >> (8 * i));
}

// An empty structure, because asking the driver for the second of two parameters if there is only
// one is an error that compute-sanitizer reports.
struct Nothing {};

__device__ void add(uint64_t* to, uint64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

// sluice_soft_mixed() as device code.
__device__ uint64_t mixed(uint64_t v, uint64_t seed, uint64_t i) {
  uint64_t x = (v ^ seed) + i * 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ull;
  return x ^ (x >> 32);
}

}  // namespace

extern "C" {

__global__ void fill(sluice_soft_fill a, uint64_t items) {
  for (uint64_t i = first(); i < items; i += stride()) a.to[i] = a.value;
}

__global__ void copy(sluice_soft_copy a, uint64_t items) {
  auto* to = static_cast<uint8_t*>(a.to);
  const auto* from = static_cast<const uint8_t*>(a.from);
  for (uint64_t i = first(); i < items; i += stride()) to[i] = from[i];
}

__global__ void saxpy(sluice_soft_saxpy a, uint64_t items) {
  for (uint64_t i = first(); i < items; i += stride())
    a.y[i] = __fadd_rn(__fmul_rn(a.a, a.x[i]), a.y[i]);
}

__global__ void reduce(sluice_soft_reduce a, uint64_t items) {
  uint64_t sum = 0;
  for (uint64_t i = first(); i < items; i += stride()) sum += a.from[i];
  if (sum != 0) add(a.sum, sum);
}

__global__ void stencil(sluice_soft_stencil a, uint64_t items) {
  const uint64_t rows = items / a.width;
  for (uint64_t i = first(); i < items; i += stride()) {
    const uint64_t row = i / a.width;
    const uint64_t column = i % a.width;
    const bool border = row == 0 || row + 1 == rows || column == 0 || column + 1 == a.width;
    a.to[i] = border ? a.from[i]
                     : __fmul_rn(__fadd_rn(__fadd_rn(__fadd_rn(a.from[i - a.width], a.from[i - 1]),
                                                     a.from[i + 1]),
                                           a.from[i + a.width]),
                                 0.25f);
  }
}

__global__ void histogram(sluice_soft_histogram a, uint64_t items) {
  for (uint64_t i = first(); i < items; i += stride()) atomicAdd(&a.bins[a.from[i]], 1u);
}

__global__ void list_walk(sluice_soft_list_walk a, uint64_t) {
  if (first() != 0) return;
  uint64_t count = 0;
  for (sluice_soft_node* node = a.head; node != nullptr; node = node->next, ++count)
    node->value += a.add;
  add(a.count, count);
}

__global__ void mix(sluice_soft_mix a, uint64_t items) {
  for (uint64_t i = first(); i < items; i += stride()) {
    uint8_t* place = a.bytes + i * a.stride;
    store_to(place, mixed(load_of(place, a.width), a.seed, i), a.width);
  }
}

__global__ void check_sum(sluice_soft_check_sum a, uint64_t items) {
  uint64_t sum = 0;
  for (uint64_t i = first(); i < items; i += stride()) sum += (i + 1) * a.from[i];
  if (sum != 0) add(a.sum, sum);
}

__global__ void store(sluice_soft_store a, uint64_t) {
  if (first() == 0) store_to(a.to, a.value, a.width);
}

__global__ void load(sluice_soft_load a, uint64_t) {
  if (first() == 0) *a.to = load_of(a.from, a.width);
}

__global__ void spin(sluice_soft_spin a, uint64_t) {
  if (first() != 0) return;
  while (a.word == nullptr || *static_cast<const volatile uint32_t*>(a.word) != a.value)
    __nanosleep(1000);
  __threadfence_system();
}

__global__ void meet(sluice_soft_meet a, uint64_t) {
  if (first() != 0) return;
  *static_cast<volatile uint32_t*>(a.here) = 1;
  __threadfence_system();
  while (*static_cast<const volatile uint32_t*>(a.word) != a.value) __nanosleep(1000);
  __threadfence_system();
}

__global__ void sleep(sluice_soft_sleep a, uint64_t) {
  uint64_t now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  const uint64_t end = now + a.nanoseconds;
  while (now < end) {
    __nanosleep(1000);
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  }
}

__global__ void nothing(Nothing, uint64_t) {}

__global__ void crash(Nothing, uint64_t) { __trap(); }

}  // extern "C"
