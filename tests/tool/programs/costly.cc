// A program with four mistakes that cost time and nothing else, for `sluice report` to find, and
// with a fifth that only strict mode finds (argument "unnamed"). tests/tool/report_test.py knows
// the lines by their comments.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sluice/sluice.hpp"

namespace {

using sluice::Buffer;
using sluice::Queue;
using sluice::Space;

constexpr std::size_t large = std::size_t{4} << 20;  // words

template <typename Value>
Value need(sluice::Result<Value> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().detail().data());
  std::exit(3);
}

void finish(sluice::Result<sluice::Fence> launched) {
  const auto waited = need(std::move(launched)).wait();
  if (!waited) std::exit(3);
}

// The host looks at a result after every step.
std::uint64_t ping_pong(const Space& space, const Queue& queue) {
  const auto residual = need(space.buffer<std::uint32_t>(16384, "residual"));
  const auto fill = need(queue.kernel("fill"));
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < 30; ++i) {
    finish(queue.launch(fill).writes(residual).arguments(residual.data(), i).items(16384).submit());  // launch: residual
    sum += residual[i * 100];  // host: residual
  }
  return sum;
}

// A counter of the host's lies before the words that a kernel writes.
std::uint64_t false_sharing(const Space& space, const Queue& queue) {
  const auto mixed = need(space.buffer<std::uint32_t>(1024, "mixed"));
  const auto fill = need(queue.kernel("fill"));
  for (std::uint32_t i = 0; i < 30; ++i) {
    mixed[0] += 1;  // host: mixed
    finish(queue.launch(fill).writes(&mixed[512], 2048).arguments(&mixed[512], i).items(512).submit());  // launch: mixed
  }
  return mixed[0];
}

std::uint64_t sum_of(const Space& space, const Queue& queue, const Buffer<std::uint32_t>& words, std::size_t items) {
  const auto sum = need(space.buffer<std::uint64_t>(1, "sum"));
  sum[0] = 0;
  const auto reduce = need(queue.kernel("reduce"));
  finish(queue.launch(reduce).reads(words).writes(sum).arguments(words.data(), sum.data()).items(items).submit());  // launch: table
  return sum[0];
}

// The launch names 16 MiB, and its kernel reads 4 KiB.
std::uint64_t over_fetch(const Space& space, const Queue& queue) {
  const auto table = need(space.buffer<std::uint32_t>(large, "table"));
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < 2; ++i) {
    std::memset(table.data(), static_cast<int>(i), large * sizeof(std::uint32_t));  // host: table
    sum += sum_of(space, queue, table, 1024);
  }
  return sum;
}

// The host has written the field long before the launch that waits for it.
std::uint64_t forgotten_prefetch(const Space& space, const Queue& queue) {
  const auto field = need(space.buffer<std::uint32_t>(large, "field"));
  for (std::size_t i = 0; i < large; ++i) field[i] = static_cast<std::uint32_t>(i % 7);  // host: field
  const auto sum = need(space.buffer<std::uint64_t>(1, "sum"));
  sum[0] = 0;
  const auto reduce = need(queue.kernel("reduce"));
  finish(queue.launch(reduce).reads(field).writes(sum).arguments(field.data(), sum.data()).items(large).submit());  // launch: field
  return sum[0];
}

std::uint64_t unnamed(const Space& space, const Queue& queue) {
  const auto hidden = need(space.buffer<std::uint32_t>(4096, "hidden"));
  const auto sum = need(space.buffer<std::uint64_t>(1, "sum"));
  hidden[0] = 1;
  sum[0] = 0;
  const auto reduce = need(queue.kernel("reduce"));
  finish(queue.launch(reduce).writes(sum).arguments(hidden.data(), sum.data()).items(4096).submit());  // launch: hidden
  return sum[0];
}

}  // namespace

int main(int count, char** arguments) {
  const Space space = need(Space::open({.software = {.count = 1}}));
  const Queue queue = need(space.queue(0));
  std::uint64_t sum = ping_pong(space, queue) + false_sharing(space, queue) + over_fetch(space, queue) +
                      forgotten_prefetch(space, queue);
  if (count > 1 && std::strcmp(arguments[1], "unnamed") == 0) sum += unnamed(space, queue);
  std::printf("%llu\n", static_cast<unsigned long long>(sum));
}
