// CudaDevice: one GPU, or a part of one, as a device.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "device/cuda/cuda_device.hpp"
#include "device/cuda/lane.hpp"
#include "device/cuda/memory_pool.hpp"
#include "device/cuda/platform.hpp"
#include "device/external_work.hpp"
#include "device/host_overflow.hpp"

namespace sluice::device::cuda {

// Work of the program's own is in a stream, which is both the ExternalQueue and the ExternalMark.
class CudaDevice final : public Device, private ExternalWork, private HostOverflow {
 public:
  CudaDevice(const CudaOptions& options, std::shared_ptr<Platform> platform, CUcontext context,
             EventSink& sink);
  ~CudaDevice() override;
  [[nodiscard]] Result<void> start();

  [[nodiscard]] const Traits& traits() const noexcept override { return traits_; }
  [[nodiscard]] bool lost() const noexcept override { return lost_; }
  [[nodiscard]] ExternalWork* external_work() noexcept override { return this; }
  [[nodiscard]] HostOverflow* host_overflow() noexcept override {
    return overflows_ ? this : nullptr;
  }

  [[nodiscard]] Result<Allocation> allocate(std::size_t size) override;
  [[nodiscard]] Result<Allocation> allocate_for(Address at, std::size_t size) override;
  void release(Allocation allocation) noexcept override;
  [[nodiscard]] std::size_t memory_in_use() const noexcept override { return memory_->in_use(); }

  [[nodiscard]] Result<Fence> update_mappings(std::span<const MappingCommand> commands) override;
  [[nodiscard]] Result<Fence> copy(std::span<const CopyCommand> commands) override;
  [[nodiscard]] Result<Fence> fill(std::span<const FillCommand> commands) override;
  void expect_copies(AddressSpan span) noexcept override;
  void expect_use(AddressSpan span) noexcept override;
  void forget_host_memory(AddressSpan span) noexcept override;

  [[nodiscard]] Result<QueueId> create_queue() override;
  void destroy_queue(QueueId queue) noexcept override;
  [[nodiscard]] Result<KernelId> find_kernel(std::string_view module,
                                             std::string_view name) override;
  [[nodiscard]] Result<Fence> launch(QueueId queue, const LaunchCommand& command) override;
  [[nodiscard]] bool has_room(QueueId queue, const LaunchCommand& command) const noexcept override;
  void wait_for_room(QueueId queue, const LaunchCommand& command) const noexcept override;

  [[nodiscard]] FenceState poll(Fence fence) const noexcept override;
  [[nodiscard]] bool may_be_pending(Fence fence) const noexcept override;
  [[nodiscard]] Result<void> wait(Fence fence, const Wait& how) const override;
  [[nodiscard]] int queue_number(Fence fence) const noexcept override {
    return is_of_queue(fence) ? fence.timeline - first_queue : -1;
  }
  [[nodiscard]] Result<void> reset() override;

 private:
  // Lanes by timeline number.
  static constexpr std::uint16_t into_device = 0;  // two of each, used in turn
  static constexpr std::uint16_t out_of_device = 2;
  static constexpr std::uint16_t inside = 4;
  static constexpr std::uint16_t first_queue = 8;
  static constexpr std::uint16_t most_queues = 248;
  static constexpr std::uint16_t first_scope = first_queue + most_queues;
  static constexpr std::uint16_t most_scopes = 256;
  static constexpr std::uint16_t lane_count = first_scope + most_scopes;

  struct Function {
    CUfunction function = nullptr;
    std::size_t argument_size = 0;  // bytes; 0: the kernel takes the number of items alone
  };
  struct Module {
    std::string path;
    CUmodule module;
  };
  // A copy as the driver wants it.
  struct Ends {
    CUdeviceptr from;
    CUdeviceptr to;
    std::size_t size;
  };

  [[nodiscard]] Result<void> alive() const;
  [[nodiscard]] Result<void> check_allocation(std::size_t size) const;
  [[nodiscard]] Result<void> open_lanes();
  // Tells the engine, once. The error is the driver's and stays permanently.
  void lose(CUresult error) const noexcept;
  // Passes on an error of a call that puts work into a stream; the device is lost if the error came
  // from the GPU.
  [[nodiscard]] tl::unexpected<Error> refused(Error error) const noexcept;

  // ExternalWork (gpu_queues.cc).
  [[nodiscard]] Result<Fence> begin(ExternalQueue stream, std::span<const Fence> wait_for) override;
  [[nodiscard]] Result<void> submitted(Fence fence, ExternalMark stream) override;
  void nothing_submitted(Fence fence) noexcept override;
  [[nodiscard]] bool orders(Fence fence) const noexcept override;
  void close_scope(Fence fence) noexcept;

  // HostOverflow.
  [[nodiscard]] Result<Allocation> allocate_in_host(std::size_t size) override;

  // Commands (gpu_commands.cc).
  [[nodiscard]] Result<void> check(const CopyCommand& command) const;
  [[nodiscard]] Result<void> check(const Place& place, std::size_t size) const;
  [[nodiscard]] Result<void> check(const MappingCommand& command) const;
  [[nodiscard]] bool holds(const AllocationHandle& handle) const noexcept;
  // Only for places that copies reach.
  [[nodiscard]] CUdeviceptr address_of(const Place& place) const noexcept;
  [[nodiscard]] Result<void> reach(const Place& place) const;
  [[nodiscard]] Result<void> put(const Ends& ends, CUstream stream);
  [[nodiscard]] std::uint16_t lane_for(const CopyCommand& command) noexcept;
  [[nodiscard]] MemoryBlock* memory_of(const Place& backing) const noexcept;

  // Queues (gpu_queues.cc).
  [[nodiscard]] Result<CUmodule> load(std::string_view path) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Result<void> load_functions(CUmodule module) const;
  [[nodiscard]] Result<Function> function_of(KernelId kernel, QueueId queue) const;
  [[nodiscard]] Result<void> wait_on(CUstream stream, std::span<const Fence> fences);
  [[nodiscard]] Result<void> start_kernel(const Function& function, const LaunchCommand& command,
                                          CUstream stream) const;
  [[nodiscard]] Result<void> check(Fence fence) const;
  [[nodiscard]] static bool is_of_queue(Fence fence) noexcept {
    return fence.timeline >= first_queue && fence.timeline < first_scope;
  }
  void announce(Fence fence) const;
  [[nodiscard]] Result<void> look_for_failure() const;

  const CudaOptions options_;
  std::shared_ptr<Platform> platform_;
  const Driver& driver_;
  EventSink& sink_;
  Traits traits_;
  const CUcontext context_;
  int multiprocessors_ = 1;
  bool overflows_ = false;
  bool joined_ = false;
  mutable std::atomic<bool> lost_{false};
  std::atomic<std::uint32_t> generation_{
      1};  // of allocations and kernels; a reset starts a new one

  std::unique_ptr<MemoryPool> memory_;
  std::unique_ptr<MemoryPool> overflow_;         // in host memory
  std::atomic<std::uint64_t>* words_ = nullptr;  // what the lanes write, one in each cache line
  mutable std::array<Lane, lane_count> lanes_;   // asking a queue's lane for a fence may mark it
  std::atomic<std::uint32_t> turn_{0};

  mutable RankedMutex mutex_{LockRank::device, "GPU"};
  std::array<bool, most_queues> queue_is_live_ SLUICE_GUARDED_BY(mutex_){};
  std::array<bool, most_scopes> scope_is_open_ SLUICE_GUARDED_BY(mutex_){};
  std::vector<Module> modules_ SLUICE_GUARDED_BY(mutex_);
  std::vector<Function> functions_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::cuda
