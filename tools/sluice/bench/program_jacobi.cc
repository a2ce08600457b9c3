// Jacobi sweeps with five points over a square grid of 256 MiB. The host sets the grid up as x^2 -
// y^2, which no sweep changes, plus one wave, which every sweep makes smaller by a known factor; so
// at the end the host knows what each cell must be, and looks at all of them.
#include <cmath>
#include <numbers>

#include "bench/program_kernels.hpp"
#include "bench/programs.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t side = 8192;
constexpr int sweeps = 100;  // even: the grid that the host set up is the one that it reads
constexpr double waves = 256;
constexpr double allowed_error = 1e-4;  // single precision, many sweeps

class Jacobi final : public Program {
 public:
  Jacobi(ProgramMemory& memory, const ProgramKernels& kernels)
      : memory_(memory),
        sweep_(kernels["jacobi_sweep"]),
        grid_(memory.array<float>(side * side, Role::output)),
        other_(memory.array<float>(side * side, Role::scratch)),
        wave_(side),
        square_(side) {
    const double step = std::numbers::pi * waves / (side - 1);
    for (std::size_t i = 0; i < side; ++i) {
      wave_[i] = std::sin(step * static_cast<double>(i));
      square_[i] = static_cast<double>(i * i) / static_cast<double>(side * side);
    }
    left_ = std::pow(std::cos(step), sweeps);
  }

  void run() override {
    memory_.before_writing(grid_);
    in_parts(side, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t y = begin; y < end; ++y)
        for (std::size_t x = 0; x < side; ++x)
          grid_.host[y * side + x] = static_cast<float>(expected(x, y, 1));
    });
    memory_.after_writing(grid_);
    memory_.on_card({writes(grid_), writes(other_)}, [&] {
      for (int sweep = 0; sweep < sweeps; sweep += 2) {
        memory_.launch(sweep_, JacobiSweep{grid_.card, other_.card, side}, grid_.count);
        memory_.launch(sweep_, JacobiSweep{other_.card, grid_.card, side}, grid_.count);
      }
    });
    memory_.before_reading(grid_);
    in_parts(side, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t y = begin; y < end; ++y)
        for (std::size_t x = 0; x < side; ++x)
          if (!(std::abs(grid_.host[y * side + x] - expected(x, y, left_)) <= allowed_error))
            throw CannotRun("Jacobi: a wrong cell");
    });
  }

 private:
  [[nodiscard]] double expected(std::size_t x, std::size_t y, double left) const {
    return square_[x] - square_[y] + left * wave_[x] * wave_[y];
  }

  ProgramMemory& memory_;
  const device::cuda::CUfunction sweep_;
  const Array<float> grid_, other_;
  std::vector<double> wave_, square_;
  double left_ = 0;  // of the wave, after all sweeps
};

}  // namespace

std::unique_ptr<Program> jacobi(ProgramMemory& memory, const ProgramKernels& kernels) {
  return std::make_unique<Jacobi>(memory, kernels);
}

}  // namespace sluice::tool::bench
