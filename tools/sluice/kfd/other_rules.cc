// Rules of events, queues, attributes, and of the file itself.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "kfd/rules.hpp"

namespace sluice::tool::kfd_contract {
namespace {

void version(Machine& machine, Trial& trial) {
  abi::GetVersion told{};
  trial.expect("GET_VERSION", machine.call(abi::Call::get_version, told), 0);
  trial.expect("major", told.major_version, 1U);
}

void unknown_calls(Machine& machine, Trial& trial) {
  std::uint64_t nothing = 0;
  trial.expect("number 0", machine.call(static_cast<abi::Call>(0), nothing), ENOTTY);
  trial.expect("number 0xff", machine.call(static_cast<abi::Call>(0xff), nothing), ENOTTY);
}

void bad_pointer(Machine& machine, Trial& trial) {
  trial.expect("arguments at 8",
               machine.request(abi::Call::get_version, 8, reinterpret_cast<void*>(8)), EFAULT);
}

void after_fork(Machine& machine, Trial& trial) {
  const pid_t child = ::fork();
  if (child == 0) {
    abi::GetVersion told{};
    ::_exit(machine.call(abi::Call::get_version, told) == EBADF ? 0 : 1);
  }
  int status = -1;
  (void)::waitpid(child, &status, 0);
  trial.expect("a child's call answers something else than EBADF", status, 0);
}

void timeouts(Machine& machine, Trial& trial) {
  const std::array ids{machine.event(abi::event::signal, true)};
  std::uint32_t result = 0;
  trial.expect("wait of 1 ms", machine.wait(ids, true, 1, result), 0);
  trial.expect("its result", result, abi::event::timeout);
  trial.expect("destroy", machine.one_event(abi::Call::destroy_event, ids[0]), 0);
  trial.expect("destroy twice", machine.one_event(abi::Call::destroy_event, ids[0]), EINVAL);
  trial.expect("wait for what is gone", machine.wait(ids, true, 1, result), EINVAL);
  trial.expect("its result", result, abi::event::failed);
}

void resets(Machine& machine, Trial& trial) {
  const std::array both{machine.event(abi::event::signal, true),
                        machine.event(abi::event::signal, false)};
  std::uint32_t result = 0;
  for (const std::uint32_t id : both)
    trial.expect("set", machine.one_event(abi::Call::set_event, id), 0);
  trial.expect("wait for both", machine.wait(both, true, 0, result), 0);
  trial.expect("its result", result, abi::event::complete);
  (void)machine.wait(std::span(both).first(1), true, 0, result);
  trial.expect("the auto-reset one again", result, abi::event::timeout);
  (void)machine.wait(std::span(both).last(1), true, 0, result);
  trial.expect("the lasting one again", result, abi::event::complete);
  trial.expect("reset", machine.one_event(abi::Call::reset_event, both[1]), 0);
  (void)machine.wait(std::span(both).last(1), true, 0, result);
  trial.expect("after its reset", result, abi::event::timeout);
  for (const std::uint32_t id : both)
    trial.expect("destroy", machine.one_event(abi::Call::destroy_event, id), 0);
}

void timed_out_wait_keeps(Machine& machine, Trial& trial) {
  const std::array both{machine.event(abi::event::signal, true),
                        machine.event(abi::event::signal, true)};
  std::uint32_t result = 0;
  trial.expect("set the first", machine.one_event(abi::Call::set_event, both[0]), 0);
  (void)machine.wait(both, true, 1, result);
  trial.expect("wait for both", result, abi::event::timeout);
  (void)machine.wait(std::span(both).first(1), true, 0, result);
  trial.expect("wait for the first", result, abi::event::timeout);
  for (const std::uint32_t id : both)
    trial.expect("destroy", machine.one_event(abi::Call::destroy_event, id), 0);
}

void cpu_signals(Machine& machine, Trial& trial) {
  const std::uint32_t id = machine.event(abi::event::memory, false);
  trial.expect("the id of a memory event is from 4096 on", id >= abi::event::signal_limit, true);
  trial.expect("set", machine.one_event(abi::Call::set_event, id), EINVAL);
  trial.expect("destroy", machine.one_event(abi::Call::destroy_event, id), 0);
}

void queue_checks(Machine& machine, Trial& trial) {
  constexpr int not_supported = 524;
  const auto create = [&](std::uint32_t percent, std::uint32_t priority, std::uint32_t size,
                          std::uint32_t type, std::uint32_t gpu) {
    abi::CreateQueue asked{};
    asked.ring_base_address = std::uint64_t{1} << 35;
    asked.ring_size = size;
    asked.queue_percentage = percent;
    asked.queue_priority = priority;
    asked.queue_type = type;
    asked.gpu_id = gpu;
    return machine.call(abi::Call::create_queue, asked);
  };
  trial.expect("101 percent", create(101, 0, 4096, 0, 0), EINVAL);
  trial.expect("priority 16", create(1, 16, 4096, 0, 0), EINVAL);
  trial.expect("a ring of 5000 bytes", create(1, 0, 5000, 0, 0), EINVAL);
  trial.expect("type 99", create(1, 0, 4096, 99, machine.id(0)), not_supported);
  trial.expect("no such GPU", create(1, 0, 4096, 0, 0), EINVAL);
  abi::DestroyQueue unknown{4000, 0};
  trial.expect("destroy no such queue", machine.call(abi::Call::destroy_queue, unknown), EINVAL);
  abi::UpdateQueue update{0, 4000, 4096, 1, 1};
  trial.expect("update no such queue", machine.call(abi::Call::update_queue, update), EFAULT);
}

struct SvmCall {
  abi::Svm head;
  std::array<abi::SvmAttribute, 2> attributes;
};

void svm_checks(Machine& machine, Trial& trial) {
  void* const page =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto address = reinterpret_cast<std::uintptr_t>(page);
  const auto set = [&](std::uint64_t at, std::uint64_t size, abi::SvmAttribute attribute) {
    SvmCall asked{{at, size, abi::svm::set_attributes, 1}, {attribute}};
    return machine.call(abi::Call::svm, asked);
  };
  const abi::SvmAttribute flag{abi::svm::set_flags, 8};
  trial.expect("an address within a page", set(address + 8, 4096, flag), EINVAL);
  trial.expect("no bytes", set(address, 0, flag), EINVAL);
  trial.expect("no such attribute", set(address, 4096, {99, 0}), EINVAL);
  trial.expect("access of no GPU", set(address, 4096, {abi::svm::access, 0}), EINVAL);
  trial.expect("no memory there", set(4096, 4096, flag), EFAULT);
  trial.expect("a flag", set(address, 4096, flag), 0);
  SvmCall asked{{address, 4096, abi::svm::get_attributes, 1}, {{{abi::svm::set_flags, 0}}}};
  trial.expect("asking for flags", machine.call(abi::Call::svm, asked), 0);
  trial.expect("the flag is told", asked.attributes[0].value & 8U, 8U);
  (void)::munmap(page, 4096);
}

constexpr std::array all_others = std::to_array<Rule>({
    {"the interface has major version 1", "kfd_chardev.c, kfd_ioctl_get_version", 1, version},
    {"calls that do not exist say so", "kfd_chardev.c, kfd_ioctl", 1, unknown_calls},
    {"arguments that cannot be written are told", "kfd_chardev.c, kfd_ioctl", 1, bad_pointer},
    {"a forked child has no use of its parent's file", "kfd_chardev.c, kfd_ioctl", 1, after_fork},
    {"a wait ends with its time, and fails for what is gone", "kfd_events.c, kfd_wait_on_events", 1,
     timeouts},
    {"auto-reset events are taken by a wait, others last", "kfd_events.c, init_event_waiter", 1,
     resets},
    {"a wait that times out keeps what it took", "kfd_events.c, free_waiters", 1,
     timed_out_wait_keeps},
    {"programs set only signals", "kfd_events.c, event_can_be_cpu_signaled", 1, cpu_signals},
    {"a queue with a mistake is refused", "kfd_chardev.c, set_queue_properties_from_user", 1,
     queue_checks},
    {"attributes are checked before the range", "kfd_svm.c, svm_range_check_attr", 1, svm_checks},
});

}  // namespace

std::span<const Rule> rules_of_the_rest() noexcept { return all_others; }

}  // namespace sluice::tool::kfd_contract
