// Takes ioctls apart, keeps the waits, and resets GPUs. The calls themselves are in calls_*.cc.
//
// Linux 6.1, kfd_chardev.c, kfd_ioctl: the number alone chooses the call; arguments that are
// shorter than the kernel's are padded with zeros, and longer ones are handed on.
#include "face/kfd/uapi/machine.hpp"

#include <algorithm>
#include <cerrno>

#include "face/kfd/uapi/calls.hpp"
#include "face/kfd/uapi/queue_runner.hpp"
#include "face/kfd/uapi/smi_events.hpp"

namespace sluice::kfd {
namespace {

constexpr std::size_t largest_arguments = 512;
static_assert(sizeof(abi::GetProcessApertures) <= largest_arguments);

}  // namespace

Machine::Machine(const MachineSpec& spec, std::uint64_t system_bytes, Surroundings& surroundings)
    : spec_(spec),
      limits_(spec, system_bytes),
      surroundings_(surroundings),
      resets_(static_cast<std::size_t>(spec.gpus), never) {}

ProcessNumber Machine::add_process(std::uint32_t id) {
  processes_.emplace(++last_process_, std::make_unique<Process>(spec_, id));
  return last_process_;
}

void Machine::remove_process(ProcessNumber number) {
  Process& gone = process(number);
  gone.memory.for_each([&](const Buffer& buffer) { give_back(gone, buffer); });
  std::erase_if(pending_, [&](const auto& each) { return each.second.process == number; });
  processes_.erase(number);
}

void Machine::give_back(const Process& process, const Buffer& buffer) {
  if (buffer.shared) return surroundings_.close_shared(*buffer.shared);
  limits_.uncharge(buffer.gpu, buffer.size, buffer.flags);
  if (const auto& file = process.memory.file(buffer.gpu))
    surroundings_.discard(*file, buffer.offset, buffer.backing());
}

Answer Machine::call(ProcessNumber process, std::uint32_t request, std::span<std::byte> arguments) {
  const std::uint32_t number = request & 0xff;
  if (number < abi::first_call || number >= abi::end_of_calls) return {ENOTTY, {}};
  do_what_is_due();
  std::vector<std::byte> padded(std::max(arguments.size(), largest_arguments));
  std::ranges::copy(arguments, padded.begin());
  const Answer answer = Calls(*this, process, padded).run(static_cast<abi::Call>(number));
  std::copy_n(padded.begin(), arguments.size(), arguments.begin());
  return answer;
}

Answer Machine::resume(ProcessNumber process_number, WaitNumber number, bool interrupted,
                       std::span<std::byte> arguments) {
  do_what_is_due();
  const auto found = pending_.find(number);
  if (found == pending_.end()) return {EINVAL, {}};
  const OpenWait pending = found->second;
  const bool is_over = surroundings_.now() >= pending.deadline;
  const auto again = Wait{number, std::min(pending.deadline, next_reset())};
  if (!pending.is_for_events) {
    if (!is_over && !interrupted) return {0, again};
    pending_.erase(found);
    return {is_over ? 0 : restart, {}};
  }
  std::vector<std::byte> padded(std::max(arguments.size(), largest_arguments));
  std::ranges::copy(arguments, padded.begin());
  Calls calls(*this, process_number, padded);
  const std::uint32_t condition = process(process_number).events.condition(number);
  if (condition == abi::event::timeout && !is_over && !interrupted) return {0, again};
  pending_.erase(found);
  // A signal is looked for first (kfd_wait_on_events).
  const Answer answer = interrupted ? calls.interrupt_wait(number, pending.deadline)
                                    : calls.finish_wait(number, condition);
  std::copy_n(padded.begin(), arguments.size(), arguments.begin());
  return answer;
}

bool Machine::run_queues() {
  do_what_is_due();
  bool worked = false;
  for (auto& [number, process] : processes_) {
    if (!process->eviction.stops_queues()) worked |= QueueRunner(*process, surroundings_).run();
    tell_ranges(*process);
    wake(*process);
  }
  return worked;
}

bool Machine::has_queues() const {
  return std::ranges::any_of(processes_, [](auto& each) { return !each.second->queues.empty(); });
}

Answer Machine::wait(ProcessNumber process, bool for_events, Time deadline) {
  pending_.emplace(++last_wait_, OpenWait{process, for_events, deadline});
  return {0, Wait{last_wait_, std::min(deadline, next_reset())}};
}

void Machine::wake(Process& process) {
  for (const WaitNumber number : process.events.take_woken()) surroundings_.wake(number);
}

Time Machine::next_reset() const noexcept { return *std::ranges::min_element(resets_); }

void Machine::plan_reset(int gpu, Time when) {
  Time& due = resets_[static_cast<std::size_t>(gpu)];
  due = std::min(due, when);
  // Those that wait already learn when they have to look again.
  for (const auto& [number, pending] : pending_) surroundings_.wake(number);
}

void Machine::do_what_is_due() {
  const Time now = surroundings_.now();
  for (int gpu = 0; gpu < spec_.gpus; ++gpu)
    if (resets_[static_cast<std::size_t>(gpu)] <= now) reset(gpu);
  for (auto& [number, process] : processes_) {
    if (process->eviction.take_begin(now)) evict(*process);
    const std::uint64_t was_short = process->eviction.short_gpus();
    if (process->eviction.take_end(now)) restore(*process, was_short);
  }
}

// evict_process_worker: the queues stop on all GPUs, and memory makes room on some.
void Machine::evict(Process& process) {
  const Time now = surroundings_.now();
  process.memory.for_each([&](Buffer& buffer) {
    const bool must_go = (process.eviction.short_gpus() >> buffer.gpu & 1) != 0;
    if (!must_go || (buffer.flags & abi::memory::vram) == 0) return;
    buffer.is_in_gtt = true;
    surroundings_.note(buffer.handle, &buffer);
  });
  for (int gpu = 0; gpu < spec_.gpus; ++gpu)
    if (process.memory.file(gpu))
      surroundings_.tell_event(gpu, smi::queue_eviction,
                               smi::eviction_line(now, process.id, gpu_id_of(gpu)));
}

// amdgpu_amdkfd_gpuvm_restore_process_bos: what finds no room in VRAM stays in GTT.
void Machine::restore(Process& process, std::uint64_t was_short) {
  const Time now = surroundings_.now();
  std::uint64_t still_short = 0;
  for (int gpu = 0; gpu < spec_.gpus; ++gpu)
    if ((was_short >> gpu & 1) != 0 && surroundings_.planned(gpu, Step::room).fails)
      still_short |= std::uint64_t{1} << gpu;
  process.memory.for_each([&](Buffer& buffer) {
    if (!buffer.is_in_gtt || (still_short >> buffer.gpu & 1) != 0) return;
    buffer.is_in_gtt = false;
    surroundings_.note(buffer.handle, &buffer);
  });
  for (int gpu = 0; gpu < spec_.gpus; ++gpu)
    if (process.memory.file(gpu))
      surroundings_.tell_event(gpu, smi::queue_restore,
                               smi::restore_line(now, process.id, gpu_id_of(gpu)));
}

// svm_migrate_to_vram, svm_range_restore_pages: what has moved since the last time.
void Machine::tell_ranges(Process& process) {
  const Time now = surroundings_.now();
  for (const auto& [fault, moved] : process.svm.take_notes()) {
    std::uint32_t told = fault ? fault->gpu_id : 0;
    if (moved && told == 0) told = moved->to != 0 ? moved->to : moved->from;
    const int gpu = gpu_of_id(told, spec_.gpus);
    if (fault)
      surroundings_.tell_event(gpu, smi::page_fault_start,
                               smi::fault_line(now, process.id, *fault, false));
    for (const bool has_ended : {false, true})
      if (moved)
        surroundings_.tell_event(gpu, has_ended ? smi::migrate_end : smi::migrate_start,
                                 smi::migration_line(now, process.id, *moved, has_ended));
    if (fault)
      surroundings_.tell_event(gpu, smi::page_fault_end,
                               smi::fault_line(now, process.id, *fault, true));
  }
}

// kgd2kfd_pre_reset, kfd_signal_reset_event: every process learns of it, those that were there
// stay evicted until they end.
void Machine::reset(int gpu) {
  resets_[static_cast<std::size_t>(gpu)] = never;
  const abi::HwException told{
      .reset_type = 0, .reset_cause = 0, .memory_lost = 1, .gpu_id = gpu_id_of(gpu)};
  EventPayload payload{};
  std::memcpy(payload.data(), &told, sizeof told);
  ++reset_count_;
  surroundings_.tell_event(gpu, smi::gpu_pre_reset,
                           smi::reset_line(smi::gpu_pre_reset, reset_count_));
  for (auto& [number, process] : processes_) {
    process->is_evicted = true;
    process->events.set_all(abi::event::hw_exception, payload);
    wake(*process);
  }
  surroundings_.tell_event(gpu, smi::gpu_post_reset,
                           smi::reset_line(smi::gpu_post_reset, reset_count_));
}

}  // namespace sluice::kfd
