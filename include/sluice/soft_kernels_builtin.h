/* The kernels that every software GPU has: find_kernel("", NAME). Each struct here holds the
 * arguments of one kernel; "items" is LaunchCommand::items. All pointers are managed addresses.
 * Accumulating kernels add atomically, so that launches on several queues may share a result; the
 * host sets it to zero first.
 */
#ifndef SLUICE_SOFT_KERNELS_BUILTIN_H
#define SLUICE_SOFT_KERNELS_BUILTIN_H

#include <stdint.h>

/* NOLINTBEGIN(modernize-use-using,readability-identifier-naming): this is C */
#ifdef __cplusplus
extern "C" {
#endif

/* "fill": to[i] = value. Items: words. */
typedef struct sluice_soft_fill {
  uint32_t* to;
  uint32_t value;
} sluice_soft_fill;

/* "copy": to[i] = from[i], which do not overlap. Items: bytes. */
typedef struct sluice_soft_copy {
  void* to;
  const void* from;
} sluice_soft_copy;

/* "saxpy": y[i] = a * x[i] + y[i]. Items: elements. */
typedef struct sluice_soft_saxpy {
  float* y;
  const float* x;
  float a;
} sluice_soft_saxpy;

/* "reduce": *sum += from[i]. Items: elements. */
typedef struct sluice_soft_reduce {
  const uint32_t* from;
  uint64_t* sum;
} sluice_soft_reduce;

/* "stencil": each inner cell of `to` becomes the mean of its four neighbours in `from`; border
 * cells are copied. Items: cells, a multiple of `width`; row by row. */
typedef struct sluice_soft_stencil {
  float* to;
  const float* from;
  uint64_t width;
} sluice_soft_stencil;

/* "histogram": bins[from[i]] += 1, atomically; 256 bins. Items: bytes. */
typedef struct sluice_soft_histogram {
  const uint8_t* from;
  uint32_t* bins;
} sluice_soft_histogram;

/* "list_walk": adds `add` to the value of each node from `head` on, and the number of nodes to
 * *count. Items: 1. */
typedef struct sluice_soft_node {
  struct sluice_soft_node* next;
  uint64_t value;
} sluice_soft_node;
typedef struct sluice_soft_list_walk {
  sluice_soft_node* head;
  uint64_t add;
  uint64_t* count;
} sluice_soft_list_walk;

/* For tests and measurements. */

/* "mix": for each i, the `width` bytes (1, 2, 4 or 8; any alignment) at bytes + i * stride, read as
 * a little-endian number v, become sluice_soft_mixed(v, seed, i), truncated to that width. Items:
 * places. The host can do the same and compare. */
typedef struct sluice_soft_mix {
  uint8_t* bytes;
  uint64_t stride;
  uint64_t seed;
  uint32_t width;
} sluice_soft_mix;
static inline uint64_t sluice_soft_mixed(uint64_t v, uint64_t seed, uint64_t i) {
  uint64_t x = (v ^ seed) + i * UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
  return x ^ (x >> 32);
}

/* "check_sum": *sum += (i + 1) * from[i], modulo 2^64. Items: bytes. */
typedef struct sluice_soft_check_sum {
  const uint8_t* from;
  uint64_t* sum;
} sluice_soft_check_sum;

/* "store": stores the low `width` bytes (1, 2, 4 or 8; any alignment) of `value`. Items: 1. */
typedef struct sluice_soft_store {
  void* to;
  uint64_t value;
  uint32_t width;
} sluice_soft_store;

/* "load": *to = one load of `width` bytes at `from`, extended with zeros. Items: 1. */
typedef struct sluice_soft_load {
  const void* from;
  uint64_t* to;
  uint32_t width;
} sluice_soft_load;

/* "spin": loads *word until it is `value`; spins forever if `word` is null. Items: 1. */
typedef struct sluice_soft_spin {
  const uint32_t* word;
  uint32_t value;
} sluice_soft_spin;

/* "meet": stores 1 to *here, so that others know that it runs, then acts as "spin". Items: 1. */
typedef struct sluice_soft_meet {
  uint32_t* here;
  const uint32_t* word;
  uint32_t value;
} sluice_soft_meet;

/* "sleep": takes at least `nanoseconds`. Items: 1. */
typedef struct sluice_soft_sleep {
  uint64_t nanoseconds;
} sluice_soft_sleep;

/* "nothing": returns at once; measures the cost of a launch. No arguments. */

/* "crash": calls abort, which ends the device's process. No arguments. */

#ifdef __cplusplus
}
#endif
/* NOLINTEND(modernize-use-using,readability-identifier-naming) */

#endif
