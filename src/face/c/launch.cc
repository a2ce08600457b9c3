// The C face of queues, kernels, launches and fences.
#include <span>

#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

namespace {

// What a launch names, from arrays that may lie in managed memory: Launch copies it.
Result<void> name_uses(Launch& launch, std::span<const sluice_use> uses) {
  for (const sluice_use& use : uses) {
    SLUICE_ASSIGN(access, checked<Access>(use.access, SLUICE_WRITE, "access"));
    if (access == Access::read)
      launch.reads(use.data, use.size);
    else
      launch.writes(const_cast<void*>(use.data), use.size);
  }
  return {};
}

Result<void> check_arrays(const struct sluice_launch& launch) {
  if (launch.uses == nullptr && launch.use_count != 0) {
    return fail(ErrorCode::invalid_argument, "%zu uses at a null pointer", launch.use_count);
  }
  if (launch.after == nullptr && launch.after_count != 0) {
    return fail(ErrorCode::invalid_argument, "%zu fences at a null pointer", launch.after_count);
  }
  return {};
}

Result<Fence> submit(const Queue& queue, const struct sluice_launch* given, const void* caller) {
  SLUICE_ASSIGN(from, read_versioned(given, "struct sluice_launch"));
  SLUICE_TRY(check_arrays(from));
  const auto& engine = Inside::engine(queue);
  Launch launch = queue.launch(Inside::kernel(from.kernel.device, {from.kernel.id}));
  SLUICE_TRY(name_uses(launch, {from.uses, from.use_count}));
  for (const sluice_fence& point : std::span(from.after, from.after_count)) {
    SLUICE_ASSIGN(after, c::fence(engine, point));
    launch.after(after);
  }
  if (from.every_shared_range != 0) launch.every_shared_range();
  launch.items(from.items == 0 ? 1 : from.items);
  return Inside::submit(launch.arguments(from.arguments, from.argument_size), caller);
}

}  // namespace

enum sluice_status sluice_queue_create(const sluice_space* space, int device,
                                       sluice_queue** queue) {
  SLUICE_REQUIRE(space);
  SLUICE_REQUIRE(queue);
  return run_for([&] { return space->space.queue(device); },
                 [&](Queue made) { *queue = new sluice_queue{std::move(made)}; });
}

void sluice_queue_destroy(sluice_queue* queue) { delete queue; }

enum sluice_status sluice_kernel_find(const sluice_space* space, int device, const char* module,
                                      const char* name, struct sluice_kernel* kernel) {
  SLUICE_REQUIRE(space);
  SLUICE_REQUIRE(name);
  return run_for(
      [&] { return space->space.kernel(device, module == nullptr ? "" : module, name); },
      [&](Kernel found) { give(kernel, {found.device(), 0, Inside::kernel(found).value}); });
}

enum sluice_status sluice_launch_submit(const sluice_queue* queue,
                                        const struct sluice_launch* launch,
                                        struct sluice_fence* fence) {
  SLUICE_REQUIRE(queue);
  const void* const caller = __builtin_return_address(0);
  return run_for([&] { return submit(queue->queue, launch, caller); },
                 [&](const Fence& submitted) { give(fence, c::fence(submitted)); });
}

int sluice_fence_done(const sluice_space* space, struct sluice_fence fence) {
  if (space == nullptr) return 0;
  const auto known = c::fence(Inside::engine(space->space), fence);
  return known && known->done() ? 1 : 0;
}

int sluice_fence_failed(const sluice_space* space, struct sluice_fence fence) {
  if (space == nullptr) return 0;
  const auto known = c::fence(Inside::engine(space->space), fence);
  return known && known->failed() ? 1 : 0;
}

enum sluice_status sluice_fence_wait(const sluice_space* space, struct sluice_fence fence,
                                     int64_t timeout, enum sluice_on_signal on_signal) {
  SLUICE_REQUIRE(space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(how, checked<OnSignal>(on_signal, SLUICE_RETURN_INTERRUPTED, "on_signal"));
    SLUICE_ASSIGN(known, c::fence(Inside::engine(space->space), fence));
    return known.wait_until(deadline(timeout), how);
  });
}

enum sluice_status sluice_synchronize(const sluice_space* space, int64_t timeout,
                                      enum sluice_on_signal on_signal) {
  SLUICE_REQUIRE(space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(how, checked<OnSignal>(on_signal, SLUICE_RETURN_INTERRUPTED, "on_signal"));
    return space->space.synchronize_until(deadline(timeout), how);
  });
}
