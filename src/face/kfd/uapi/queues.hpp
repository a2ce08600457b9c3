// Queues: those of one process as objects, with the kernel's checks. QueueRunner lets them run.
//
// Linux 6.1: kfd_chardev.c, set_queue_properties_from_user, kfd_ioctl_update_queue;
// kfd_process_queue_manager.c.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "face/kfd/uapi/abi.hpp"
#include "face/kfd/uapi/id_table.hpp"

namespace sluice::kfd {

// ENOTSUPP, which is the kernel's own number.
inline constexpr int not_supported_type = 524;

struct Queue {
  int gpu = 0;
  std::uint32_t type = 0;
  std::uint64_t ring = 0;
  std::uint32_t ring_size = 0;
  std::uint32_t percent = 0;
  std::uint32_t priority = 0;
  std::uint64_t read_pointer = 0;
  std::uint64_t write_pointer = 0;
  std::uint32_t doorbell = 0;  // its place in the doorbells of the process, in bytes
  std::uint64_t read = 0;      // bytes of the ring that have been run
  bool is_halted = false;      // by a packet that is not served
  std::vector<std::uint32_t> cu_mask;

  // update_queue, is_queue_active: no ring, or no share of the GPU, and it does not run.
  [[nodiscard]] bool is_active() const noexcept {
    return ring_size > 0 && ring != 0 && percent > 0;
  }
};

class Queues {
 public:
  // The numbers alone, before any GPU is looked for: 0 or an errno.
  [[nodiscard]] static int check(const abi::CreateQueue& asked) noexcept;
  [[nodiscard]] static int check(const abi::UpdateQueue& asked) noexcept;

  // 0 with id and doorbell, or an errno.
  [[nodiscard]] int create(int gpu, const abi::CreateQueue& asked, std::uint32_t& id);
  [[nodiscard]] int destroy(std::uint32_t id);
  [[nodiscard]] int update(const abi::UpdateQueue& asked);
  [[nodiscard]] int set_cu_mask(std::uint32_t id, std::vector<std::uint32_t> mask);

  [[nodiscard]] Queue* find(std::uint32_t id) { return queues_.find(id); }
  [[nodiscard]] auto begin() noexcept { return queues_.begin(); }
  [[nodiscard]] auto end() noexcept { return queues_.end(); }
  [[nodiscard]] bool empty() const noexcept { return queues_.size() == 0; }

 private:
  IdTable<Queue> queues_;
};

}  // namespace sluice::kfd
