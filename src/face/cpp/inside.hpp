// Inside: the only access from the public handles to the engine, for the faces, the tool and the
// tests.
//
// Public headers never include src/, so they keep the engine's values as plain numbers; here those
// numbers become fences, kernels and leases again.
#pragma once

#include <memory>
#include <utility>

#include "device/device.hpp"
#include "engine/engine.hpp"
#include "sluice/fence.hpp"
#include "sluice/kernel.hpp"
#include "sluice/launch.hpp"
#include "sluice/lease.hpp"
#include "sluice/mapping.hpp"
#include "sluice/range.hpp"
#include "sluice/space.hpp"
#include "sluice/stream_scope.hpp"
#include "sluice/trace.hpp"

namespace sluice {

struct Inside {
  using EnginePointer = std::shared_ptr<engine::Engine>;

  [[nodiscard]] static const EnginePointer& engine(const Space& space) noexcept {
    return space.engine_;
  }
  [[nodiscard]] static const EnginePointer& engine(const Queue& queue) noexcept {
    return queue.engine_;
  }
  [[nodiscard]] static const EnginePointer& engine(const Fence& fence) noexcept {
    return fence.engine_;
  }

  [[nodiscard]] static Space space(EnginePointer engine) noexcept {
    return Space(std::move(engine));
  }
  [[nodiscard]] static Trace trace(EnginePointer engine) noexcept {
    return Trace(std::move(engine));
  }

  [[nodiscard]] static device::Fence fence(const Fence& fence) noexcept {
    return {fence.device_, fence.timeline_, fence.value_};
  }
  [[nodiscard]] static Fence fence(EnginePointer engine, device::Fence point) noexcept {
    Fence fence;
    fence.engine_ = std::move(engine);
    fence.device_ = point.device;
    fence.timeline_ = point.timeline;
    fence.value_ = point.value;
    return fence;
  }

  [[nodiscard]] static device::KernelId kernel(Kernel kernel) noexcept { return {kernel.id_}; }
  [[nodiscard]] static std::uint32_t space_of(Kernel kernel) noexcept { return kernel.space_; }
  [[nodiscard]] static Kernel kernel(int device, std::uint32_t space,
                                     device::KernelId id) noexcept {
    return {device, space, id.value};
  }

  [[nodiscard]] static Queue queue(EnginePointer engine, int device, device::QueueId id,
                                   std::size_t argument_limit) noexcept {
    return {std::move(engine), device, id.value, argument_limit};
  }

  [[nodiscard]] static Range range(EnginePointer engine, Address base, std::size_t size,
                                   Kind kind) noexcept {
    Range range;
    range.engine_ = std::move(engine);
    range.data_ = reinterpret_cast<std::byte*>(base.value);
    range.size_ = size;
    range.kind_ = kind;
    return range;
  }

  // Null with a size is refused by submit().
  static void set_arguments(Launch& launch, const void* data, std::size_t size) {
    launch.copy_arguments(data, size);
  }
  [[nodiscard]] static Result<Fence> submit(Launch& launch, const void* caller) {
    return launch.submit_from(caller, nullptr);
  }

  [[nodiscard]] static ScopeRequest scope_request(EnginePointer engine, int device,
                                                  CUstream_st* stream) noexcept {
    return {std::move(engine), device, stream};
  }
  [[nodiscard]] static StreamScope scope(Fence end, CUstream_st* stream) noexcept {
    return {std::move(end), stream};
  }

  [[nodiscard]] static Mapping mapping(EnginePointer engine,
                                       std::shared_ptr<engine::MappingTask> task) noexcept {
    Mapping mapping;
    mapping.engine_ = std::move(engine);
    mapping.task_ = std::move(task);
    return mapping;
  }

  [[nodiscard]] static Lease lease(EnginePointer engine, engine::LeaseId id) noexcept {
    Lease lease;
    lease.engine_ = std::move(engine);
    lease.number_ = id.value;
    return lease;
  }
};

// A part as the program named it.
[[nodiscard]] inline AddressSpan span_of(const void* data, std::size_t size) noexcept {
  return {Address::of(data), size};
}

}  // namespace sluice
