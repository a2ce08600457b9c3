// SoftDevice: the client's side of a software GPU. It submits to its process's rings, keeps the
// records of its memory, and notices its end.
//
// Its members are split over several sources by subject: client.cc (life: open, death,
// reset), client_commands.cc (copies, fills, mappings), client_queues.cc (queues, kernels,
// launches, fences), client_stop.cc (stopping the queues), client_events.cc (reports to the
// engine), client_faults.cc (answers of the engine), failure_text.cc (error messages).
//
// Locks: tables_mutex_ for the tables, and one in each ring and in the child; only the child's is
// held while the device works.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "device/allocation_handle.hpp"
#include "device/buddy.hpp"
#include "device/recoverable_faults.hpp"
#include "device/soft/child.hpp"
#include "device/soft/fault_plan.hpp"
#include "device/soft/fleet.hpp"
#include "device/soft/ring_writer.hpp"
#include "device/soft/shared_memory.hpp"
#include "device/soft/soft_device.hpp"
#include "device/soft/standstill.hpp"
#include "device/stoppable_queues.hpp"
#include "os/fork_guard.hpp"
#include "os/futex.hpp"
#include "os/threads.hpp"

namespace sluice::device::soft {

class SoftDevice final : public Device,
                         public SoftwareCalls,
                         private RecoverableFaults,
                         private StoppableQueues,
                         private Member {
 public:
  SoftDevice(const SoftOptions& options, const HostMemory& host, EventSink& sink);
  ~SoftDevice() override;

  [[nodiscard]] Result<void> start();

  [[nodiscard]] const Traits& traits() const noexcept override { return traits_; }
  [[nodiscard]] bool lost() const noexcept override { return !usable(); }
  [[nodiscard]] RecoverableFaults* recoverable_faults() noexcept override;
  [[nodiscard]] StoppableQueues* stoppable_queues() noexcept override { return this; }

  [[nodiscard]] Result<Allocation> allocate(std::size_t size) override;
  void release(Allocation allocation) noexcept override;
  [[nodiscard]] std::size_t memory_in_use() const noexcept override;
  [[nodiscard]] std::optional<std::size_t> touched(AddressSpan span) const noexcept override;

  [[nodiscard]] Result<Fence> update_mappings(std::span<const MappingCommand> commands) override;
  [[nodiscard]] Result<Fence> copy(std::span<const CopyCommand> commands) override;
  [[nodiscard]] Result<Fence> fill(std::span<const FillCommand> commands) override;

  [[nodiscard]] Result<QueueId> create_queue() override;
  void destroy_queue(QueueId queue) noexcept override;
  [[nodiscard]] Result<KernelId> find_kernel(std::string_view module,
                                             std::string_view name) override;
  [[nodiscard]] Result<Fence> launch(QueueId queue, const LaunchCommand& command) override;
  [[nodiscard]] bool has_room(QueueId queue, const LaunchCommand& command) const noexcept override;
  void wait_for_room(QueueId queue, const LaunchCommand& command) const noexcept override;
  [[nodiscard]] Result<Fence> dispatch(QueueId queue, const LaunchCommand& command,
                                       std::span<const NamedMemory> named) override;

  [[nodiscard]] FenceState poll(Fence fence) const noexcept override;
  [[nodiscard]] Result<void> wait(Fence fence, const Wait& how) const override;
  [[nodiscard]] std::optional<KernelFault> fault_of(Fence launch) const override;
  [[nodiscard]] int queue_number(Fence fence) const noexcept override {
    return fence.timeline - first_kernel_ring;
  }
  [[nodiscard]] Result<void> reset() override;
  [[nodiscard]] Result<void> plan_faults(std::string_view plan) override {
    return plan_.replace(plan);
  }

  [[nodiscard]] std::byte* view(Place place) const noexcept;

 private:
  // A Place as the device process names it.
  struct NamedPlace {
    std::uint8_t memory = 0;
    std::uint64_t offset = 0;
    std::uint32_t peer_generation = 0;
  };
  struct QueueState {
    std::atomic<bool> open{false};
    // Both under tables_mutex_.
    bool started = false;   // its thread exists in the present process, or will at once
    bool starting = false;  // the thread that creates the queue asks for that
    // The value of the command that closes it; it can be used again after that.
    std::uint64_t closing = 0;
  };
  // How far the news of a loss has come.
  enum LossNews : std::uint32_t {
    none,
    untold,   // the engine has not heard of it
    failing,  // pending commands are being failed
  };
  // RecoverableFaults (client_faults.cc).
  void answer_fault(std::uint32_t fault, bool resolved) noexcept override;
  [[nodiscard]] bool answer_and_await(std::uint32_t fault,
                                      Clock::time_point until) noexcept override;
  [[nodiscard]] Fence launch_of(std::uint32_t fault) const noexcept override;
  [[nodiscard]] std::uint32_t queue_of_fault(std::uint32_t fault) const noexcept override;
  [[nodiscard]] bool answer(std::uint32_t fault, std::uint32_t with) noexcept;
  // Accesses without rights stall until they are answered.
  [[nodiscard]] bool asks() const noexcept {
    return traits_.recoverable_faults || traits_.limits_launches;
  }

  // client.cc
  [[nodiscard]] bool usable() const noexcept {
    return !condition_.lost.load(std::memory_order_acquire) && !mark_.inherited();
  }
  [[nodiscard]] tl::unexpected<Error> lost_error() const noexcept;
  [[nodiscard]] Result<void> make_memory() SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Result<void> start_process();
  [[nodiscard]] Result<void> start_open_queues(Child& process) SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Settings settings() const noexcept;
  [[nodiscard]] Result<void> await_loss();
  // For steps that happen on this side: carries out the planned fault; true if the step is to fail
  // or to be interrupted.
  bool inject_fault(Step step, bool interruptible = false) const noexcept;
  [[nodiscard]] std::shared_ptr<Child> child() const noexcept SLUICE_EXCLUDES(tables_mutex_);
  void process_ended() noexcept override SLUICE_EXCLUDES(tables_mutex_);
  void look_for_hang() noexcept override SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] bool hangs(int ring, Clock::time_point now) noexcept;
  [[nodiscard]] bool waits_rightly(int ring, std::uint64_t launch) const noexcept;
  [[nodiscard]] bool another_runs(int ring) const noexcept;
  void end_process() noexcept SLUICE_EXCLUDES(tables_mutex_);

  // client_commands.cc
  [[nodiscard]] Result<void> find_room() const noexcept;
  [[nodiscard]] Result<void> ask_for_access(const Place& peer) const noexcept;
  [[nodiscard]] Result<void> locate(const Place& place, std::size_t size, bool peers_allowed);
  [[nodiscard]] Result<void> locate_on_peer(const Place& place, std::size_t size);
  [[nodiscard]] Result<void> check_allocation(const Place& place, std::size_t size) const
      SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Result<void> introduce_peer(const SoftDevice& peer) SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Result<void> introduce(std::uint8_t memory, std::size_t size,
                                       std::uint32_t generation, int file)
      SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] int host_file_at(const Place& place) const noexcept;
  [[nodiscard]] bool is_peer(const Place& place) const noexcept {
    return place.location.is_device() && place.location.number() != options_.number;
  }
  [[nodiscard]] NamedPlace name(const Place& place) const noexcept;
  [[nodiscard]] int copy_ring_for(const CopyCommand& command) const noexcept;
  template <typename Command, typename Part>
  [[nodiscard]] Result<Fence> submit_list(int ring, std::uint32_t generation, Operation operation,
                                          PlannedFault planned, std::span<const Command> commands,
                                          Part&& part);

  // client_queues.cc
  template <typename Submit>
  [[nodiscard]] Result<Fence> launch_through(QueueId queue, const LaunchCommand& command,
                                             Submit&& submit);
  [[nodiscard]] Result<std::uint16_t> gather(std::span<const Fence> fences,
                                             std::span<Dependency> dependencies) const noexcept;
  [[nodiscard]] Result<void> check(Fence fence) const noexcept;

  // StoppableQueues (client_stop.cc).
  [[nodiscard]] Result<void> stop_queues() override;
  [[nodiscard]] Result<void> wait_stopped(const Wait& how) const override;
  void restart_queues() noexcept override;
  [[nodiscard]] int ring_in_kernel() const noexcept;

  // client_events.cc
  void run_events() noexcept;
  void deliver(int ring) noexcept;
  void deliver_access_fault(int ring) noexcept;
  void deliver_loss() noexcept;
  void await_stop_told(int ring, Clock::time_point until) const noexcept;

  // failure_text.cc
  [[nodiscard]] Error describe(int ring, const Failure& failure) const noexcept
      SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Error stopped_by_fault(int ring) const noexcept SLUICE_EXCLUDES(tables_mutex_);
  [[nodiscard]] Error describe_death() const noexcept SLUICE_REQUIRES(tables_mutex_);
  [[nodiscard]] const char* name_of_kernel(std::uint64_t index) const noexcept
      SLUICE_REQUIRES(tables_mutex_);

  SoftOptions options_;
  HostMemory host_;
  EventSink& sink_;
  Traits traits_;
  os::ProcessMark mark_;
  mutable FaultPlan plan_;

  SharedMemory control_memory_;
  ControlArea* control_ = nullptr;
  Condition condition_;
  std::array<RingWriter, ring_count> rings_;
  std::array<QueueState, max_kernel_queues> queues_;

  std::atomic<bool> resetting_{false};
  std::atomic<bool> stopped_{false};     // by stop_queues()
  std::atomic<bool> stop_hangs_{false};  // as planned

  mutable RankedMutex tables_mutex_{LockRank::device, "soft device"};
  SharedMemory memory_ SLUICE_GUARDED_BY(tables_mutex_);
  Buddy buddy_ SLUICE_GUARDED_BY(tables_mutex_);
  // The generations known to the process.
  std::array<std::uint32_t, memory_count> introduced_ SLUICE_GUARDED_BY(tables_mutex_){};
  std::vector<std::string> kernel_names_ SLUICE_GUARDED_BY(tables_mutex_);  // by index
  std::atomic<std::uint32_t> known_kernels_{0};  // how many of them; read without the mutex
  std::shared_ptr<Child> child_ SLUICE_GUARDED_BY(tables_mutex_);  // users outlive a reset
  Error loss_ SLUICE_GUARDED_BY(tables_mutex_);                    // why it was lost last
  std::uint32_t loss_generation_ SLUICE_GUARDED_BY(tables_mutex_) = 0;
  int hung_ring_ SLUICE_GUARDED_BY(tables_mutex_) = -1;  // ended because that ring hangs

  std::array<Standstill, ring_count> standstills_;  // the fleet's thread only

  os::Thread events_;
  std::atomic<pthread_t> events_id_;                                 // identifies that thread
  std::array<std::atomic<std::uint64_t>, ring_count> stops_told_{};  // written by that thread
  std::atomic<std::uint32_t> stop_news_{0};                          // futex; changes after each
  std::atomic<bool> closing_{false};
  std::atomic<std::uint32_t> loss_news_{LossNews::none};  // futex
};

}  // namespace sluice::device::soft
