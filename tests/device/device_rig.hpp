// What tests of devices stand on: host memory, a sink that remembers, and the kinds of device to be
// tested.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "os/address_window.hpp"

namespace sluice::device::testing {

// Generous: it only passes when something is broken.
constexpr auto patience = std::chrono::seconds(60);
inline Wait patiently() { return {.deadline = Clock::now() + patience}; }

// Evaluates to the value of a Result; a failure ends the test with its text.
template <typename T>
T value_of(Result<T> result, const char* what, const char* file, int line) {
  if (!result) {
    ADD_FAILURE_AT(file, line) << what << ": " << to_string(result.error().code()) << ": "
                               << result.error().detail();
    throw std::runtime_error("a call that must succeed failed");
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
#define GET(expression) \
  ::sluice::device::testing::value_of((expression), #expression, __FILE__, __LINE__)

// The code of a Result that must be an error, and its detail.
template <typename T>
std::optional<ErrorCode> code_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().code());
}
template <typename T>
std::string detail_of(const Result<T>& result) {
  return result ? "no error" : std::string(result.error().detail());
}

class RecordingSink final : public EventSink {
 public:
  struct Event {
    enum class Kind : std::uint8_t { lost, access_fault, fatal_fault } kind;
    int device;
    std::uint32_t fault;
    Address address;
    Access access;
    std::string text;
  };

  void device_lost(int device, const Error& why) noexcept override;
  void device_access_fault(int device, std::uint32_t fault, Address address,
                           Access access) noexcept override;
  void device_fatal_fault(int device, Fence launch, Address address, Access access,
                          const Error& report) noexcept override;

  // Answers access faults from now on, on the device's thread.
  void on_access_fault(std::function<void(const Event&)> answer);
  // The first event of a kind, waited for.
  [[nodiscard]] Event await(Event::Kind kind);
  [[nodiscard]] std::size_t count(Event::Kind kind) const;

 private:
  void add(Event event);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  std::function<void(const Event&)> answer_;
};

// Host memory as the engine would give it: a window, a memory file, the alias view of all of it.
class HostArea {
 public:
  HostArea();
  HostArea(const HostArea&) = delete;
  HostArea& operator=(const HostArea&) = delete;
  ~HostArea();

  [[nodiscard]] const HostMemory& memory() const noexcept { return memory_; }
  [[nodiscard]] Address at(std::size_t offset) const noexcept {
    return memory_.window.begin + offset;
  }
  template <typename T>
  [[nodiscard]] T* alias(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(memory_.alias + offset);
  }

 private:
  std::optional<os::AddressWindow> window_;
  HostMemory memory_;
};

// A kind of device under test. Its module has the kernels of sluice/soft_kernels_builtin.h named
// here, with those arguments.
struct Backend {
  std::string name;
  std::string module;  // has "fill", "spin" and "nothing"
  std::function<Result<std::unique_ptr<Device>>(int number, const HostMemory&, EventSink&)> open;
  std::string missing{};  // why it cannot be tested on this machine; empty: it can
};

// Arguments as bytes; the object must outlive the launch call.
template <typename T>
std::span<const std::byte> bytes_of(const T& arguments) {
  return std::as_bytes(std::span(&arguments, 1));
}

// A managed address in a kernel's arguments.
template <typename T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address.value);
}

// Device 0, host memory, and the few steps that every test repeats.
class Rig {
 public:
  explicit Rig(const Backend& backend) : module_(backend.module) {
    device_ = GET(backend.open(0, host.memory(), sink));
  }

  Device& device() { return *device_; }
  Device* operator->() { return device_.get(); }
  void close() { device_.reset(); }

  void finish(Result<Fence> fence) { GET(device_->wait(GET(std::move(fence)), patiently())); }
  Result<void> outcome(Result<Fence> fence) {
    return fence ? device_->wait(*fence, patiently()) : tl::unexpected(fence.error());
  }

  Place on_device(const Allocation& allocation, std::size_t offset = 0) const {
    return {Location::device(0), allocation.handle, offset};
  }
  Place on_host(std::size_t offset) const { return Place::host(host.at(offset)); }

  Result<Fence> copy(Place from, Place to, std::size_t size) {
    const CopyCommand command{from, to, size};
    return device_->copy({&command, 1});
  }
  Result<Fence> fill(Place to, std::size_t size, std::uint8_t value) {
    const FillCommand command{to, size, value};
    return device_->fill({&command, 1});
  }
  Result<Fence> map(std::size_t offset, std::size_t size, Place backing, Rights rights) {
    const MappingCommand command{host.at(offset), size, backing, rights};
    return device_->update_mappings({&command, 1});
  }
  // Memory that kernels may write at an offset of the window: the host's, or where the device does
  // not reach that, its own.
  void map_memory(std::size_t offset) {
    if (device_->traits().maps_host_memory) {
      finish(map(offset, block_size, on_host(offset), Rights::write));
      return;
    }
    const Allocation allocation = GET(device_->allocate(block_size));
    allocations_[offset] = allocation;
    finish(fill(on_device(allocation), block_size, 0));
    finish(map(offset, block_size, on_device(allocation), Rights::write));
  }
  // The first word of memory mapped so.
  std::uint32_t load_word(std::size_t offset) {
    if (allocations_.contains(offset))
      finish(copy(on_device(allocations_[offset]), on_host(offset), sizeof(std::uint32_t)));
    return __atomic_load_n(host.alias<std::uint32_t>(offset), __ATOMIC_ACQUIRE);
  }
  void store_word(std::size_t offset, std::uint32_t value) {
    __atomic_store_n(host.alias<std::uint32_t>(offset), value, __ATOMIC_RELEASE);
    if (allocations_.contains(offset))
      finish(copy(on_host(offset), on_device(allocations_[offset]), sizeof(std::uint32_t)));
  }
  KernelId kernel(std::string_view name) { return GET(device_->find_kernel(module_, name)); }
  template <typename Arguments>
  Result<Fence> launch(QueueId queue, KernelId kernel, const Arguments& arguments,
                       std::uint64_t items = 1, std::span<const Fence> wait_for = {}) {
    return device_->launch(queue, {kernel, bytes_of(arguments), items, wait_for});
  }

  HostArea host;
  RecordingSink sink;

 private:
  std::string module_;
  std::map<std::size_t, Allocation> allocations_;  // of map_memory(), by offset
  std::unique_ptr<Device> device_;
};

}  // namespace sluice::device::testing
