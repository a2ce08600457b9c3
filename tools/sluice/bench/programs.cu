// The kernels of the programs of `sluice bench cuda`. They are plain and the same for all memories,
// because the bench compares only the memories.
#include "bench/program_kernels.hpp"

namespace sluice::tool::bench {
namespace {

__device__ uint64_t first() { return blockIdx.x * uint64_t{blockDim.x} + threadIdx.x; }
__device__ uint64_t stride() { return gridDim.x * uint64_t{blockDim.x}; }

// One atomic addition for each warp. All threads of the block call it.
__device__ void add_up(double* to, double mine) {
  for (int distance = 16; distance > 0; distance /= 2)
    mine += __shfl_down_sync(0xffffffffu, mine, distance);
  if (threadIdx.x % 32 == 0) atomicAdd(to, mine);
}

}  // namespace

extern "C" {

__global__ void clear(Clear a, uint64_t items) {
  for (uint64_t i = first(); i < items; i += stride()) a.to[i] = 0;
}

__global__ void publish(Publish a, uint64_t) {
  if (first() == 0) *a.to = *a.from;
}

__global__ void add_one(AddOne a, uint64_t words) {
  for (uint64_t i = first(); i < words; i += stride()) ++a.words[i];
}

__global__ void cg_start(CgStart a, uint64_t rows) {
  double sum = 0;
  for (uint64_t i = first(); i < rows; i += stride()) {
    const double b = a.b[i];
    a.x[i] = 0;
    a.r[i] = b;
    a.p[i] = b;
    sum += b * b;
  }
  add_up(a.rr, sum);
}

__global__ void cg_multiply(CgMultiply a, uint64_t rows) {
  double sum = 0;
  for (uint64_t i = first(); i < rows; i += stride()) {
    double q = 0;
    for (uint32_t at = a.begins[i]; at < a.begins[i + 1]; ++at)
      q += a.values[at] * a.p[a.columns[at]];
    a.q[i] = q;
    sum += q * a.p[i];
  }
  add_up(a.pq, sum);
}

__global__ void cg_step(CgStep a, uint64_t rows) {
  const double alpha = *a.rr / *a.pq;
  double sum = 0;
  for (uint64_t i = first(); i < rows; i += stride()) {
    a.x[i] += alpha * a.p[i];
    const double r = a.r[i] - alpha * a.q[i];
    a.r[i] = r;
    sum += r * r;
  }
  add_up(a.rr_next, sum);
}

__global__ void cg_turn(CgTurn a, uint64_t rows) {
  const double beta = *a.rr_next / *a.rr;
  for (uint64_t i = first(); i < rows; i += stride()) a.p[i] = a.r[i] + beta * a.p[i];
}

__global__ void jacobi_sweep(JacobiSweep a, uint64_t cells) {
  const uint32_t last = a.width - 1;
  for (uint64_t i = first(); i < cells; i += stride()) {
    const auto row = static_cast<uint32_t>(i / a.width);
    const auto column = static_cast<uint32_t>(i % a.width);
    const bool border = row == 0 || row == last || column == 0 || column == last;
    a.to[i] =
        border
            ? a.from[i]
            : 0.25f * (a.from[i - a.width] + a.from[i - 1] + a.from[i + 1] + a.from[i + a.width]);
  }
}

__global__ void bfs_start(BfsStart a, uint64_t vertices) {
  for (uint64_t i = first(); i < vertices; i += stride()) a.levels[i] = i == a.root ? 0 : unseen;
  if (first() == 0) a.first[0] = a.root;
}

__global__ void bfs_level(BfsLevel a, uint64_t vertices) {
  for (uint64_t i = first(); i < vertices; i += stride()) {
    const uint32_t vertex = a.from[i];
    for (uint32_t at = a.begins[vertex]; at < a.begins[vertex + 1]; ++at) {
      const uint32_t target = a.targets[at];
      if (a.levels[target] == unseen && atomicCAS(&a.levels[target], unseen, a.level) == unseen)
        a.to[atomicAdd(a.count, 1u)] = target;
    }
  }
}

__global__ void bfs_publish(BfsPublish a, uint64_t) {
  if (first() != 0) return;
  *a.to = *a.count;
  *a.next = 0;
}

}  // extern "C"

}  // namespace sluice::tool::bench
