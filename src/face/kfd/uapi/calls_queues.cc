// The ioctls of queues: kfd_chardev.c, kfd_ioctl_create_queue to kfd_ioctl_set_cu_mask.
#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"

namespace sluice::kfd {

Answer Calls::create_queue() {
  auto asked = get<abi::CreateQueue>();
  if (const int error = Queues::check(asked)) return {error, {}};
  int gpu = -1;
  if (const int error = bind(asked.gpu_id, gpu)) return {error == ENODEV ? ESRCH : error, {}};
  if (machine_.surroundings_.planned(gpu, Step::queue).fails) return {ENOMEM, {}};
  if (const int error = process_.queues.create(gpu, asked, asked.queue_id)) return {error, {}};
  // The doorbell may have been another queue's.
  constexpr std::uint64_t silent = 0;
  machine_.surroundings_.store(
      {}, doorbell_cookie(gpu) | process_.queues.find(asked.queue_id)->doorbell,
      std::as_bytes(std::span(&silent, 1)));
  asked.doorbell_offset = doorbell_cookie(gpu) | process_.queues.find(asked.queue_id)->doorbell;
  put(asked);
  return {};
}

Answer Calls::destroy_queue() {
  return {process_.queues.destroy(get<abi::DestroyQueue>().queue_id), {}};
}

Answer Calls::update_queue() {
  const auto asked = get<abi::UpdateQueue>();
  if (const int error = Queues::check(asked)) return {error, {}};
  return {process_.queues.update(asked), {}};
}

Answer Calls::set_cu_mask() {
  constexpr std::uint32_t most_units = 1024;
  const auto asked = get<abi::SetCuMask>();
  if (asked.num_cu_mask % 32 != 0 || asked.num_cu_mask == 0) return {EINVAL, {}};
  std::vector<std::uint32_t> mask(std::min(asked.num_cu_mask, most_units) / 32);
  if (!machine_.surroundings_.read(asked.cu_mask_ptr, std::as_writable_bytes(std::span(mask))))
    return {EFAULT, {}};
  return {process_.queues.set_cu_mask(asked.queue_id, std::move(mask)), {}};
}

}  // namespace sluice::kfd
