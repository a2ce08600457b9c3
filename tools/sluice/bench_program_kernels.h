/* The kernels of the programs of `sluice bench cuda`: what the host and bench_programs.cu agree on. Each kernel takes one of these
   structures and the number of items after it, and any number of threads may share the items. */
#ifndef SLUICE_BENCH_PROGRAM_KERNELS_H
#define SLUICE_BENCH_PROGRAM_KERNELS_H

#include <stdint.h>

/* items: numbers to set to zero */
struct program_clear {
  double* to;
};
/* items: 1. A result for the host, where the host looks for it. */
struct program_publish {
  volatile double* to;
  const double* from;
};

/* Conjugate gradient; items: rows. Sums are added to. */
struct program_cg_start { /* x = 0, r = p = b, *rr += r.r */
  const double* b;
  double *x, *r, *p, *rr;
};
struct program_cg_multiply { /* q = A p, *pq += p.q */
  const uint32_t *begins, *columns;
  const double *values, *p;
  double *q, *pq;
};
struct program_cg_step { /* x += a p, r -= a q with a = *rr / *pq; *rr_next += r.r */
  const double *p, *q, *rr, *pq;
  double *x, *r, *rr_next;
};
struct program_cg_turn { /* p = r + b p with b = *rr_next / *rr */
  const double *r, *rr, *rr_next;
  double* p;
};

/* Jacobi; items: cells of a square grid. Cells on the border are copied. */
struct program_jacobi_sweep {
  const float* from;
  float* to;
  uint32_t width;
};

/* Breadth-first search. items: vertices; then: vertices of the level before. */
struct program_bfs_start { /* all unseen but the root, which is the first level */
  uint32_t* levels;
  uint32_t* first;
  uint32_t root;
};
struct program_bfs_level {
  const uint32_t *begins, *targets, *from;
  uint32_t *levels, *to, *count;
  uint32_t level;
};
struct program_bfs_publish { /* items: 1. Tells the count and sets the next one to zero. */
  volatile uint32_t* to;
  const uint32_t* count;
  uint32_t* next;
};

#define PROGRAM_BFS_UNSEEN 0xffffffffu

#endif
