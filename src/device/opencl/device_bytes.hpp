// DeviceBytes: the driver's copy of managed memory, named by managed addresses.
//
// Two ways exist. Over coarse-grain SVM the driver's copy has the very address that the program
// uses, so kernels follow pointers in memory. Over buffers each range has a cl_mem, kernels get it
// as an argument, and pointers in memory mean nothing to them. A buffer may instead be named by its
// device address, where drivers report that; it differs from every host pointer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/types.hpp"
#include "device/opencl/driver.hpp"
#include "os/address_window.hpp"

namespace sluice::device::opencl {

// Members enqueue one command, without blocking; `event` may be null. They answer the driver's
// status. Thread-safe.
class DeviceBytes {
 public:
  virtual ~DeviceBytes() = default;
  // The driver has bytes of the host's at these addresses too, and might touch them.
  [[nodiscard]] virtual bool have_host_side() const noexcept = 0;
  [[nodiscard]] virtual cl_int write(cl_command_queue queue, Address to, const std::byte* from,
                                     std::size_t size, cl_event* event) = 0;
  [[nodiscard]] virtual cl_int read(cl_command_queue queue, std::byte* to, Address from,
                                    std::size_t size, cl_event* event) = 0;
  // The number of bytes from here on that one command may name: all, or those of one buffer.
  [[nodiscard]] virtual std::size_t contiguous_from(Address address) const = 0;
  // `pattern` as for clEnqueueFillBuffer: 1 to 128 bytes, a power of two.
  [[nodiscard]] virtual cl_int fill(cl_command_queue queue, Address to,
                                    std::span<const std::byte> pattern, std::size_t size,
                                    std::span<const cl_event> wait_for, cl_event* event) = 0;
};

class SvmBytes final : public DeviceBytes {
 public:
  explicit SvmBytes(const Driver& driver) noexcept : driver_(driver) {}
  bool have_host_side() const noexcept override { return true; }
  cl_int write(cl_command_queue queue, Address to, const std::byte* from, std::size_t size,
               cl_event* event) override;
  cl_int read(cl_command_queue queue, std::byte* to, Address from, std::size_t size,
              cl_event* event) override;
  cl_int fill(cl_command_queue queue, Address to, std::span<const std::byte> pattern,
              std::size_t size, std::span<const cl_event> wait_for, cl_event* event) override;
  std::size_t contiguous_from(Address /*address*/) const override { return ~std::size_t{0}; }

 private:
  const Driver driver_;
};

// A place in a buffer.
struct BufferPlace {
  cl_mem buffer = nullptr;
  std::size_t offset = 0;
  std::size_t left = 0;  // bytes from here to the buffer's end
  // A part of a part is no buffer, so parts are made of this one.
  cl_mem whole = nullptr;
  std::size_t offset_in_whole = 0;
};

// One buffer for all ranges of a stretch of addresses.
struct CommonBuffer {
  AddressSpan span;
  cl_mem buffer = nullptr;

  [[nodiscard]] bool has(AddressSpan range) const noexcept {
    return buffer != nullptr && range.begin >= span.begin && range.end() <= span.end();
  }
};

class BufferBytes final : public DeviceBytes {
 public:
  explicit BufferBytes(const Driver& driver) noexcept : driver_(driver) {}
  ~BufferBytes() override;
  bool have_host_side() const noexcept override { return false; }
  cl_int write(cl_command_queue queue, Address to, const std::byte* from, std::size_t size,
               cl_event* event) override;
  cl_int read(cl_command_queue queue, std::byte* to, Address from, std::size_t size,
              cl_event* event) override;
  cl_int fill(cl_command_queue queue, Address to, std::span<const std::byte> pattern,
              std::size_t size, std::span<const cl_event> wait_for, cl_event* event) override;

  std::size_t contiguous_from(Address address) const override { return find(address).left; }

  // Ranges that begin in the first `size` bytes from there, or fewer if the driver has no buffer as
  // large, are parts of one buffer from now on. `size`: a power of two of blocks.
  void share_one_buffer(Address begin, std::size_t size);
  // Without a buffer if there is none.
  [[nodiscard]] const CommonBuffer& common() const noexcept { return common_; }
  // A buffer for a range, before anything of it moves. The driver's status.
  [[nodiscard]] cl_int add(AddressSpan span);
  // A buffer with a device address (device_addresses.hpp), of whole pages, and the first address in
  // it that is aligned so, with as many bytes from there on. The host gets nothing there while it
  // lives. `alignment`: a power of two, a page at least. Errors: the driver's refusal; busy: the
  // program has something at that address.
  [[nodiscard]] Result<Address> add_at_device_address(std::size_t size, std::size_t alignment);
  // `buffer`: as find() gave it. Its place may have been taken by a newer one, which stays.
  void remove(Address address, cl_mem buffer) noexcept;
  // Without a buffer if no range is there.
  [[nodiscard]] BufferPlace find(Address address) const;
  [[nodiscard]] std::vector<Address> begins() const;

 private:
  struct Entry {
    std::size_t size = 0;
    cl_mem buffer = nullptr;
    bool is_part = false;                     // of the common buffer
    std::optional<os::AddressWindow> host{};  // what keeps the program from a device address
  };
  const Driver driver_;
  CommonBuffer common_;  // before any range
  mutable RankedSharedMutex mutex_{LockRank::pieces, "opencl buffers"};
  std::map<Address, Entry> buffers_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::opencl
