// The C face of queues, kernels, launches and fences.
#include <span>

#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

namespace {

// Passes the memory that a launch names, from arrays that may lie in managed memory: Launch copies
// them.
Result<void> name_uses(Launch& launch, std::span<const sluice_use> uses) {
  for (const sluice_use& use : uses) {
    SLUICE_ASSIGN(access, checked<Access>(use.access, SLUICE_ACCESS_WRITE, "access"));
    if (access == Access::read)
      launch.reads(use.data, use.size);
    else
      launch.writes(const_cast<void*>(use.data), use.size);
  }
  return {};
}

Result<Fence> submit(const Queue& queue, const struct sluice_launch* given, const void* caller) {
  SLUICE_ASSIGN(from, read_versioned(given, "struct sluice_launch"));
  SLUICE_ASSIGN(uses, list(from.uses, from.use_count, "uses"));
  SLUICE_ASSIGN(fences, list(from.after, from.after_count, "fences"));
  const auto& engine = Inside::engine(queue);
  Launch launch =
      queue.launch(Inside::kernel(from.kernel.device, from.kernel.space, {from.kernel.id}));
  SLUICE_TRY(name_uses(launch, uses));
  for (const sluice_fence& point : fences) {
    SLUICE_ASSIGN(after, c::fence(engine, point));
    launch.after(after);
  }
  SLUICE_ASSIGN(every, every_shared(from.every_shared_range));
  if (every) launch.every_shared_range(*every);
  launch.items(from.items == 0 ? 1 : from.items);
  Inside::set_arguments(launch, from.arguments, from.argument_size);
  return Inside::submit(launch, caller);
}

}  // namespace

enum sluice_status sluice_queue_create(const sluice_space* space, int device,
                                       sluice_queue** queue) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(queue);
  return run_for(
      [&]() -> Result<sluice_queue*> {
        SLUICE_ASSIGN(made, held->space.queue(device));
        return own<sluice_queue>(std::move(made));
      },
      [&](sluice_queue* made) { *queue = made; });
}

void sluice_queue_destroy(sluice_queue* queue) { destroy(queue); }

enum sluice_status sluice_kernel_find(const sluice_space* space, int device, const char* module,
                                      const char* name, struct sluice_kernel* kernel) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(name);
  return run_for([&] { return held->space.kernel(device, module == nullptr ? "" : module, name); },
                 [&](Kernel found) {
                   give(kernel,
                        {found.device(), Inside::space_of(found), Inside::kernel(found).value});
                 });
}

enum sluice_status sluice_launch_submit(const sluice_queue* queue,
                                        const struct sluice_launch* launch,
                                        struct sluice_fence* fence) {
  SLUICE_HOLD(held, queue);
  const void* const caller = __builtin_return_address(0);
  return run_for([&] { return submit(held->queue, launch, caller); },
                 [&](const Fence& submitted) { give(fence, c::fence(submitted)); });
}

int sluice_fence_done(const sluice_space* space, struct sluice_fence fence) {
  const Held held(space);
  if (!held) return 0;
  const auto known = c::fence(Inside::engine(held->space), fence);
  return known && known->done() ? 1 : 0;
}

int sluice_fence_failed(const sluice_space* space, struct sluice_fence fence) {
  const Held held(space);
  if (!held) return 0;
  const auto known = c::fence(Inside::engine(held->space), fence);
  return known && known->failed() ? 1 : 0;
}

enum sluice_status sluice_fence_wait(const sluice_space* space, struct sluice_fence fence,
                                     int64_t timeout, enum sluice_on_signal on_signal) {
  SLUICE_HOLD(held, space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(how,
                  checked<OnSignal>(on_signal, SLUICE_ON_SIGNAL_RETURN_INTERRUPTED, "on_signal"));
    SLUICE_ASSIGN(known, c::fence(Inside::engine(held->space), fence));
    return known.wait_until(deadline(timeout), how);
  });
}

enum sluice_status sluice_synchronize(const sluice_space* space, int64_t timeout,
                                      enum sluice_on_signal on_signal) {
  SLUICE_HOLD(held, space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(how,
                  checked<OnSignal>(on_signal, SLUICE_ON_SIGNAL_RETURN_INTERRUPTED, "on_signal"));
    return held->space.synchronize_until(deadline(timeout), how);
  });
}
