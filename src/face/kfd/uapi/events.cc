// The rules of kfd_events.c, function by function.
#include "face/kfd/uapi/events.hpp"

#include <algorithm>
#include <cerrno>

namespace sluice::kfd {
namespace {

// The slots that user space of the oldest kind maps (allocate_event_notification_slot).
constexpr std::uint32_t default_slots = 256;

bool has_slot(std::uint32_t type) noexcept {
  return type == abi::event::signal || type == abi::event::debug;
}

}  // namespace

void Events::set_page(std::uint32_t slots) noexcept {
  has_page_ = true;
  slots_ = slots;
}

Events::Event* Events::find(std::uint32_t id) {
  return id < abi::event::signal_limit ? signals_.find(id) : others_.find(id);
}

// kfd_event_create, create_signal_event, create_other_event.
int Events::create(std::uint32_t type, bool auto_reset, std::uint32_t& id) {
  Event event;
  event.type = type;
  event.auto_reset = auto_reset;
  if (!has_slot(type)) {
    id = others_.add(std::move(event)).first;
    return 0;
  }
  if (!has_page_) set_page(default_slots);
  // The first slot belongs to no event. A free number may lie beyond a smaller page.
  if (signals_.size() + 1 >= slots_ || signals_.lowest_free() >= slots_) return ENOSPC;
  id = signals_.add(std::move(event)).first;
  return 0;
}

// kfd_event_destroy, destroy_event: those that wait for it fail.
int Events::destroy(std::uint32_t id) {
  Event* const event = find(id);
  if (event == nullptr) return EINVAL;
  for (auto& [number, wait] : waits_) {
    for (Part& part : wait.parts) {
      if (part.event != id) continue;
      part.event.reset();
      woken_.push_back(number);
    }
  }
  if (has_slot(event->type))
    signals_.remove(id);
  else
    others_.remove(id);
  return 0;
}

// set_event: an auto-reset event stays set only if nobody waits.
void Events::set_event(Event& event) {
  event.is_set = !event.auto_reset || event.waiters.empty();
  for (const Waiter& waiter : event.waiters) {
    waits_.at(waiter.wait).parts[waiter.index].activated = true;
    woken_.push_back(waiter.wait);
  }
  event.waiters.clear();
}

// kfd_set_event, kfd_reset_event: event_can_be_cpu_signaled.
int Events::set(std::uint32_t id) {
  Event* const event = find(id);
  if (event == nullptr || event->type != abi::event::signal) return EINVAL;
  set_event(*event);
  return 0;
}

int Events::reset(std::uint32_t id) {
  Event* const event = find(id);
  if (event == nullptr || event->type != abi::event::signal) return EINVAL;
  event->is_set = false;
  return 0;
}

void Events::set_all(std::uint32_t type, const EventPayload& payload) {
  for (auto& [id, event] : others_) {
    if (event.type != type) continue;
    event.payload = payload;
    set_event(event);
  }
}

// init_event_waiter for each.
int Events::begin_wait(WaitNumber number, std::span<const std::uint32_t> ids, bool all) {
  Wait& wait = waits_[number];
  wait.all = all;
  wait.parts.resize(ids.size());
  for (std::size_t index = 0; index < ids.size(); ++index) {
    Event* const event = find(ids[index]);
    if (event == nullptr) {
      end_wait(number, false);
      return EINVAL;
    }
    Part& part = wait.parts[index];
    part.event = ids[index];
    part.activated = event->is_set;
    event->is_set = event->is_set && !event->auto_reset;
    if (!part.activated) event->waiters.push_back({number, index});
  }
  return 0;
}

// test_event_condition.
std::uint32_t Events::condition(WaitNumber number) const {
  const Wait& wait = waits_.at(number);
  std::size_t activated = 0;
  for (const Part& part : wait.parts) {
    if (!part.event) return abi::event::failed;
    if (!part.activated) continue;
    if (!wait.all) return abi::event::complete;
    ++activated;
  }
  return activated == wait.parts.size() ? abi::event::complete : abi::event::timeout;
}

// copy_signaled_event_data.
std::optional<std::vector<std::optional<EventPayload>>> Events::payloads(WaitNumber number) {
  std::vector<std::optional<EventPayload>> all;
  for (const Part& part : waits_.at(number).parts) {
    const Event* const event = part.event ? find(*part.event) : nullptr;
    if (event == nullptr) return std::nullopt;
    const bool has_payload =
        event->type == abi::event::memory || event->type == abi::event::hw_exception;
    all.push_back(part.activated && has_payload ? std::optional(event->payload) : std::nullopt);
  }
  return all;
}

// free_waiters.
void Events::end_wait(WaitNumber number, bool interrupted) {
  const auto found = waits_.find(number);
  if (found == waits_.end()) return;
  for (const Part& part : found->second.parts) {
    Event* const event = part.event ? find(*part.event) : nullptr;
    if (event == nullptr) continue;
    std::erase_if(event->waiters, [&](const Waiter& waiter) { return waiter.wait == number; });
    if (interrupted && part.activated && event->auto_reset) set_event(*event);
  }
  waits_.erase(found);
}

}  // namespace sluice::kfd
