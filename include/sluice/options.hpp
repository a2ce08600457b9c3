// SpaceOptions: the settings of a space, and its behaviour when memory is short.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/timeout.hpp"

namespace sluice {

// The abilities of a fault source, worst first. doctor and Space::status() report the grade in
// force.
enum class Grade : std::uint8_t {
  none,    // host accesses cannot be caught: only Kind::host and Kind::device ranges
  signal,  // user accesses, through SIGSEGV
  user,    // user accesses, through userfaultfd; read(2) into device-resident memory gets EFAULT
  full,    // user and kernel accesses
};
[[nodiscard]] SLUICE_EXPORT std::string_view to_string(Grade grade) noexcept;

// The pages behind a shared or host range.
enum class HostPages : std::uint8_t {
  automatic,    // huge pages where accesses are dense, else 4 KiB; docs/host-side.md, "Huge pages"
  small,        // 4 KiB
  transparent,  // 2 MiB at the first touch where host memory has transparent huge pages
  huge,  // 2 MiB pages of the machine's pool; an allocation that the pool cannot hold is refused
};
[[nodiscard]] SLUICE_EXPORT std::string_view to_string(HostPages pages) noexcept;

// The treatment of shared data named by a launch that the device's budget cannot hold, after
// everything else was evicted.
enum class Overflow : std::uint8_t {
  map_host,  // the rest stays in host memory and the kernel uses it there
  refuse,    // out_of_device_memory, before anything moved
};

// The treatment of a host access that waits longer than `access_timeout` for a kernel that may
// write the page.
enum class Stuck : std::uint8_t {
  report,  // one line on stderr and an event; it goes on waiting
  deny,    // the access raises SIGSEGV after the line was written
};

// Strict mode, a debugger for launches that name too little: on software GPUs a kernel reaches only
// the memory that its launch names, with the rights named, and any other access is a finding.
// docs/strict.md.
enum class Strict : std::uint8_t {
  automatic,  // what SLUICE_STRICT says: 0, 1, report or stop; off if it is not set
  off,
  report,  // a finding is printed on stderr, and the kernel goes on with the right bytes
  stop,    // a finding is printed and ends the kernel; its fence fails with device_fault
};
[[nodiscard]] SLUICE_EXPORT std::string_view to_string(Strict strict) noexcept;

struct SoftwareDevices {
  int count = 1;                                     // 0..64
  std::size_t memory_size = std::size_t{256} << 20;  // bytes of each, a multiple of 2 MiB
  // Bit n < count: faults of device n are answered on demand.
  std::uint64_t recoverable_fault_devices = 0;
  // The longest kernel; beyond, the device counts as hung. 0: no limit.
  Timeout kernel_timeout{};
  Timeout transfer_timeout{std::chrono::seconds(10)};  // the same for copies and mappings
  // docs/fault-plan.md; empty: SLUICE_FAULT_PLAN, if set. Initialized, so that designated
  // initializers may leave it out.
  std::string fault_plan{};  // NOLINT(readability-redundant-member-init)

  friend bool operator==(const SoftwareDevices&, const SoftwareDevices&) = default;
};

// NVIDIA GPUs, instead of software devices: the two cannot be mixed in one space.
struct CudaDevices {
  // The machine's GPUs, by the driver's numbers, that become devices 0, 1, ... A GPU named twice
  // becomes two devices, which share its memory: for tests on few GPUs.
  std::vector<int> gpus{};  // NOLINT(readability-redundant-member-init)
  std::size_t memory_size =
      0;  // bytes of each device, a multiple of 2 MiB; 0: nine tenths of the free memory

  friend bool operator==(const CudaDevices&, const CudaDevices&) = default;
};

// One device of any kind. docs/api.md, "Devices", has the back ends and their keys.
struct DeviceRequest {
  std::string back_end;  // "software", "cuda"
  // "key=value,key=value"; a key that is left out has its default. The value of a key has no comma.
  std::string options{};  // NOLINT(readability-redundant-member-init)
};

struct SpaceOptions {
  // Shorthands for devices of one kind that are alike.
  SoftwareDevices software{};  // NOLINT(readability-redundant-member-init)
  CudaDevices cuda{};          // NOLINT(readability-redundant-member-init)
  // The devices 0, 1, ... of the space, one by one, up to 64 of one kind. If there are any, the
  // shorthands keep their defaults.
  std::vector<DeviceRequest> devices{};  // NOLINT(readability-redundant-member-init)
  std::size_t device_budget =
      0;  // bytes that ranges may take of each device's memory; 0: all of it
  std::size_t host_budget =
      0;  // bytes of host memory that ranges may name together; 0: the machine's memory
  // Bytes of host memory that freed ranges leave, cleared and registered with devices, to the next
  // ranges of the same size, until none was freed for two seconds. A range takes an eighth of it at
  // most. Nothing: 4 GiB or an eighth of the machine's memory, whichever is less, where a device
  // registers host memory (NVIDIA GPUs, OpenCL), and none elsewhere. The pool counts for
  // `host_budget`, and is emptied where that runs out. SpaceStatus tells. docs/host-side.md.
  std::optional<std::size_t> host_pool{};
  std::size_t address_space =
      std::size_t{1} << 40;  // bytes reserved; less is taken if the machine or a limit refuses
  HostPages host_pages = HostPages::automatic;
  // Bytes that one host access moves to the host; 0: a page, and more where accesses are sequential
  // or a whole block was read before.
  std::size_t access_window = 0;
  Overflow overflow = Overflow::map_host;
  Grade best_grade = Grade::full;  // never use a better one than this
  int handler_threads =
      0;  // that answer host accesses: at least 2; 0: a quarter of the CPUs, 2 to 4
  // How long a host access waits for a kernel before `stuck` applies; 0: no limit. By default one
  // line on stderr for each such access names the access and the kernel, and nothing else happens:
  // a long kernel is no error.
  Timeout access_timeout{std::chrono::seconds(10)};
  Stuck stuck = Stuck::report;
  // The least time between two stops of a device's queues, made so that mapped memory can move, and
  // the longest that a stop waits for running kernels. At least 1 ms. docs/mapping.md,
  // "Relocation".
  Timeout stop_interval{std::chrono::milliseconds(100)};
  Strict strict = Strict::automatic;
};

}  // namespace sluice
