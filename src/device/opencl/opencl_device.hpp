// OpenclDevice: all devices of one OpenCL context as one device of a space.
//
// The driver keeps one copy of an allocation for its context and moves it between the context's
// devices as commands need it. So the engine only has to know whether the host or the driver holds
// a page.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "device/device.hpp"
#include "device/external_work.hpp"
#include "device/opencl/copy_watch.hpp"
#include "device/opencl/device_bytes.hpp"
#include "device/opencl/driver.hpp"
#include "device/opencl/event_timeline.hpp"
#include "device/opencl/pinned_alias.hpp"
#include "device/placed_memory.hpp"

namespace sluice::device::opencl {

class OpenclDevice final : public Device, public ExternalWork, private PlacedMemory {
 public:
  // `memory_size`: bytes that ranges may have on the driver's side. `pins`: the driver is told to
  // keep host memory in place, so that it copies at the link's speed. `report_after`: a copy that
  // takes longer is reported on stderr. Errors: those of making a command queue.
  [[nodiscard]] static Result<std::unique_ptr<OpenclDevice>> open(
      const Driver& driver, int number, const HostMemory& host, std::size_t memory_size,
      DeviceBytes& bytes, bool pins, CopyWatch::Clock::duration report_after);
  ~OpenclDevice() override;

  const Traits& traits() const noexcept override { return traits_; }
  bool lost() const noexcept override { return false; }
  ExternalWork* external_work() noexcept override { return this; }
  PlacedMemory* placed_memory() noexcept override { return this; }
  Result<Allocation> allocate(std::size_t size) override;
  void release(Allocation allocation) noexcept override;
  std::size_t memory_in_use() const noexcept override { return in_use_; }
  // Nothing to do: the driver's copy is always at its place. Host memory is out of reach: busy,
  // since only a lease asks for that.
  Result<Fence> update_mappings(std::span<const MappingCommand> commands) override;
  Result<Fence> copy(std::span<const CopyCommand> commands) override;
  Result<Fence> fill(std::span<const FillCommand> commands) override;
  void expect_copies(AddressSpan span) noexcept override {
    if (pins_) (void)pinned_.pin(span);
  }
  void forget_host_memory(AddressSpan span) noexcept override;

  // Queues are timelines only. Numbers wrap after 1000; queues that share one wait for each other,
  // which is slow but correct.
  [[nodiscard]] static ExternalQueue queue_by_number(std::uint32_t number) noexcept;
  // Kernels are the program's own: these are unsupported.
  Result<QueueId> create_queue() override;
  void destroy_queue(QueueId queue) noexcept override;
  Result<KernelId> find_kernel(std::string_view module, std::string_view name) override;
  Result<Fence> launch(QueueId queue, const LaunchCommand& command) override;

  // The queue is that of queue_by_number(). Programs order their queues by events, so the fences to
  // wait for are not looked at.
  Result<Fence> begin(ExternalQueue queue, std::span<const Fence> wait_for) override;
  // The mark is a cl_event, of which a reference is taken over. Call with no lock of the engine
  // held.
  Result<void> submitted(Fence fence, ExternalMark event) override;
  void nothing_submitted(Fence fence) noexcept override;
  bool orders(Fence /*fence*/) const noexcept override { return true; }

  FenceState poll(Fence fence) const noexcept override;
  Result<void> wait(Fence fence, const Wait& how) const override;
  Result<void> reset() override;

 private:
  Result<Allocation> allocate_at(Address at, std::size_t size) override;

  // A queue of our own, so that moving bytes never waits for the program's commands.
  struct Engine {
    RankedMutex mutex{LockRank::queue, "opencl copies"};
    cl_command_queue queue = nullptr;
    RecentCopies copies{};
  };
  enum : std::uint16_t { to_device, to_host, first_queue };
  static constexpr std::size_t timeline_limit = 1024;

  OpenclDevice(const Driver& driver, int number, const HostMemory& host, std::size_t memory_size,
               DeviceBytes& bytes, CopyWatch::Clock::duration report_after);
  template <typename Enqueue>
  [[nodiscard]] Result<Fence> submit(std::uint16_t timeline, const CopyWatch::Copy& copy,
                                     Enqueue&& enqueue);
  struct Ends {
    bool home;  // the bytes go to the host
    Address host;
    Address device;
    std::size_t size;
  };
  [[nodiscard]] static Ends ends_of(const CopyCommand& command) noexcept;
  [[nodiscard]] cl_int enqueue(cl_command_queue queue, std::span<const CopyCommand> run,
                               cl_event* event);
  [[nodiscard]] cl_int enqueue(cl_command_queue queue, const Ends& ends, cl_event* event);
  [[nodiscard]] EventTimeline& timeline(std::uint16_t number) const noexcept;

  const Driver driver_;
  const int number_;
  const HostMemory host_;
  DeviceBytes& bytes_;
  PinnedAlias pinned_;
  bool pins_ = false;  // set before it is used
  Traits traits_;
  std::atomic<std::size_t> in_use_{0};
  std::array<Engine, first_queue> engines_;
  std::array<std::unique_ptr<EventTimeline>, timeline_limit> timelines_;
  mutable CopyWatch watch_;
};

}  // namespace sluice::device::opencl
