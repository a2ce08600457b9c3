// Card: one NVIDIA GPU, used through the driver's bare calls: the basis of the peers of `sluice
// bench cuda`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/cuda/driver.hpp"
#include "sluice/soft_kernels_builtin.h"

struct CUstream_st;  // the driver's

namespace sluice::tool::bench {

// The ways to allocate a peer's memory.
enum class Memory { managed, device, pinned };

// The advice for cudaMemAdvise used here; the driver's numbers.
enum class Advice { read_mostly = 1, prefer = 3, accessed_by = 5 };

class Card {
 public:
  explicit Card(int gpu);
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;
  ~Card();

  [[nodiscard]] std::byte* allocate(Memory memory, std::size_t size) const;
  void release(Memory memory, std::byte* bytes) const;

  // From now on its kernels and copies reach the memory of the other card
  // (cudaDeviceEnablePeerAccess).
  void map_peer(const Card& other) const;
  // Kernels that come with a program's image; they live as long as the card. A kernel takes its
  // arguments as one structure and the number of items.
  [[nodiscard]] device::cuda::CUmodule load(std::span<const unsigned char> image);
  [[nodiscard]] device::cuda::CUfunction kernel(device::cuda::CUmodule module,
                                                const char* name) const;

  // One of Sluice's built-in kernels.
  [[nodiscard]] device::cuda::CUfunction kernel(const char* name) const {
    return kernel(modules_.front(), name);
  }

  // Each is put into the stream.
  void start_copy(void* to, const void* from, std::size_t size) const;
  void start_prefetch(std::byte* managed, std::size_t size, bool to_host) const;
  void launch(device::cuda::CUfunction function, void** arguments, std::size_t items) const;
  // With the card's context current: the bare call of the driver and nothing else.
  void launch_nothing() const;

  // Each waits for its end.
  void copy(void* to, const void* from, std::size_t size) const;
  void prefetch(std::byte* managed, std::size_t size, bool to_host) const;
  void fill(std::byte* words, std::size_t size, std::uint32_t value) const;
  void reduce(const std::byte* words, std::size_t size, std::byte* sum) const;
  void synchronize() const;

  // `host`: of the host, else of this GPU.
  void advise(std::byte* managed, std::size_t size, Advice advice, bool host) const;

  [[nodiscard]] device::cuda::CurrentContext make_current() const;
  // As programs name it.
  [[nodiscard]] CUstream_st* stream() const noexcept {
    return reinterpret_cast<CUstream_st*>(stream_);
  }
  [[nodiscard]] int gpu() const noexcept { return gpu_; }

 private:
  const int gpu_;
  const device::cuda::Driver& driver_;
  device::cuda::CUcontext context_ = nullptr;
  device::cuda::CUstream stream_ = nullptr;
  std::vector<device::cuda::CUmodule> modules_;
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
