// Events: those of one process, and the waits for them.
//
// Linux 6.1, kfd_events.c. A wait takes the signal of an auto-reset event at once, and gives it
// back only if a signal of Linux interrupts it: a wait that times out keeps what it took.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "face/kfd/uapi/abi.hpp"
#include "face/kfd/uapi/id_table.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

// The facts that an event tells, as bytes of abi::EventData.
using EventPayload = std::array<std::uint32_t, 8>;

class Events {
 public:
  // Slots of the page that the process has mapped; they limit the signal events.
  [[nodiscard]] std::uint32_t slots() const noexcept { return slots_; }
  [[nodiscard]] bool has_page() const noexcept { return has_page_; }
  void set_page(std::uint32_t slots) noexcept;

  // 0 and the id, or an errno.
  [[nodiscard]] int create(std::uint32_t type, bool auto_reset, std::uint32_t& id);
  [[nodiscard]] int destroy(std::uint32_t id);
  [[nodiscard]] int set(std::uint32_t id);
  [[nodiscard]] int reset(std::uint32_t id);
  // True if it is an event that GPUs set, by its slot.
  [[nodiscard]] bool has_slot_event(std::uint32_t id) { return signals_.find(id) != nullptr; }
  // Sets it as the interrupt of a GPU does.
  void interrupt(std::uint32_t id) { set_event(*signals_.find(id)); }
  // Sets all events of the type.
  void set_all(std::uint32_t type, const EventPayload& payload);

  // Takes the events that are set. EINVAL: there is no such event; then no wait began.
  [[nodiscard]] int begin_wait(WaitNumber wait, std::span<const std::uint32_t> ids, bool all);
  // abi::event::complete, timeout (not yet) or failed (one of the events was destroyed).
  [[nodiscard]] std::uint32_t condition(WaitNumber wait) const;
  // For each event of the wait its payload if it was set and has one. Null: one was destroyed.
  [[nodiscard]] std::optional<std::vector<std::optional<EventPayload>>> payloads(WaitNumber wait);
  // `interrupted`: by a signal of Linux, so what the wait took is given back.
  void end_wait(WaitNumber wait, bool interrupted);

  // Waits that may go on since the last call.
  [[nodiscard]] std::vector<WaitNumber> take_woken() noexcept { return std::exchange(woken_, {}); }

 private:
  struct Waiter {
    WaitNumber wait = 0;
    std::size_t index = 0;
  };
  struct Event {
    std::uint32_t type = 0;
    bool auto_reset = false;
    bool is_set = false;
    EventPayload payload{};
    std::vector<Waiter> waiters;  // not yet woken
  };
  struct Part {
    std::optional<std::uint32_t> event;  // none: it was destroyed
    bool activated = false;
  };
  struct Wait {
    bool all = false;
    std::vector<Part> parts;
  };

  [[nodiscard]] Event* find(std::uint32_t id);
  void set_event(Event& event);

  IdTable<Event> signals_{1};  // 0 is the kernel's own
  IdTable<Event> others_{abi::event::signal_limit};
  std::map<WaitNumber, Wait> waits_;
  std::vector<WaitNumber> woken_;
  std::uint32_t slots_ = 0;
  bool has_page_ = false;
};

}  // namespace sluice::kfd
