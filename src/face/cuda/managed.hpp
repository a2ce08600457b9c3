// ManagedSpace: the space of the program's managed memory, opened by its first allocation.
#pragma once

#include <atomic>
#include <memory>

#include "engine/engine.hpp"
#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// One for the process; never destroyed, because programs free memory from their exit handlers.
class ManagedSpace {
 public:
  [[nodiscard]] static ManagedSpace& get();

  // Opens the space on all GPUs. Errors: those of Engine::open().
  [[nodiscard]] Result<void> open();
  // True once the space is open: there may be managed memory.
  [[nodiscard]] bool is_open() const noexcept {
    return begin_.load(std::memory_order_acquire) != 0;
  }
  // True for addresses of the space, in a live range or not.
  [[nodiscard]] bool owns(CUdeviceptr address) const noexcept {
    const CUdeviceptr begin = begin_.load(std::memory_order_acquire);
    return begin != 0 && address - begin < size_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool owns(const void* pointer) const noexcept {
    return owns(reinterpret_cast<CUdeviceptr>(pointer));
  }
  // The live range that an address lies in.
  [[nodiscard]] Result<RangeInfo> range_of(CUdeviceptr address) const;
  // True for a span that is not empty and lies in one live range.
  [[nodiscard]] bool holds(CUdeviceptr begin, std::size_t size) const;

  // Changes when memory is made or freed, or a hint is given: what was on a GPU need not be all any
  // more.
  [[nodiscard]] std::uint64_t version() const noexcept {
    return version_.load(std::memory_order_acquire);
  }
  void change() noexcept { version_.fetch_add(1, std::memory_order_release); }

  // Once it is open.
  [[nodiscard]] engine::Engine& engine() const noexcept { return *engine_; }

 private:
  ManagedSpace() = default;
  [[nodiscard]] Result<void> open_now();

  std::shared_ptr<engine::Engine> engine_;
  std::atomic<CUdeviceptr> begin_{0};  // set last
  std::atomic<std::size_t> size_{0};
  std::atomic<std::uint64_t> version_{1};
};

// The driver's answer for an error of the engine's.
[[nodiscard]] CUresult code_of(const Error& error) noexcept;

}  // namespace sluice::cuda
