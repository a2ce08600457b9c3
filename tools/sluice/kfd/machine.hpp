// Machine: /dev/kfd as a program uses it, by its ioctls alone, whoever serves them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "face/kfd/uapi/abi.hpp"

namespace sluice::tool::kfd_contract {

namespace abi = sluice::kfd::abi;

class Machine {
 public:
  // Opens it and acquires every GPU. CannotRun if there is none, or it has no GPU.
  Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // 0 or an errno.
  template <typename T>
  int call(abi::Call number, T& arguments) const {
    return request(number, sizeof arguments, &arguments);
  }
  int request(abi::Call number, std::size_t size, void* arguments) const;

  [[nodiscard]] std::uint32_t gpus() const { return static_cast<std::uint32_t>(ids_.size()); }
  [[nodiscard]] std::uint32_t id(std::uint32_t gpu) const { return ids_[gpu]; }
  [[nodiscard]] int file() const { return file_; }
  [[nodiscard]] int node() const { return nodes_.front(); }

  // The errno of an allocation on the first GPU; its handle.
  int allocate(std::uint64_t size, std::uint32_t flags, std::uint64_t& handle);
  // A page of VRAM that is not mapped yet.
  std::uint64_t page();
  int release(std::uint64_t handle) const;
  // The first so many GPUs, from the n_success-th on; how far it came.
  int map(std::uint64_t handle, std::span<const std::uint32_t> ids, std::uint32_t& n_success,
          abi::Call number = abi::Call::map_memory) const;
  // On the first GPU.
  int map(std::uint64_t handle) const;
  int unmap(std::uint64_t handle) const;
  std::uint64_t available() const;

  std::uint32_t event(std::uint32_t type, bool auto_reset) const;
  int one_event(abi::Call number, std::uint32_t id) const;
  int wait(std::span<const std::uint32_t> ids, bool all, std::uint32_t timeout,
           std::uint32_t& result) const;

 private:
  int file_;
  std::vector<int> nodes_;
  std::vector<std::uint32_t> ids_;
  std::uint64_t next_address_ = std::uint64_t{1} << 36;
};

}  // namespace sluice::tool::kfd_contract
