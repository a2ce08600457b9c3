// The ioctls of events: kfd_chardev.c, kfd_ioctl_create_event to kfd_ioctl_wait_events;
// kfd_events.c, kfd_kmap_event_page and kfd_wait_on_events.
#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint32_t slot_bytes = 8;
constexpr std::byte unset_slot{0xff};
constexpr std::uint32_t most_waits = 1U << 16;
constexpr std::uint32_t longest_timeout = 0x7fffffffU;  // in milliseconds; above it: for ever

}  // namespace

// Writes "not set" into slots of the page, wherever it is.
void Calls::clear_slots(std::uint32_t first, std::uint32_t count) {
  const std::vector<std::byte> bytes(std::size_t{count} * slot_bytes, unset_slot);
  const Buffer* const page =
      process_.event_page == 0 ? nullptr : process_.memory.find(process_.event_page);
  const std::uint64_t offset = std::uint64_t{first} * slot_bytes;
  if (page == nullptr)
    machine_.surroundings_.store({}, event_cookie + offset, bytes);
  else
    machine_.surroundings_.store(process_.memory.file(page->gpu), page->offset + offset, bytes);
}

int Calls::set_event_page(std::uint64_t handle) {
  if (process_.events.has_page()) return EINVAL;
  int gpu = -1;
  if (const int error = bind(static_cast<std::uint32_t>(handle >> 32), gpu)) return error;
  const Buffer* const page = process_.memory.find(handle);
  // amdgpu_amdkfd_gpuvm_map_gtt_bo_to_kernel; the whole page is cleared, so it must be that large.
  if (page == nullptr || page->shared || (page->flags & abi::memory::userptr) != 0 ||
      page->size < std::uint64_t{abi::event::signal_limit} * slot_bytes)
    return EINVAL;
  process_.event_page = handle;
  process_.events.set_page(static_cast<std::uint32_t>(
      std::min<std::uint64_t>(page->size / slot_bytes, abi::event::signal_limit)));
  clear_slots(0, abi::event::signal_limit);
  return 0;
}

Answer Calls::create_event() {
  auto asked = get<abi::CreateEvent>();
  if (asked.event_page_offset != 0) {
    if (const int error = set_event_page(asked.event_page_offset)) return {error, {}};
  }
  asked.event_page_offset = 0;
  const int error = process_.events.create(asked.event_type, asked.auto_reset != 0, asked.event_id);
  if (error == 0) {
    asked.event_trigger_data = asked.event_id;
    if (asked.event_id < abi::event::signal_limit) {
      asked.event_page_offset = event_cookie;
      asked.event_slot_index = asked.event_id;
      clear_slots(asked.event_id, 1);
    }
  }
  put(asked);
  return {error, {}};
}

Answer Calls::destroy_event() {
  const int error = process_.events.destroy(get<abi::OneEvent>().event_id);
  machine_.wake(process_);
  return {error, {}};
}

Answer Calls::set_event() {
  const int error = process_.events.set(get<abi::OneEvent>().event_id);
  machine_.wake(process_);
  return {error, {}};
}

Answer Calls::reset_event() { return {process_.events.reset(get<abi::OneEvent>().event_id), {}}; }

Answer Calls::wait_events() {
  auto asked = get<abi::WaitEvents>();
  const auto fail_with = [&](int error) {
    asked.wait_result = abi::event::failed;
    put(asked);
    return Answer{error, {}};
  };
  if (asked.num_events > most_waits) return fail_with(ENOMEM);
  std::vector<abi::EventData> events(asked.num_events);
  if (!machine_.surroundings_.read(asked.events_ptr, std::as_writable_bytes(std::span(events))))
    return fail_with(EFAULT);
  std::vector<std::uint32_t> ids;
  for (const abi::EventData& each : events) ids.push_back(each.event_id);

  Time deadline = machine_.surroundings_.now();
  if (asked.timeout == abi::event::infinite || asked.timeout > longest_timeout)
    deadline = never;
  else
    deadline += std::chrono::milliseconds(asked.timeout);
  Answer answer = machine_.wait(number_, true, deadline);
  const WaitNumber wait = answer.wait->number;
  const int error = process_.events.begin_wait(wait, ids, asked.wait_for_all != 0);
  const std::uint32_t condition = error != 0 ? abi::event::failed : process_.events.condition(wait);
  if (error == 0 && condition == abi::event::timeout && asked.timeout != abi::event::immediate) {
    // Events belong to no GPU; a plan counts these waits as the first one's.
    answer.wait->is_interrupted = machine_.surroundings_.planned(0, Step::wait).interrupts;
    return answer;
  }
  machine_.pending_.erase(wait);
  return error != 0 ? fail_with(error) : finish_wait(wait, condition);
}

Answer Calls::finish_wait(WaitNumber wait, std::uint32_t condition) {
  auto asked = get<abi::WaitEvents>();
  int error = condition == abi::event::failed ? EIO : 0;
  if (condition == abi::event::complete) {
    const auto payloads = process_.events.payloads(wait);
    if (!payloads) error = EINVAL;
    for (std::size_t index = 0; payloads && error == 0 && index < payloads->size(); ++index) {
      const auto& payload = (*payloads)[index];
      const std::uint64_t address = asked.events_ptr + index * sizeof(abi::EventData);
      if (payload && !machine_.surroundings_.write(address, std::as_bytes(std::span(*payload))))
        error = EFAULT;
    }
  }
  process_.events.end_wait(wait, false);
  asked.wait_result = error == 0 ? condition : abi::event::failed;
  put(asked);
  return {error, {}};
}

Answer Calls::interrupt_wait(WaitNumber wait, Time deadline) {
  auto asked = get<abi::WaitEvents>();
  process_.events.end_wait(wait, true);
  machine_.wake(process_);
  if (deadline != never) {
    const Time left = std::max(Time{0}, deadline - machine_.surroundings_.now());
    asked.timeout = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(left).count());
  }
  asked.wait_result = abi::event::failed;
  put(asked);
  return {restart, {}};
}

}  // namespace sluice::kfd
