// Launches that must name more than a kernel's own part: one that reads beyond its part (a halo),
// and one that gets a structure with pointers. Strict mode reports the memory that was not named.
// The kernel is kernels/heat.c, a module of the program's own.
#include <cstdio>

#include "kernels/heat.h"
#include "need.hpp"
#include "sluice/sluice.hpp"

namespace {

constexpr std::size_t width = 1024;  // a row is a page, so that strict mode sees a row exactly
constexpr std::size_t rows = 64;     // and one border row on either side
constexpr std::size_t row_bytes = width * sizeof(float);

struct Heat {
  sluice::Space space =
      need(sluice::Space::open({.software = {.count = 2}, .strict = sluice::Strict::report}));
  sluice::Buffer<float> cells = need(space.buffer<float>((rows + 2) * width));
  sluice::Buffer<float> next = need(space.buffer<float>((rows + 2) * width));
  sluice::Buffer<heat_grid> grid = need(space.buffer<heat_grid>(1));
};

sluice::Kernel heat_kernel(const sluice::Queue& queue) {
  return need(queue.kernel(HEAT_KERNELS, "heat"));
}

// The rows from `first` on: the arguments of the computation, and the cells that it writes.
void prepare(sluice::Launch& launch, const Heat& heat, std::size_t first, std::size_t count) {
  launch.writes(heat.next.data() + first * width, count * row_bytes)
      .arguments(heat_arguments{heat.grid.data(), first})
      .items(count);
}

// Each device computes half of the rows. It reads one row more on either side: the halo.
void compute_right(const Heat& heat) {
  constexpr std::size_t half = rows / 2;
  for (int device = 0; device < 2; ++device) {
    const auto queue = need(heat.space.queue(device));
    const std::size_t first = 1 + static_cast<std::size_t>(device) * half;
    auto launch = queue.launch(heat_kernel(queue));
    prepare(launch, heat, first, half);
    launch.reads(heat.grid);  // the structure, and what its pointers lead to
    launch.reads(heat.cells.data() + (first - 1) * width, (half + 2) * row_bytes);
    need(need(launch.submit()).wait());
  }
  for (std::size_t row = 1; row <= rows; ++row)
    need(heat.next[row * width + 5] == static_cast<float>(row), "the mean of three rows");
  need(heat.space.findings().empty(), "everything was named");
  std::printf("two devices computed %zu rows, and everything was named\n", rows);
}

// The same with the halo forgotten, and with the structure forgotten: the values are right, and
// strict mode reports the omissions.
void compute_and_be_told(const Heat& heat) {
  const auto queue = need(heat.space.queue(0));
  auto without_halo = queue.launch(heat_kernel(queue));
  prepare(without_halo, heat, 10, 4);
  without_halo.reads(heat.grid).reads(heat.cells.data() + 10 * width, 4 * row_bytes);
  need(need(without_halo.submit()).wait());

  auto without_structure = queue.launch(heat_kernel(queue));
  prepare(without_structure, heat, 20, 4);
  without_structure.reads(heat.cells.data() + 19 * width, 6 * row_bytes);
  need(need(without_structure.submit()).wait());

  const auto findings = heat.space.findings();
  need(findings.size() == 2, "two mistakes, two findings");
  need(findings[0].kind == sluice::FindingKind::beyond, "the halo lies beyond what is named");
  need(findings[1].kind == sluice::FindingKind::not_named, "nothing of the structure is named");
  for (const auto& finding : findings)
    std::printf("strict mode advises: %s\n", finding.advice.c_str());
}

}  // namespace

int main() {
  const Heat heat;
  for (std::size_t i = 0; i < heat.cells.size(); ++i)
    heat.cells[i] = static_cast<float>(i / width);  // NOLINT(bugprone-integer-division): the row
  heat.grid[0] = {heat.cells.data(), heat.next.data(), width};
  compute_right(heat);
  compute_and_be_told(heat);
}
