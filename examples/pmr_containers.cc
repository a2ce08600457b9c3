// Standard containers in managed memory: built by the host, used by a kernel.
#include <cstdio>
#include <map>
#include <memory_resource>
#include <vector>

#include "need.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

int main() {
  const auto space = need(sluice::Space::open({.strict = sluice::Strict::report}));
  const auto memory = need(sluice::MemoryResource::create(space));

  // A std::pmr container, and one with an allocator that keeps the resource alive.
  std::pmr::vector<float> x(memory.get());
  for (int i = 0; i < 50'000; ++i) x.push_back(static_cast<float>(i));
  std::vector<float, sluice::Allocator<float>> y(x.size(), 1.0F, sluice::Allocator<float>(memory));

  const auto queue = need(space.queue(0));
  const auto saxpy = need(queue.kernel("saxpy"));
  need(need(queue.launch(saxpy)
                .reads(x)
                .writes(y)
                .arguments(y.data(), x.data(), 3.0F)
                .items(x.size())
                .submit())
           .wait());
  for (std::size_t i = 0; i < x.size(); ++i) need(y[i] == 3 * x[i] + 1, "y = 3 x + 1");
  std::printf("a kernel has used two vectors of %zu floats\n", x.size());

  // A map's nodes are small pieces of the same ranges. Here the kernel adds up the values of one of
  // them, a vector.
  std::pmr::map<int, std::pmr::vector<std::uint32_t>> rows(memory.get());
  for (int row = 0; row < 100; ++row) rows[row].assign(200, static_cast<std::uint32_t>(row));
  const auto sum = need(space.buffer<std::uint64_t>(1));
  const auto reduce = need(queue.kernel("reduce"));
  const auto& row = rows.at(70);
  need(need(queue.launch(reduce)
                .reads(row)
                .writes(sum)
                .arguments(sluice_soft_reduce{row.data(), sum.data()})
                .items(row.size())
                .submit())
           .wait());
  need(sum[0] == 70 * 200, "the sum of row 70");
  std::printf("and one row of a map of %zu; all of it lies in %zu KiB of ranges\n", rows.size(),
              memory->held() >> 10);
}
