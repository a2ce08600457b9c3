// Arena: managed memory of one OpenCL context, a space with the driver as its device.
//
// Over SVM it lies on one allocation of the driver and takes over its addresses on the host's side;
// a context gets another arena when one is full. Over buffers it finds addresses of its own and is
// never full.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "device/opencl/opencl_device.hpp"
#include "engine/engine.hpp"
#include "pool/piece_pool.hpp"

namespace sluice::opencl {

class Arena {
 public:
  // At least `size` bytes. Errors: the driver's refusal of that much SVM, or of anything else that
  // is needed.
  [[nodiscard]] static Result<std::unique_ptr<Arena>> over_svm(const device::opencl::Driver& driver,
                                                               std::size_t size);
  // Ranges in its first `common` bytes are parts of one buffer.
  [[nodiscard]] static Result<std::unique_ptr<Arena>> beside_buffers(
      const device::opencl::Driver& driver, std::size_t common);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  [[nodiscard]] Result<void*> allocate(std::size_t size, std::size_t alignment) {
    return pool_->allocate(size, alignment);
  }
  void free(void* piece, std::size_t size, std::size_t alignment) noexcept {
    pool_->free(piece, size, alignment);
  }

  [[nodiscard]] engine::Engine& engine() const noexcept { return *engine_; }
  [[nodiscard]] device::opencl::OpenclDevice& device() const noexcept { return *device_; }
  [[nodiscard]] device::opencl::DeviceBytes& bytes() const noexcept { return *bytes_; }
  // Null over SVM.
  [[nodiscard]] device::opencl::BufferBytes* buffers() const noexcept { return buffers_; }
  // The driver's pointer; null beside buffers.
  [[nodiscard]] void* svm() const noexcept { return svm_; }
  // The alias view of a managed byte.
  [[nodiscard]] std::byte* alias(Address address) const noexcept {
    return alias_ + (address - window_.begin);
  }

 private:
  class Source;

  explicit Arena(const device::opencl::Driver& driver) noexcept : driver_(driver) {}
  [[nodiscard]] Result<void> give_to_device(std::size_t size) const;
  [[nodiscard]] Result<void> open(std::size_t memory_size, std::optional<AddressSpan> window);

  const device::opencl::Driver driver_;
  bool retained_ = false;
  void* svm_ = nullptr;
  std::unique_ptr<device::opencl::DeviceBytes> bytes_;
  device::opencl::BufferBytes* buffers_ = nullptr;
  std::shared_ptr<engine::Engine> engine_;
  device::opencl::OpenclDevice* device_ = nullptr;
  std::byte* alias_ = nullptr;
  AddressSpan window_;
  std::unique_ptr<PiecePool> pool_;
};

}  // namespace sluice::opencl
