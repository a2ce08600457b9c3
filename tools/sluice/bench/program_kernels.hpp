// The kernels of the programs of `sluice bench cuda`: the interface of the host and
// bench/programs.cu.
// Each kernel takes one of these structures and the number of items after it, and any number of
// threads may share the items.
#pragma once

#include <cstdint>

namespace sluice::tool::bench {

// items: numbers to set to zero
struct Clear {
  double* to;
};
// items: 1. Stores a result where the host reads it.
struct Publish {
  volatile double* to;
  const double* from;
};

// items: words, each of which grows by one
struct AddOne {
  std::uint64_t* words;
};

// Conjugate gradient; items: rows. Sums are added to.
struct CgStart {  // x = 0, r = p = b, *rr += r.r
  const double* b;
  double *x, *r, *p, *rr;
};
struct CgMultiply {  // q = A p, *pq += p.q
  const std::uint32_t *begins, *columns;
  const double *values, *p;
  double *q, *pq;
};
struct CgStep {  // x += a p, r -= a q with a = *rr / *pq; *rr_next += r.r
  const double *p, *q, *rr, *pq;
  double *x, *r, *rr_next;
};
struct CgTurn {  // p = r + b p with b = *rr_next / *rr
  const double *r, *rr, *rr_next;
  double* p;
};

// Jacobi; items: cells of a square grid. Cells on the border are copied.
struct JacobiSweep {
  const float* from;
  float* to;
  std::uint32_t width;
};

// Breadth-first search.
constexpr std::uint32_t unseen = 0xffffffff;  // the level of a vertex that was not reached
struct BfsStart {  // items: vertices. All unseen but the root, which is the first level.
  std::uint32_t* levels;
  std::uint32_t* first;
  std::uint32_t root;
};
struct BfsLevel {  // items: vertices of the level before
  const std::uint32_t *begins, *targets, *from;
  std::uint32_t *levels, *to, *count;
  std::uint32_t level;
};
struct BfsPublish {  // items: 1. Publishes the count and sets the next one to zero.
  volatile std::uint32_t* to;
  const std::uint32_t* count;
  std::uint32_t* next;
};

}  // namespace sluice::tool::bench
