// HandlerSpinPolicy: decides which handlers look out for the next fault, and which rest.
//
// Every fault wakes each thread that waits in poll(2) for a userfaultfd; the faulting thread does
// that, and it takes 1 to 2 us for each. So where there are CPUs to spare two handlers look without
// sleeping while faults keep coming, the others rest on a word of their own, and a fault wakes
// none. A handler that was the last to look out wakes another before it answers.
//
//   looking out ── leave() ──► answering ── enter() ──► looking out
//   looking out ── rest() ──► resting ── the last one leaves, or stop() ──► looking out
//
// Cost: an atomic operation each way; a futex call for each handler that rests or is woken. Takes
// no lock.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::fault {

class HandlerSpinPolicy {
 public:
  // All handlers look out at first. Up to `spinners` of them look without sleeping; with fewer than
  // two no handler rests.
  HandlerSpinPolicy(int handlers, int spinners) noexcept
      : spinners_(spinners), looking_(handlers), may_spin_(spinners) {}

  // The caller has a fault to answer.
  void leave() noexcept;
  void enter() noexcept { looking_.fetch_add(1); }

  // Returns true if the caller may look without sleeping; then end_spin() follows.
  [[nodiscard]] bool begin_spin() noexcept;
  void end_spin() noexcept { may_spin_.fetch_add(1); }

  // Sleeps while others look out. Returns true after a sleep, when the caller is wanted. Returns
  // false if no other handler looks out, or handlers do not rest here.
  [[nodiscard]] bool rest() noexcept;

  // True if another handler could take the next fault.
  [[nodiscard]] bool others_are_free() const noexcept {
    return looking_.load(std::memory_order_relaxed) > 1 ||
           resting_.load(std::memory_order_relaxed) != 0;
  }
  // From now on no handler rests.
  void stop() noexcept;

 private:
  const int spinners_;
  std::atomic<int> looking_;
  std::atomic<int> may_spin_;
  std::atomic<int> resting_{0};
  std::atomic<std::uint32_t> bell_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace sluice::fault
