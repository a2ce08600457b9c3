// The findings of `sluice doctor` about the machine, and its judgements. See
// doctor/examination.hpp.
//
// Asks the machine (os/machine.hpp), then tries what the demo does: two software devices, a kernel
// on each, and in grade full read(2) into memory that lives on a device. Each judgement is a
// function of its own with the remedy in it. Changes nothing; takes some 100 ms.

#include "doctor/examination.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "base/types.hpp"
#include "os/environment.hpp"
#include "os/owned_fd.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::tool {
namespace {

// Below these, programs of ordinary size meet the limit.
constexpr std::size_t least_mappings = 65530;  // the kernel's default
constexpr std::size_t least_open_files = 256;
constexpr std::size_t least_memory = std::size_t{1} << 30;

using Problems = std::vector<Problem>;

void judge_grade(const os::FaultDelivery& faults, Problems& problems) {
  if (faults.best == Grade::full) return;
  if (faults.best == Grade::user) {
    problems.push_back(
        {Severity::limited, "grade user instead of full: " + faults.reason,
         "read(2), write(2) and other system calls on memory that lives on a device get EFAULT, "
         "unless the program is started with sluice run --guard",
         "sudo sysctl -w vm.unprivileged_userfaultfd=1    (or: sudo setfacl -m u:$USER:rw "
         "/dev/userfaultfd)"});
    return;
  }
  problems.push_back(
      {Severity::limited, "grade signal: no userfaultfd: " + faults.reason,
       "accesses are caught through SIGSEGV: a program that sets handlers or blocks "
       "signals needs the guard, and without it system calls get EFAULT",
       "sluice run --guard -- PROGRAM    (or Linux 5.14 or newer, outside gVisor; in "
       "a container: docker run --device /dev/userfaultfd ...)"});
}

void judge_sharing(const os::FaultDelivery& faults, Problems& problems) {
  if (faults.best == Grade::none || faults.can_share) return;
  problems.push_back({Severity::slower, "pages cannot be given read-only (needs Linux 6.4)",
                      "a host read ends a device's copy, so the next launch copies it again",
                      "sudo apt install -t bookworm-backports linux-image-amd64 && sudo reboot"});
}

void judge_limits(const os::Limits& limits, Problems& problems) {
  if (limits.mappings < least_mappings || limits.mappings_in_use * 2 > limits.mappings) {
    problems.push_back({Severity::limited,
                        fmt::format("vm.max_map_count is {}, of which {} are in use",
                                    limits.mappings, limits.mappings_in_use),
                        "allocations fail with out_of_host_memory when the mappings run out",
                        "sudo sysctl -w vm.max_map_count=262144"});
  }
  if (limits.open_files < least_open_files) {
    problems.push_back({Severity::limited, fmt::format("at most {} open files", limits.open_files),
                        "a space needs some ten for itself and as many for each device",
                        "ulimit -n 4096"});
  }
  if (limits.address_space != SIZE_MAX) {
    problems.push_back(
        {Severity::limited,
         fmt::format("addresses are limited to {}", bytes_in_words(limits.address_space)),
         "a space reserves 1 TiB of addresses (no memory), and takes less if it must",
         "ulimit -v unlimited"});
  }
}

void judge_memory(const os::Memory& memory, Problems& problems) {
  const std::size_t most = std::min(memory.available, memory.cgroup_limit.value_or(SIZE_MAX));
  if (most >= least_memory) return;
  problems.push_back({Severity::limited,
                      fmt::format("only {} of memory to be had", bytes_in_words(most)),
                      "ranges and the memory of software devices come from it",
                      memory.cgroup_limit && *memory.cgroup_limit < memory.available
                          ? "cat /proc/self/cgroup    (then raise memory.max of that group)"
                          : "free -h && ps aux --sort=-rss | head"});
}

void judge_huge_pages(const std::optional<SpaceStatus>& space, const os::HugePages& huge,
                      Problems& problems) {
  if (!space || space->host_pages != HostPages::small) return;
  problems.push_back(
      {Severity::slower,
       fmt::format("no huge pages for host memory (no private tmpfs: {}; shmem_enabled: {})",
                   space->no_private_tmpfs,
                   huge.transparent_shared.empty() ? "unknown" : huge.transparent_shared),
       "host memory is copied and mapped in pages of 4 KiB",
       "echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled    (or allow "
       "unprivileged user namespaces: sysctl user.max_user_namespaces, the container's profile)"});
}

// A mapping can be watched by one userfaultfd only.
void judge_environment(Problems& problems) {
  const char* monitor = os::environment("FI_MR_CACHE_MONITOR");
  if (monitor == nullptr || std::string(monitor) != "userfaultfd") return;
  problems.push_back({Severity::limited,
                      "libfabric is told to watch memory with userfaultfd (FI_MR_CACHE_MONITOR)",
                      "whichever of libfabric and Sluice comes second gets EBUSY",
                      "export FI_MR_CACHE_MONITOR=memhooks"});
}

void judge_isolation(const os::Machine& machine, Problems& problems) {
  if (!machine.page_table_isolation.value_or(false)) return;
  problems.push_back({Severity::slower, "page-table isolation is on",
                      "each access fault costs some 0.3 microseconds more",
                      "cat /sys/devices/system/cpu/vulnerabilities/meltdown    (it protects this "
                      "processor; newer ones need none)"});
}

// A launch on every device, as a first program does it: stores, a kernel, loads.
Result<void> run_a_kernel(const Space& space, int device) {
  constexpr std::size_t words = 1024;
  const std::uint32_t value = 0x51u + static_cast<std::uint32_t>(device);
  auto buffer = space.buffer<std::uint32_t>(words);
  if (!buffer) return tl::unexpected(buffer.error());
  for (std::uint32_t& word : *buffer) word = 1;
  const auto queue = space.queue(device);
  if (!queue) return tl::unexpected(queue.error());
  const auto fill = queue->kernel("fill");
  if (!fill) return tl::unexpected(fill.error());
  const auto done = queue->launch(*fill)
                        .writes(*buffer)
                        .arguments(sluice_soft_fill{buffer->data(), value})
                        .items(words)
                        .submit();
  if (!done) return tl::unexpected(done.error());
  if (auto waited = done->wait_for(std::chrono::seconds(10)); !waited) return waited;
  for (std::size_t i = 0; i < buffer->size(); ++i) {
    if ((*buffer)[i] != value)
      return fail(ErrorCode::system, "element %zu came back as %u from device %d", i, (*buffer)[i],
                  device);
  }
  return {};
}

// read(2) into memory that lives on a device, which distinguishes grade full from user.
Result<void> read_into_device_memory(const Space& space) {
  auto buffer = space.buffer<char>(page_size);
  if (!buffer) return tl::unexpected(buffer.error());
  const auto moved = space.prefetch(*buffer, Location::device(0));
  if (!moved) return tl::unexpected(moved.error());
  if (auto waited = moved->wait_for(std::chrono::seconds(10)); !waited) return waited;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(ErrorCode::system, "pipe: errno %d", errno);
  const os::OwnedFd out(ends[0]);
  const os::OwnedFd in(ends[1]);
  if (write(in.get(), "x", 1) != 1 || read(out.get(), buffer->data(), 1) != 1)
    return fail(ErrorCode::system, "read(2) into device-resident memory: errno %d", errno);
  return {};
}

Result<void> use(const Space& space) {
  if (space.status().grade == Grade::none) return {};
  for (int device = 0; device < space.device_count(); ++device) {
    if (auto ran = run_a_kernel(space, device); !ran) return ran;
  }
  return space.status().grade == Grade::full ? read_into_device_memory(space) : Result<void>();
}

void try_it(Examination& examination) {
  SpaceOptions
      options;  // the defaults of a program that sets no options, and a second device, as the demo
  options.software.count = 2;
  const Result<Space> space = Space::open(options);
  const Result<void> moved = space ? use(*space) : tl::unexpected(space.error());
  if (space) {
    examination.space = space->status();
    for (int i = 0; i < space->device_count(); ++i) {
      if (auto device = space->device(i)) examination.devices.push_back(*std::move(device));
    }
  }
  if (moved) return;
  examination.problems.push_back(
      {Severity::unusable,
       fmt::format("a trial failed: {} ({})", moved.error().detail(),
                   to_string(moved.error().code())),
       "programs would meet the same error",
       "ls \"$(dirname \"$(command -v sluice)\")/../libexec/sluice\"    (the device's "
       "process must be there; it runs on this machine and needs no GPU)"});
}

// The worst first; those of one severity as they were found. (std::stable_sort would do, if clang
// took libstdc++'s.)
void put_in_order(Problems& problems) {
  Problems ordered;
  for (const Severity severity : {Severity::unusable, Severity::limited, Severity::slower})
    std::copy_if(problems.begin(), problems.end(), std::back_inserter(ordered),
                 [&](const Problem& problem) { return problem.severity == severity; });
  problems = std::move(ordered);
}

}  // namespace

const char* name_of(Severity severity) noexcept {
  switch (severity) {
    case Severity::unusable:
      return "unusable";
    case Severity::limited:
      return "limited";
    case Severity::slower:
      return "slower";
  }
  return "?";
}

bool Examination::usable() const {
  return std::none_of(problems.begin(), problems.end(), [](const Problem& problem) {
    return problem.severity == Severity::unusable;
  });
}

Examination examine() {
  Examination examination;
  examination.machine = os::inspect_machine();
  os::Machine& machine = examination.machine;
  // A group without a limit has a very large one.
  if (machine.memory.cgroup_limit.value_or(0) > machine.memory.total)
    machine.memory.cgroup_limit.reset();
  Problems& problems = examination.problems;
  judge_grade(machine.faults, problems);
  judge_sharing(machine.faults, problems);
  judge_limits(machine.limits, problems);
  judge_memory(machine.memory, problems);
  judge_environment(problems);
  judge_isolation(machine, problems);
  try_it(examination);
  judge_huge_pages(examination.space, machine.huge_pages, problems);
  if (auto found = device::cuda::gpus())
    examination.gpus = std::move(*found);
  else
    examination.no_gpus = found.error().detail();
  put_in_order(problems);
  return examination;
}

std::vector<std::string> userfaultfd_features(std::uint64_t bits) {
  constexpr const char* names[] = {"PAGEFAULT_FLAG_WP",
                                   "EVENT_FORK",
                                   "EVENT_REMAP",
                                   "EVENT_REMOVE",
                                   "MISSING_HUGETLBFS",
                                   "MISSING_SHMEM",
                                   "EVENT_UNMAP",
                                   "SIGBUS",
                                   "THREAD_ID",
                                   "MINOR_HUGETLBFS",
                                   "MINOR_SHMEM",
                                   "EXACT_ADDRESS",
                                   "WP_HUGETLBFS_SHMEM",
                                   "WP_UNPOPULATED",
                                   "POISON",
                                   "WP_ASYNC",
                                   "MOVE"};
  std::vector<std::string> list;
  for (std::size_t bit = 0; bit < 64; ++bit) {
    if ((bits >> bit & 1) == 0) continue;
    list.push_back(bit < std::size(names) ? names[bit] : fmt::format("BIT_{}", bit));
  }
  return list;
}

}  // namespace sluice::tool
