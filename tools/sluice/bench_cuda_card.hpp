// Card: one NVIDIA GPU, driven by the driver's bare calls: what the peers of `sluice bench cuda` are made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/driver.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::tool::bench {

// How a peer's memory is had.
enum class Memory { managed, device, pinned };

class Card {
 public:
  explicit Card(int gpu);
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;
  ~Card();

  [[nodiscard]] std::byte* allocate(Memory memory, std::size_t size) const;
  void release(Memory memory, std::byte* bytes) const;

  // Each waits for its end.
  void copy(void* to, const void* from, std::size_t size) const;
  void prefetch(std::byte* managed, std::size_t size, bool to_host) const;
  // cudaMemAdvise: prefers the GPU, and the host has access.
  void advise(std::byte* managed, std::size_t size) const;
  void fill(std::byte* words, std::size_t size, std::uint32_t value) const;
  void reduce(const std::byte* words, std::size_t size, std::byte* sum) const;
  void synchronize() const;
  // Only put into the stream.
  void launch_nothing() const;

  [[nodiscard]] int gpu() const noexcept { return gpu_; }

 private:
  void launch(device::cuda::CUfunction function, void** arguments, std::size_t items) const;

  const int gpu_;
  const device::cuda::Driver& driver_;
  device::cuda::CUcontext context_ = nullptr;
  device::cuda::CUstream stream_ = nullptr;
  device::cuda::CUmodule module_ = nullptr;
  device::cuda::CUfunction fill_ = nullptr;
  device::cuda::CUfunction reduce_ = nullptr;
  device::cuda::CUfunction nothing_ = nullptr;
};

// Memory of a peer for a scope.
class CardMemory {
 public:
  CardMemory(const Card& card, Memory memory, std::size_t size)
      : card_(card), memory_(memory), bytes_(card.allocate(memory, size)) {}
  CardMemory(const CardMemory&) = delete;
  CardMemory& operator=(const CardMemory&) = delete;
  ~CardMemory() { card_.release(memory_, bytes_); }
  [[nodiscard]] std::byte* data() const noexcept { return bytes_; }

 private:
  const Card& card_;
  const Memory memory_;
  std::byte* const bytes_;
};

}  // namespace sluice::tool::bench
