// Conjugate gradient for the 7-point Laplacian on a cube, as a matrix in compressed rows (about 300
// MiB), to a residual of 1e-6 of the right side. The host makes the matrix and a right side with a
// solution computed by a hash, reads the residual after each 20 steps, and at the end computes the
// residual of the solution itself. The scalars stay on the GPU.
#include <array>
#include <cmath>

#include "bench/program_kernels.hpp"
#include "bench/programs.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t width = 144;
constexpr std::size_t plane = width * width;
constexpr std::size_t rows = plane * width;
constexpr std::size_t entries = 7 * rows - 6 * plane;
constexpr std::size_t steps_at_once = 20;
constexpr std::size_t most_steps = 2000;
constexpr double tolerance = 1e-6;

double solution(std::size_t row) {
  return static_cast<double>(scattered(row) >> 40) / static_cast<double>(1 << 24);
}

class ConjugateGradient final : public Program {
 public:
  ConjugateGradient(ProgramMemory& memory, const ProgramKernels& kernels)
      : memory_(memory),
        clear_(kernels["clear"]),
        publish_(kernels["publish"]),
        start_(kernels["cg_start"]),
        multiply_(kernels["cg_multiply"]),
        step_(kernels["cg_step"]),
        turn_(kernels["cg_turn"]),
        begins_(memory.array<std::uint32_t>(rows + 1, Role::input)),
        columns_(memory.array<std::uint32_t>(entries, Role::input)),
        values_(memory.array<double>(entries, Role::input)),
        b_(memory.array<double>(rows, Role::input)),
        x_(memory.array<double>(rows, Role::output)),
        r_(memory.array<double>(rows, Role::scratch)),
        p_(memory.array<double>(rows, Role::scratch)),
        q_(memory.array<double>(rows, Role::scratch)),
        sums_(memory.array<double>(2 * most_steps + 2, Role::scratch)),
        residual_(memory.array<double>(1, Role::word)) {}

  void run() override {
    set_up();
    solve();
    check();
  }

 private:
  void set_up() {
    memory_.before_writing(begins_);
    memory_.before_writing(columns_);
    memory_.before_writing(values_);
    memory_.before_writing(b_);
    // Rows of a plane have 7 entries, less one for each neighbour that is not there.
    in_parts(width, [&](std::size_t begin, std::size_t end, std::size_t) {
      std::size_t at = begin * (7 * plane - 4 * width) - (begin > 0 ? plane : 0);
      for (std::size_t row = begin * plane; row < end * plane; ++row) at = set_up_row(row, at);
    });
    begins_.host[rows] = static_cast<std::uint32_t>(entries);
    memory_.after_writing(begins_);
    memory_.after_writing(columns_);
    memory_.after_writing(values_);
    memory_.after_writing(b_);
  }

  std::size_t set_up_row(std::size_t row, std::size_t at) const {
    begins_.host[row] = static_cast<std::uint32_t>(at);
    const std::size_t x = row % width;
    const std::size_t y = row / width % width;
    const std::size_t z = row / plane;
    double b = 0;
    const auto add = [&](bool there, std::size_t column, double value) {
      if (!there) return;
      columns_.host[at] = static_cast<std::uint32_t>(column);
      values_.host[at++] = value;
      b += value * solution(column);
    };
    add(z > 0, row - plane, -1);
    add(y > 0, row - width, -1);
    add(x > 0, row - 1, -1);
    add(true, row, 6);
    add(x + 1 < width, row + 1, -1);
    add(y + 1 < width, row + width, -1);
    add(z + 1 < width, row + plane, -1);
    b_.host[row] = b;
    return at;
  }

  void solve() {
    double first = 0;
    for (std::size_t step = 0; step < most_steps; step += steps_at_once) {
      memory_.on_card({reads(begins_), reads(columns_), reads(values_), reads(b_), writes(x_),
                       writes(r_), writes(p_), writes(q_), writes(sums_), writes(residual_)},
                      [&] {
                        if (step == 0) start();
                        for (std::size_t i = step; i < step + steps_at_once; ++i) one_step(i);
                        publish(step == 0 ? 0 : 2 * (step + steps_at_once));
                      });
      memory_.wait();
      const double now = *static_cast<const volatile double*>(residual_.host);
      if (step == 0) first = now;
      if (std::sqrt(now) <= tolerance * std::sqrt(first)) return;
    }
    throw CannotRun("conjugate gradient did not come to an end");
  }
  void start() {
    memory_.launch(clear_, Clear{sums_.card}, sums_.count);
    memory_.launch(start_, CgStart{b_.card, x_.card, r_.card, p_.card, sums_.card}, rows);
  }
  void one_step(std::size_t step) {
    double* const rr = sums_.card + 2 * step;
    double* const pq = rr + 1;
    double* const rr_next = rr + 2;
    memory_.launch(multiply_,
                   CgMultiply{begins_.card, columns_.card, values_.card, p_.card, q_.card, pq},
                   rows);
    memory_.launch(step_, CgStep{p_.card, q_.card, rr, pq, x_.card, r_.card, rr_next}, rows);
    memory_.launch(turn_, CgTurn{r_.card, rr, rr_next, p_.card}, rows);
  }
  void publish(std::size_t sum) {
    memory_.launch(publish_, Publish{residual_.card, sums_.card + sum}, 1);
  }

  void check() {
    memory_.before_reading(x_);
    std::array<double, 2 * 64> sums{};  // of each thread, two
    in_parts(rows, [&](std::size_t begin, std::size_t end, std::size_t part) {
      double residual = 0;
      double whole = 0;
      for (std::size_t row = begin; row < end; ++row) {
        double sum = b_.host[row];
        whole += sum * sum;
        for (std::uint32_t at = begins_.host[row]; at < begins_.host[row + 1]; ++at)
          sum -= values_.host[at] * x_.host[columns_.host[at]];
        residual += sum * sum;
      }
      sums[2 * part] = residual;
      sums[2 * part + 1] = whole;
    });
    double residual = 0;
    double whole = 0;
    for (std::size_t part = 0; part < host_threads(); ++part) {
      residual += sums[2 * part];
      whole += sums[2 * part + 1];
    }
    // The steps' own residual drifts from the true one by rounding.
    if (!(std::sqrt(residual) <= 1.1 * tolerance * std::sqrt(whole)))
      throw CannotRun("conjugate gradient: the solution's residual is wrong");
  }

  ProgramMemory& memory_;
  const device::cuda::CUfunction clear_, publish_, start_, multiply_, step_, turn_;
  const Array<std::uint32_t> begins_, columns_;
  const Array<double> values_, b_, x_, r_, p_, q_, sums_, residual_;
};

}  // namespace

std::unique_ptr<Program> conjugate_gradient(ProgramMemory& memory, const ProgramKernels& kernels) {
  return std::make_unique<ConjugateGradient>(memory, kernels);
}

}  // namespace sluice::tool::bench
