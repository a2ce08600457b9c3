// Reads packets from the ring, which lies at addresses of the GPU, up to the doorbell's value.
// Doorbell and read pointer of an SDMA queue count bytes and never go back.
#include "face/kfd/uapi/queue_runner.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "face/kfd/uapi/calls.hpp"
#include "face/kfd/uapi/gpu_memory.hpp"
#include "face/kfd/uapi/sdma.hpp"

namespace sluice::kfd {
namespace {

constexpr int packets_at_a_time = 64;
constexpr std::uint64_t unset = ~std::uint64_t{0};
constexpr std::uint64_t doorbells_of_process = 8192;
constexpr std::size_t slots_bytes = std::size_t{abi::event::signal_limit} * 8;

bool is_sdma(const Queue& queue) noexcept {
  return queue.type == abi::queue::sdma || queue.type == abi::queue::sdma_xgmi;
}

}  // namespace

bool QueueRunner::run() {
  bool worked = false;
  for (auto& [id, queue] : process_.queues) {
    if (process_.is_evicted) break;
    if (is_sdma(queue) && queue.is_active() && !queue.is_halted) worked |= run_queue(queue);
  }
  return worked;
}

bool QueueRunner::run_queue(Queue& queue) {
  std::byte* const bells =
      surroundings_.bytes({}, Calls::doorbell_cookie(queue.gpu), doorbells_of_process);
  if (bells == nullptr) return false;
  auto& bell = *reinterpret_cast<std::uint64_t*>(bells + queue.doorbell);
  const std::uint64_t written = std::atomic_ref(bell).load(std::memory_order_acquire);
  // A value that no ring can have is none that a program rang.
  if (written % 4 != 0 || written - queue.read > queue.ring_size) return false;
  const std::uint64_t before = queue.read;
  for (int packet = 0; packet < packets_at_a_time && queue.read < written; ++packet)
    if (!run_packet(queue, written)) break;
  if (queue.read == before) return false;
  std::byte* const place = surroundings_.user_bytes(queue.read_pointer, sizeof(std::uint64_t));
  if (place != nullptr && queue.read_pointer % sizeof(std::uint64_t) == 0)
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(place)).store(queue.read);
  return true;
}

bool QueueRunner::run_packet(Queue& queue, std::uint64_t written) {
  GpuMemory memory(process_.memory, surroundings_, queue.gpu);
  const std::uint64_t there =
      std::min<std::uint64_t>((written - queue.read) / 4, longest_sdma_packet);
  std::vector<std::uint32_t> words(there);
  const std::uint64_t start = queue.read % queue.ring_size;
  const std::uint64_t until_end = std::min(there * 4, queue.ring_size - start);
  const auto bytes = std::as_writable_bytes(std::span(words));
  if (!memory.read(queue.ring + start, bytes.first(until_end)) ||
      !memory.read(queue.ring, bytes.subspan(until_end))) {
    report_fault(queue.gpu, memory.fault());
    return false;
  }
  constexpr std::uint64_t nanoseconds_per_tick = 10;
  const auto ticks = static_cast<std::uint64_t>(surroundings_.now().count()) / nanoseconds_per_tick;
  const PacketResult result = run_sdma_packet(words, memory, ticks);
  switch (result.outcome) {
    case PacketOutcome::done:
      queue.read += std::uint64_t{result.words} * 4;
      if (result.interrupts) interrupt(result.context);
      return true;
    case PacketOutcome::fault:
      report_fault(queue.gpu, memory.fault());
      return false;
    case PacketOutcome::unknown:
      queue.is_halted = true;
      surroundings_.tell_unknown_packet(queue.gpu, words[0]);
      return false;
    default:
      return false;
  }
}

std::uint64_t* QueueRunner::slots() {
  const Buffer* const page =
      process_.event_page == 0 ? nullptr : process_.memory.find(process_.event_page);
  std::byte* const bytes =
      page == nullptr
          ? surroundings_.bytes({}, Calls::event_cookie, slots_bytes)
          : surroundings_.bytes(*process_.memory.file(page->gpu), page->offset, page->backing());
  return reinterpret_cast<std::uint64_t*>(bytes);
}

// kfd_signal_event_interrupt: the context is an event's id if its slot was written; else every
// event with a written slot is set.
void QueueRunner::interrupt(std::uint32_t context) {
  std::uint64_t* const all = process_.events.has_page() ? slots() : nullptr;
  if (all == nullptr) return;
  const auto take = [&](std::uint32_t id) {
    const std::uint64_t was = std::atomic_ref(all[id]).load();
    if (was == unset || !process_.events.has_slot_event(id)) return false;
    std::atomic_ref(all[id]).store(unset);
    process_.events.interrupt(id);
    return true;
  };
  if (context < abi::event::signal_limit && take(context)) return;
  for (std::uint32_t id = 1; id < process_.events.slots(); ++id) (void)take(id);
}

// kfd_signal_vm_fault_event, kfd_dqm_evict_pasid: all memory events are set, and the queues of the
// process stop.
void QueueRunner::report_fault(int gpu, std::uint64_t address) {
  EventPayload payload{};
  payload[0] = 1;  // not present
  std::memcpy(&payload[4], &address, sizeof address);
  payload[6] = gpu_id_of(gpu);
  process_.events.set_all(abi::event::memory, payload);
  process_.is_evicted = true;
}

}  // namespace sluice::kfd
