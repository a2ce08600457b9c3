// The checks of queues.hpp.
#include "face/kfd/uapi/queues.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

namespace sluice::kfd {
namespace {

// kfd_device_queue_manager: the queues that a process may have on a GPU, and the SDMA engines of
// gfx9 with their queues.
constexpr std::ptrdiff_t most_queues = 127;
constexpr std::ptrdiff_t most_sdma_queues = std::ptrdiff_t{2} * 8;
constexpr std::ptrdiff_t most_xgmi_queues = std::ptrdiff_t{3} * 8;
constexpr std::uint32_t doorbell_bytes = 8;

int check_share(std::uint32_t percent, std::uint32_t priority, std::uint32_t size) noexcept {
  if (percent > abi::queue::most_percent || priority > abi::queue::most_priority) return EINVAL;
  return size != 0 && !std::has_single_bit(size) ? EINVAL : 0;
}

// access_ok: below the end of user space.
bool may_be_user(std::uint64_t address) noexcept {
  return address < (std::uint64_t{1} << 47) - 4096;
}

std::uint32_t clamped(std::uint32_t size) noexcept {
  return size == 0 ? 0 : std::max(size, abi::queue::smallest_ring);
}

}  // namespace

int Queues::check(const abi::CreateQueue& asked) noexcept {
  if (asked.queue_percentage > abi::queue::most_percent ||
      asked.queue_priority > abi::queue::most_priority)
    return EINVAL;
  if (!may_be_user(asked.ring_base_address)) return EFAULT;
  if (const int error = check_share(asked.queue_percentage, asked.queue_priority, asked.ring_size))
    return error;
  for (const std::uint64_t address : {asked.read_pointer_address, asked.write_pointer_address,
                                      asked.eop_buffer_address, asked.ctx_save_restore_address})
    if (!may_be_user(address)) return EFAULT;
  return asked.queue_type > abi::queue::sdma_xgmi ? not_supported_type : 0;
}

int Queues::check(const abi::UpdateQueue& asked) noexcept {
  if (const int error = check_share(asked.queue_percentage, asked.queue_priority, 0)) return error;
  if (!may_be_user(asked.ring_base_address)) return EFAULT;
  return check_share(asked.queue_percentage, asked.queue_priority, asked.ring_size);
}

// pqm_create_queue, allocate_sdma_queue, allocate_doorbell.
int Queues::create(int gpu, const abi::CreateQueue& asked, std::uint32_t& id) {
  const auto there = [&](auto matches) {
    return std::count_if(queues_.begin(), queues_.end(), [&](const auto& each) {
      return each.second.gpu == gpu && matches(each.second);
    });
  };
  if (there([](const Queue&) { return true; }) >= most_queues) return ENOSPC;
  const bool is_xgmi = asked.queue_type == abi::queue::sdma_xgmi;
  if (is_xgmi || asked.queue_type == abi::queue::sdma) {
    const auto same = there([&](const Queue& each) { return each.type == asked.queue_type; });
    if (same >= (is_xgmi ? most_xgmi_queues : most_sdma_queues)) return ENOMEM;
  }
  Queue queue;
  queue.gpu = gpu;
  queue.type = asked.queue_type;
  queue.ring = asked.ring_base_address;
  queue.ring_size = clamped(asked.ring_size);
  queue.percent = asked.queue_percentage;
  queue.priority = asked.queue_priority;
  queue.read_pointer = asked.read_pointer_address;
  queue.write_pointer = asked.write_pointer_address;
  while (there([&](const Queue& each) { return each.doorbell == queue.doorbell; }) != 0)
    queue.doorbell += doorbell_bytes;
  id = queues_.add(std::move(queue)).first;
  return 0;
}

int Queues::destroy(std::uint32_t id) {
  if (queues_.find(id) == nullptr) return EINVAL;
  queues_.remove(id);
  return 0;
}

// pqm_update_queue_properties.
int Queues::update(const abi::UpdateQueue& asked) {
  Queue* const queue = queues_.find(asked.queue_id);
  if (queue == nullptr) return EFAULT;
  queue->ring = asked.ring_base_address;
  queue->ring_size = clamped(asked.ring_size);
  queue->percent = asked.queue_percentage;
  queue->priority = asked.queue_priority;
  return 0;
}

// pqm_update_mqd.
int Queues::set_cu_mask(std::uint32_t id, std::vector<std::uint32_t> mask) {
  Queue* const queue = queues_.find(id);
  if (queue == nullptr) return EFAULT;
  queue->cu_mask = std::move(mask);
  return 0;
}

}  // namespace sluice::kfd
