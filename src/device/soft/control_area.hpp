// The memory that a client and its device process share: rings, timelines, fault records. Nothing
// here is a pointer.
//
// A ring carries commands one way. The client fills slot (value % slot_count), then stores `tail`;
// the device runs the commands in order and stores `completed`. Values start at 1 and never
// decrease, even across a reset, so a ring is its own timeline and a fence is (ring, value). Both
// sides sleep on futexes and announce it first, so that an awake peer costs no system call:
//   device: sleeping = 1, look at tail again, futex_wait(sleeping).  client: tail = v, and if sleeping: sleeping = 0, wake.
//   client: waiters += 1, look at completed again, futex_wait(wake).  device: completed = v, and if waiters: wake.
// Stopping the queues is a third such pair:
//   device: in_kernel = 1, look at stopping again, run the kernel.  client: stopping = 1, look at every in_kernel, sleep on rested.
// Each "announce, then look" is a sequentially consistent store and load on both sides, which makes
// it safe.
//
// The client trusts nothing here: it keeps its own record of submitted and completed commands in
// its own memory (ring_writer.hpp), numbers are bounded before they are used, a device that writes
// invalid values is ended, and the file is sealed in its size.
//
// Cost: 13 MiB of address space for a device, of which only slots that were used take memory.
// Included by both programs; layout_version changes with any change here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "device/soft/shared_fault.hpp"

namespace sluice::device::soft {

constexpr std::uint32_t layout_version = 4;

constexpr int max_copy_engines = 4;
constexpr int max_kernel_queues = 32;
constexpr int control_ring = 0;
constexpr int first_copy_ring = 1;
constexpr int first_kernel_ring = first_copy_ring + max_copy_engines;
constexpr int ring_count = first_kernel_ring + max_kernel_queues;

constexpr std::uint32_t max_kernels = 4096;  // found on one device between resets
constexpr std::size_t slot_count = 256;
constexpr std::size_t argument_capacity = 1024;
constexpr std::size_t wait_capacity = 40;  // at least ring_count: one for each other timeline fits

// A memory as the device process sees it: device 0..63's own, the host's, or the host's second
// file.
constexpr std::uint8_t host_memory = 64;
constexpr std::uint8_t second_host_memory = 65;
constexpr int memory_count = 66;

// grant: memory that the next launch of the ring may touch, if it is limited; as many as its list
// needs.
enum class Operation : std::uint8_t { map, copy, fill, launch, close, grant };

// The fault that the plan wants from one command. The client decides, the device obeys; the client
// itself carries out an interruption.
enum class PlannedAction : std::uint8_t { nothing, fail, hang, slow, kill, interrupt };

enum class FailureKind : std::uint32_t {
  none,
  fault,    // code: access (0 read, 1 write); a: address; b: kernel index
  stopped,  // a: address of the fault that stopped the queue
  planned,
  dependency,  // code: timeline; a: value of the fence that had failed
  mapping,     // code: errno; a: address
  copy,        // code: signal; a: address in the device process
  lost,        // a: how many times the device had been started when it was lost
};

struct Failure {
  FailureKind kind = FailureKind::none;
  std::uint32_t code = 0;
  std::uint64_t a = 0;
  std::uint64_t b = 0;

  explicit operator bool() const noexcept { return kind != FailureKind::none; }
  friend bool operator==(const Failure&, const Failure&) noexcept = default;
};

// A Failure that may be read while it is replaced; Slot::value tells the reader which one it got.
class SharedFailure {
 public:
  void store(const Failure& failure) noexcept {
    code_.store(failure.code, std::memory_order_release);
    a_.store(failure.a, std::memory_order_release);
    b_.store(failure.b, std::memory_order_release);
    kind_.store(failure.kind, std::memory_order_release);
  }
  [[nodiscard]] Failure load() const noexcept {
    return {kind_.load(std::memory_order_acquire), code_.load(std::memory_order_acquire),
            a_.load(std::memory_order_acquire), b_.load(std::memory_order_acquire)};
  }

 private:
  std::atomic<FailureKind> kind_;
  std::atomic<std::uint32_t> code_;
  std::atomic<std::uint64_t> a_, b_;
};

struct MappingPart {
  std::uint64_t address, size, offset;  // offset: into `memory`
  std::uint32_t peer_generation;        // as in CopyPart
  std::uint8_t memory, rights;          // rights: a sluice::Rights
  bool rights_only;                     // as in MappingCommand
};
struct CopyPart {
  std::uint64_t from, to, size;  // offsets into the memories
  std::uint32_t
      peer_generation;  // which incarnation of a peer's memory is meant; 0 when no peer takes part
  std::uint8_t from_memory, to_memory, fill_value;
};
struct GrantPart {
  std::uint64_t address, size;
  std::uint64_t rights;  // a sluice::Rights

  friend bool operator==(const GrantPart&, const GrantPart&) noexcept = default;
};
// "Not before this": a value of another timeline of the same device.
struct Dependency {
  std::uint64_t packed;

  static constexpr unsigned value_bits = 56;
  static Dependency of(std::uint16_t timeline, std::uint64_t value) noexcept {
    return {std::uint64_t{timeline} << value_bits | value};
  }
  [[nodiscard]] std::uint32_t timeline() const noexcept {
    return static_cast<std::uint32_t>(packed >> value_bits);
  }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return packed & ((std::uint64_t{1} << value_bits) - 1);
  }
};

struct alignas(64) Slot {
  std::atomic<std::uint64_t> value;  // the command in this slot; 0 while it is being rewritten
  Operation operation;
  PlannedAction planned;
  bool continued;  // same command list as the slot before: skipped when that one failed
  bool limited;    // a launch that may touch only what the grants before it say
  std::uint32_t planned_ms;
  std::uint16_t count;  // parts, or dependencies of a launch
  std::uint16_t argument_size;
  std::atomic<std::uint32_t> kernel;  // atomic: the client reads it when the device has died
  std::uint64_t items;
  SharedFailure failure;  // valid once completed >= value
};
static_assert(sizeof(Slot) == 64);

struct alignas(64) LaunchPart {
  std::array<std::byte, argument_capacity> arguments;
  std::array<Dependency, wait_capacity> dependencies;
};
constexpr std::size_t parts_per_slot = sizeof(LaunchPart) / sizeof(CopyPart);
constexpr std::size_t grants_per_slot = sizeof(LaunchPart) / sizeof(GrantPart);
static_assert(sizeof(MappingPart) == sizeof(CopyPart) && wait_capacity >= ring_count);

union Payload {
  LaunchPart launch;
  std::array<MappingPart, parts_per_slot> mappings;
  std::array<CopyPart, parts_per_slot> copies;
  std::array<GrantPart, grants_per_slot> grants;
};

static_assert(ring_count <= most_fault_rings);

struct Ring {
  // Completed values carry this bit once any command of the timeline has failed: then, and only
  // then, is it worth asking.
  static constexpr std::uint64_t any_failed = std::uint64_t{1} << 63;
  // `running` carries this bit while a launch waits for others, for its turn, or for queues that
  // are stopped.
  static constexpr std::uint64_t waits = std::uint64_t{1} << 63;

  alignas(64) std::atomic<std::uint64_t> tail;
  std::atomic<std::uint32_t> sleeping;  // the doorbell: futex of the device

  alignas(64) std::atomic<std::uint64_t> completed;
  std::atomic<std::uint64_t> running;  // the command being run, with `waits` or not; 0 between them
  std::atomic<std::uint64_t> progress;  // changes while a long command advances
  std::atomic<std::uint32_t>
      in_kernel;  // 1 while a kernel runs, or is about to look whether it may

  alignas(64) std::atomic<std::uint32_t> client_waiters, device_waiters;
  std::atomic<std::uint32_t> wake;  // futex of all waiters for this timeline

  alignas(64) SharedFault fault;
  std::atomic<std::uint64_t>
      stopped_by;  // value of the launch that stopped this queue by a fault; 0 while it runs
  std::atomic<std::uint32_t> stop_access;
  std::atomic<std::uint64_t> stop_address;
  std::atomic<std::uint64_t> stop_kernel;

  std::array<Slot, slot_count> slots;
  std::array<Payload, slot_count> payloads;

  [[nodiscard]] static std::uint64_t value_of(std::uint64_t completed) noexcept {
    return completed & ~any_failed;
  }
  Slot& slot(std::uint64_t value) noexcept { return slots[value % slot_count]; }
  Payload& payload(std::uint64_t value) noexcept { return payloads[value % slot_count]; }
};

struct ControlArea {
  std::atomic<std::uint32_t> events;       // futex of the client: some fault record or stop is new
  std::atomic<std::uint32_t> death_cause;  // a DeathCause, written by the device when it still can
  std::atomic<std::uint32_t> stopping;     // 1: no kernel begins. Futex of the device's queues
  std::atomic<std::uint32_t>
      rested;  // futex of the client: a kernel ended while queues are being stopped
  std::array<Ring, ring_count> rings;
};

// Above zero: the signal that is killing the process.
constexpr std::uint32_t death_unknown = 0;
constexpr std::uint32_t death_by_exit = 1000;

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace sluice::device::soft
