// Trace: a log of the space's events in a ring of fixed size, off until started. When off it costs
// one load for each event.
//
// Event names are those of NVIDIA's unified memory driver (uvm_tools.h in open-gpu-kernel-modules:
// UvmEventType) where Sluice has the same event; Launch, AccessStuck, DeviceLost, QueueStop,
// Relocation, UndeclaredAccess, LaunchUse, Kernel, KernelTouch, Allocate and
// Free are Sluice's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/location.hpp"
#include "sluice/result.hpp"

namespace sluice {

namespace engine {
class Engine;
}

enum class EventKind : std::uint8_t {
  cpu_fault,         // CpuFault: a host access was answered; thread: the one that made it
  gpu_fault,         // GpuFault: a device access (from: the device) waits for an answer
  gpu_fault_replay,  // GpuFaultReplay: that access was answered and goes on
  migration,         // Migration: bytes were copied and are no longer valid at `from`
  eviction,          // Eviction: bytes left a device because its memory is short
  read_duplicate,    // ReadDuplicate: bytes were copied and stay valid at `from`
  // ReadDuplicateInvalidate: read copies at `from` ended, because `to` writes
  read_duplicate_invalidate,
  map_remote,    // MapRemote: device `to` reaches the bytes in memory that is not its own
  fatal_fault,   // FatalFault: a device access (from: the device) stopped its queue
  launch,        // Launch: a kernel was submitted to `to`; duration: of submitting
  access_stuck,  // AccessStuck: a host access waits longer than SpaceOptions::access_timeout
  device_lost,   // DeviceLost: `from` is gone; size: the bytes that were only there
  queue_stop,  // QueueStop: all queues of `from` were stopped; duration: until they were restarted
  relocation,  // Relocation: mapped bytes moved, while the queues that may use them were stopped
  // UndeclaredAccess: a kernel of `from` touched a page that its launch does not name (strict mode)
  undeclared_access,
  launch_use,  // LaunchUse: a launch on `to` names these bytes; writes: to write them
  kernel,      // Kernel: a kernel of `to` ran, from its launch or the end of the one before it
  // KernelTouch: of the bytes that a kernel's launch names, its device has used these so far
  kernel_touch,
  allocate,  // Allocate: a range begins here
  release,   // Free: the range that began here ends
};
constexpr int event_kinds = 20;

// Why bytes moved.
enum class Cause : std::uint8_t {
  none,           // the event has none
  host_access,    // the host touched them, or bytes beside them
  launch,         // a launch names them
  device_access,  // a kernel touched them (devices with recoverable faults)
  prefetch,
  eviction,   // a device's memory is short
  mapping,    // they are mapped on devices
  lease,      // they are kept at a location for a while
  coherence,  // another location changes them, or their rights
  discard,    // their contents are given up
};
constexpr int causes = 10;

struct Event {
  EventKind kind = EventKind::cpu_fault;
  Location from = Location::host();
  Location to = Location::host();
  std::int32_t thread = 0;     // kernel thread id
  std::uint64_t time = 0;      // nanoseconds on the steady clock when it began
  std::uint64_t duration = 0;  // nanoseconds; 0 for an instant
  std::uint64_t address = 0;   // of the first byte; 0 if it concerns no address
  std::uint64_t size = 0;      // bytes
  std::string range = {};      // the name of the range at the address; empty: it has none
  Cause cause = Cause::none;
  bool writes = false;        // CpuFault, LaunchUse: the access is a store
  std::uint64_t link = 0;     // the same for an access or launch and what it caused; 0: none
  std::uint64_t touched = 0;  // CpuFault: the byte that was touched, or its page
  std::uint64_t code = 0;     // CpuFault: the instruction that made the access; 0: not looked at
  std::string place = {};     // Launch, Kernel: the kernel, its queue, and where it was launched

  friend bool operator==(const Event&, const Event&) noexcept = default;
};

enum class TraceFormat : std::uint8_t {
  text,  // one line an event, times relative to the first
  // one JSON object a line: {"time_ns", "duration_ns", "event", "address", "size", "from", "to",
  // "thread", "range"}
  json_lines,
  // one JSON document for Perfetto (https://ui.perfetto.dev) and chrome://tracing: Trace Event
  // Format
  chrome,
};

// A handle on a space's ring: a small value that keeps the space open. Members may be called from
// several threads at once.
class SLUICE_EXPORT Trace {
 public:
  static constexpr std::size_t default_capacity = std::size_t{1} << 16;

  // Discards recorded events and starts recording. `capacity`: the number of events kept, the
  // newest ones, rounded up to a power of two; each takes 64 bytes. The first start() of a space
  // fixes the ring's size; later ones keep it.
  //   invalid_argument    zero, or more than 2^24
  //   out_of_host_memory
  [[nodiscard]] Result<void> start(std::size_t capacity = default_capacity) const;
  // Recorded events stay until the next start().
  void stop() const noexcept;
  [[nodiscard]] bool running() const noexcept;

  // The events in the ring, oldest first. May be called while recording goes on.
  [[nodiscard]] std::vector<Event> events() const;
  // Events recorded since start() that the ring no longer holds.
  [[nodiscard]] std::uint64_t overwritten() const noexcept;

  // "CpuFault", "Migration", ...
  [[nodiscard]] static const char* name(EventKind kind) noexcept;
  // "host access", "launch", ...; empty for none.
  [[nodiscard]] static const char* name(Cause cause) noexcept;
  [[nodiscard]] static std::string print(std::span<const Event> events, TraceFormat format);

 private:
  friend struct Inside;

  explicit Trace(std::shared_ptr<engine::Engine> engine) noexcept;

  std::shared_ptr<engine::Engine> engine_;
};

}  // namespace sluice
