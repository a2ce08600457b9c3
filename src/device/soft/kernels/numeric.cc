// The built-in kernels that compute: plain loops over [work->begin, work->end), as a user would
// write them.
//
// They are examples as much as tools, so each is the shortest text that is right. Vectorisation is
// the compiler's.
#include <algorithm>
#include <cstring>

#include "sluice/soft_kernel.h"
#include "sluice/soft_kernels_builtin.h"

extern "C" {

void fill(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_fill*>(arguments);
  std::fill(a.to + work->begin, a.to + work->end, a.value);
}

void copy(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_copy*>(arguments);
  std::memcpy(static_cast<char*>(a.to) + work->begin,
              static_cast<const char*>(a.from) + work->begin, work->end - work->begin);
}

void saxpy(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_saxpy*>(arguments);
  for (uint64_t i = work->begin; i < work->end; ++i) a.y[i] = a.a * a.x[i] + a.y[i];
}

void reduce(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_reduce*>(arguments);
  uint64_t sum = 0;
  for (uint64_t i = work->begin; i < work->end; ++i) sum += a.from[i];
  __atomic_fetch_add(a.sum, sum, __ATOMIC_RELAXED);
}

void stencil(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_stencil*>(arguments);
  const uint64_t rows = work->items / a.width;
  for (uint64_t i = work->begin; i < work->end; ++i) {
    const uint64_t row = i / a.width;
    const uint64_t column = i % a.width;
    const bool border = row == 0 || row + 1 == rows || column == 0 || column + 1 == a.width;
    a.to[i] = border
                  ? a.from[i]
                  : (a.from[i - a.width] + a.from[i - 1] + a.from[i + 1] + a.from[i + a.width]) / 4;
  }
}

void histogram(const sluice_soft_work* work, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_histogram*>(arguments);
  for (uint64_t i = work->begin; i < work->end; ++i) {
    __atomic_fetch_add(&a.bins[a.from[i]], 1, __ATOMIC_RELAXED);
  }
}

void list_walk(const sluice_soft_work*, const void* arguments) {
  const auto& a = *static_cast<const sluice_soft_list_walk*>(arguments);
  uint64_t count = 0;
  for (sluice_soft_node* node = a.head; node != nullptr; node = node->next, ++count)
    node->value += a.add;
  __atomic_fetch_add(a.count, count, __ATOMIC_RELAXED);
}

}  // extern "C"
