// The event ring: tickets, stamps and packed slots.
//
// Why a ring of our own: events are recorded on threads that answer access faults, so nothing here
// may allocate or lock, and a reader may come at any time. Slots are words of relaxed and release
// stores under a stamp (a sequence lock for each slot), so a torn copy is seen and thrown away, and
// thread sanitizers see no race.
//
// Cost: about 25 ns an event on one thread (one shared add, one swap, nine stores), 64 bytes of
// memory for each. What it does not do: wait for a reader, so a reader that is slower than a whole
// round of the ring misses events; overwritten() counts them.
#include "observe/event_ring.hpp"

#include <algorithm>
#include <utility>

namespace sluice::observe {
namespace {

constexpr std::uint64_t link_bits = (std::uint64_t{1} << 40) - 1;

constexpr std::uint64_t filling(std::uint64_t ticket) { return 2 * ticket + 1; }
constexpr std::uint64_t full(std::uint64_t ticket) { return 2 * ticket + 2; }

constexpr std::uint64_t byte_of(Location location) {
  return static_cast<std::uint8_t>(location.number());
}
constexpr Location location_of(std::uint64_t byte) {
  const auto number = static_cast<std::int8_t>(byte & 0xff);
  return number < 0 ? Location::host() : Location::device(number);
}

}  // namespace

EventRing::EventRing(std::size_t capacity)
    : mask_(capacity - 1), slots_(std::make_unique<Slot[]>(capacity)) {}

void EventRing::push(const RecordedEvent& event) noexcept {
  const std::uint64_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
  Slot& slot = slots_[ticket & mask_];
  // The next writer's slot was read by another thread since, or is in no cache at all.
  __builtin_prefetch(&slots_[(ticket + 1) & mask_], 1);
  std::uint64_t before = slot.stamp.load(std::memory_order_relaxed);
  // Odd: a writer of an earlier round is still writing. Newer: a writer of a later round has been
  // here already.
  if (before % 2 != 0 || before > filling(ticket) ||
      !slot.stamp.compare_exchange_strong(before, filling(ticket), std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // Release: a reader that sees one of these words sees the odd stamp, too.
  const Packed packed = pack(event);
  for (std::size_t i = 0; i < words; ++i)
    slot.content[i].store(packed[i], std::memory_order_release);
  slot.stamp.store(full(ticket), std::memory_order_release);
}

void EventRing::clear() noexcept {
  first_.store(next_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  left_out_.store(0, std::memory_order_relaxed);
}

EventRing::CopyResult EventRing::copy(std::uint64_t ticket, RecordedEvent& event) const noexcept {
  const Slot& slot = slots_[ticket & mask_];
  const std::uint64_t before = slot.stamp.load(std::memory_order_acquire);
  if (before != full(ticket)) return before > full(ticket) ? CopyResult::gone : CopyResult::not_yet;
  Packed packed;
  // Acquire: the stamp below is not read before these.
  for (std::size_t i = 0; i < words; ++i)
    packed[i] = slot.content[i].load(std::memory_order_acquire);
  if (slot.stamp.load(std::memory_order_relaxed) != full(ticket)) return CopyResult::gone;
  event = unpack(packed);
  return CopyResult::whole;
}

std::vector<RecordedEvent> EventRing::events() const {
  const std::uint64_t end = next_.load(std::memory_order_acquire);
  const std::uint64_t kept = end > mask_ + 1 ? end - (mask_ + 1) : 0;
  std::uint64_t ticket = std::max(first_.load(std::memory_order_relaxed), kept);
  std::vector<RecordedEvent> found;
  found.reserve(end - ticket);
  for (RecordedEvent event; ticket < end; ++ticket)
    if (copy(ticket, event) == CopyResult::whole) found.push_back(event);
  return found;
}

std::vector<RecordedEvent> EventRing::take(std::uint64_t& ticket, std::uint64_t& missed) const {
  const std::uint64_t end = next_.load(std::memory_order_acquire);
  const std::uint64_t kept = end > mask_ + 1 ? end - (mask_ + 1) : 0;
  const std::uint64_t first = std::max(first_.load(std::memory_order_relaxed), kept);
  if (first > ticket) missed += first - std::exchange(ticket, first);
  std::vector<RecordedEvent> found;
  found.reserve(end - ticket);
  for (RecordedEvent event; ticket < end; ++ticket) {
    const CopyResult copied = copy(ticket, event);
    // Its writer was held up, or left it out because a slower one had its slot.
    if (copied == CopyResult::not_yet && end - ticket <= (mask_ + 1) / 2) break;
    if (copied == CopyResult::whole)
      found.push_back(event);
    else
      ++missed;
  }
  return found;
}

std::uint64_t EventRing::overwritten() const noexcept {
  const std::uint64_t pushed =
      next_.load(std::memory_order_relaxed) - first_.load(std::memory_order_relaxed);
  const std::uint64_t gone = pushed > mask_ + 1 ? pushed - (mask_ + 1) : 0;
  return gone + left_out_.load(std::memory_order_relaxed);
}

EventRing::Packed EventRing::pack(const RecordedEvent& event) noexcept {
  const Details& details = event.details;
  const std::uint64_t who =
      static_cast<std::uint64_t>(event.kind) | byte_of(event.from) << 8 | byte_of(event.to) << 16 |
      static_cast<std::uint64_t>(details.cause) << 24 |
      static_cast<std::uint64_t>(static_cast<std::uint32_t>(event.thread)) << 32;
  const std::uint64_t link = (details.link & link_bits) |
                             static_cast<std::uint64_t>(details.touched) << 40 |
                             static_cast<std::uint64_t>(details.writes) << 63;
  const std::uint64_t code = details.place != 0 ? details.place : details.code;
  return {event.time, event.duration, event.address, event.size, who, link, code};
}

RecordedEvent EventRing::unpack(const Packed& packed) noexcept {
  const std::uint64_t who = packed[4];
  const auto kind = static_cast<EventKind>(who & 0xff);
  const bool is_place = kind == EventKind::launch || kind == EventKind::kernel;
  return {.kind = kind,
          .from = location_of(who >> 8),
          .to = location_of(who >> 16),
          .thread = static_cast<std::int32_t>(who >> 32),
          .time = packed[0],
          .duration = packed[1],
          .address = packed[2],
          .size = packed[3],
          .details = {.cause = static_cast<Cause>(who >> 24 & 0xff),
                      .writes = packed[5] >> 63 != 0,
                      .touched = static_cast<std::uint32_t>(packed[5] >> 40 & 0x7fffff),
                      .link = packed[5] & link_bits,
                      .code = is_place ? 0 : packed[6],
                      .place = is_place ? static_cast<std::uint32_t>(packed[6]) : 0}};
}

}  // namespace sluice::observe
