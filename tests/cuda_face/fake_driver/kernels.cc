// A kernel is one loop on its stream's thread. What it does not do: run the threads of a grid, which
// no kernel here depends on.
#include "cuda_face/fake_driver/kernels.hpp"

#include <chrono>
#include <thread>

#include "cuda_face/fake_driver/context.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::fake_cuda {
namespace {

constexpr std::size_t after(std::size_t size) { return (size + 7) / 8 * 8; }

CUdeviceptr address_of(const void* place) { return reinterpret_cast<CUdeviceptr>(place); }

// Any alignment: byte by byte, as on the card.
std::uint64_t load_of(GpuView& gpu, const void* from, std::uint32_t width) {
  std::uint64_t value = 0;
  for (std::uint32_t i = 0; i < width; ++i)
    value |= std::uint64_t{gpu.load(static_cast<const std::uint8_t*>(from) + i)} << (8 * i);
  return value;
}
void store_to(GpuView& gpu, void* to, std::uint64_t value, std::uint32_t width) {
  for (std::uint32_t i = 0; i < width; ++i)
    gpu.store(static_cast<std::uint8_t*>(to) + i, static_cast<std::uint8_t>(value >> (8 * i)));
}

void fill(GpuView& gpu, const sluice_soft_fill& a, std::uint64_t items) {
  gpu.for_pieces(address_of(a.to), items * sizeof a.value, true,
                 [&](std::byte* bytes, std::size_t size) {
                   for (std::size_t at = 0; at < size; at += sizeof a.value)
                     std::memcpy(bytes + at, &a.value, sizeof a.value);
                   stall(64);
                 });
}

void copy(GpuView& gpu, const sluice_soft_copy& a, std::uint64_t items) {
  for (std::uint64_t i = 0; i < items; ++i)
    gpu.store(static_cast<std::uint8_t*>(a.to) + i,
              gpu.load(static_cast<const std::uint8_t*>(a.from) + i));
}

void saxpy(GpuView& gpu, const sluice_soft_saxpy& a, std::uint64_t items) {
  for (std::uint64_t i = 0; i < items; ++i)
    gpu.store(a.y + i, a.a * gpu.load(a.x + i) + gpu.load(a.y + i));
}

void reduce(GpuView& gpu, const sluice_soft_reduce& a, std::uint64_t items) {
  std::uint64_t sum = 0;
  gpu.for_pieces(address_of(a.from), items * sizeof(std::uint32_t), false,
                 [&](const std::byte* bytes, std::size_t size) {
                   for (std::size_t at = 0; at < size; at += sizeof(std::uint32_t)) {
                     std::uint32_t word = 0;
                     std::memcpy(&word, bytes + at, sizeof word);
                     sum += word;
                   }
                   stall(64);
                 });
  if (sum != 0) gpu.add(a.sum, sum);
}

void stencil(GpuView& gpu, const sluice_soft_stencil& a, std::uint64_t items) {
  const std::uint64_t rows = items / a.width;
  for (std::uint64_t i = 0; i < items; ++i) {
    const std::uint64_t row = i / a.width;
    const std::uint64_t column = i % a.width;
    const bool border = row == 0 || row + 1 == rows || column == 0 || column + 1 == a.width;
    const auto from = [&](std::uint64_t place) { return gpu.load(a.from + place); };
    gpu.store(a.to + i,
              border ? from(i)
                     : (from(i - a.width) + from(i - 1) + from(i + 1) + from(i + a.width)) * 0.25F);
  }
}

void histogram(GpuView& gpu, const sluice_soft_histogram& a, std::uint64_t items) {
  for (std::uint64_t i = 0; i < items; ++i) gpu.add(a.bins + gpu.load(a.from + i), 1U);
}

void list_walk(GpuView& gpu, const sluice_soft_list_walk& a, std::uint64_t /*items*/) {
  std::uint64_t count = 0;
  for (sluice_soft_node* node = a.head; node != nullptr; node = gpu.load(&node->next), ++count)
    gpu.store(&node->value, gpu.load(&node->value) + a.add);
  gpu.add(a.count, count);
}

void mix(GpuView& gpu, const sluice_soft_mix& a, std::uint64_t items) {
  for (std::uint64_t i = 0; i < items; ++i) {
    std::uint8_t* const place = a.bytes + i * a.stride;
    store_to(gpu, place, sluice_soft_mixed(load_of(gpu, place, a.width), a.seed, i), a.width);
    stall(4096);
  }
}

void check_sum(GpuView& gpu, const sluice_soft_check_sum& a, std::uint64_t items) {
  std::uint64_t sum = 0;
  std::uint64_t i = 0;
  gpu.for_pieces(address_of(a.from), items, false, [&](const std::byte* bytes, std::size_t size) {
    for (std::size_t at = 0; at < size; ++at, ++i)
      sum += (i + 1) * std::to_integer<std::uint64_t>(bytes[at]);
    stall(64);
  });
  if (sum != 0) gpu.add(a.sum, sum);
}

void store(GpuView& gpu, const sluice_soft_store& a, std::uint64_t /*items*/) {
  store_to(gpu, a.to, a.value, a.width);
}

void load(GpuView& gpu, const sluice_soft_load& a, std::uint64_t /*items*/) {
  gpu.store(a.to, load_of(gpu, a.from, a.width));
}

void spin(GpuView& gpu, const sluice_soft_spin& a, std::uint64_t /*items*/) {
  while (gpu.may_go_on() && (a.word == nullptr || gpu.load(a.word) != a.value))
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void meet(GpuView& gpu, const sluice_soft_meet& a, std::uint64_t items) {
  gpu.store(a.here, 1U);
  spin(gpu, {a.word, a.value}, items);
}

void sleep(GpuView& /*gpu*/, const sluice_soft_sleep& a, std::uint64_t /*items*/) {
  std::this_thread::sleep_for(std::chrono::nanoseconds(a.nanoseconds));
}

// A kernel with its arguments in one structure, and the number of items after it.
template <typename Arguments, void (*function)(GpuView&, const Arguments&, std::uint64_t)>
Kernel kernel(std::string_view name) {
  constexpr std::size_t items = after(sizeof(Arguments));
  return {name,
          {{0, sizeof(Arguments)}, {items, sizeof(std::uint64_t)}},
          [](GpuView& gpu, const Parameters& given) {
            function(gpu, given.at<Arguments>(0), given.at<std::uint64_t>(items));
          }};
}

}  // namespace

const std::vector<Kernel>& all_kernels() {
  static const auto& kernels = *new std::vector<Kernel>{
      kernel<sluice_soft_fill, fill>("fill"),
      kernel<sluice_soft_copy, copy>("copy"),
      kernel<sluice_soft_saxpy, saxpy>("saxpy"),
      kernel<sluice_soft_reduce, reduce>("reduce"),
      kernel<sluice_soft_stencil, stencil>("stencil"),
      kernel<sluice_soft_histogram, histogram>("histogram"),
      kernel<sluice_soft_list_walk, list_walk>("list_walk"),
      kernel<sluice_soft_mix, mix>("mix"),
      kernel<sluice_soft_check_sum, check_sum>("check_sum"),
      kernel<sluice_soft_store, store>("store"),
      kernel<sluice_soft_load, load>("load"),
      kernel<sluice_soft_spin, spin>("spin"),
      kernel<sluice_soft_meet, meet>("meet"),
      kernel<sluice_soft_sleep, sleep>("sleep"),
      {"nothing", {{0, 1}, {8, 8}}, [](GpuView&, const Parameters&) {}},
      {"crash",
       {{0, 1}, {8, 8}},
       [](GpuView&, const Parameters&) { throw KernelFault{error_launch_failed}; }},
  };
  return kernels;
}

}  // namespace sluice::fake_cuda
