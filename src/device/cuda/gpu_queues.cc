// Queues, kernels and launch scopes of a GPU.
//
// A queue is a lane with a stream that is kept when the queue is destroyed, so that a queue that
// takes its place continues its timeline. A kernel takes its arguments as one structure and the
// number of items after it: kernel(Arguments, uint64_t). A scope is a lane without a stream: its
// value is promised when the scope begins, and written by the program's own stream after what the
// program put there. What it does not do: choose how a kernel is spread out. Each launch has a
// thread for an item, up to what the GPU runs at once; kernels go on in strides.
#include <algorithm>
#include <array>
#include <cstring>

#include "device/cuda/gpu_device.hpp"
#include "device/cuda/kernels/builtin.hpp"

namespace sluice::device::cuda {
namespace {

constexpr unsigned threads_in_block = 256;
constexpr unsigned blocks_on_multiprocessor = 8;
constexpr std::size_t launch_area = 4096;

constexpr std::uint64_t kernel_id(std::uint32_t generation, std::size_t index) noexcept {
  return std::uint64_t{generation} << 32 | (index + 1);
}

CUstream stream_of(std::uintptr_t stream) noexcept {
  return reinterpret_cast<CUstream>(stream);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

Result<QueueId> CudaDevice::create_queue() {
  SLUICE_TRY(alive());
  const CurrentContext current(driver_, context_);
  const MutexLock lock(mutex_);
  const auto free = std::find(queue_is_live_.begin(), queue_is_live_.end(), false);
  if (free == queue_is_live_.end())
    return fail(ErrorCode::out_of_host_memory, "device %d has all of its %u queues in use",
                options_.number, unsigned{most_queues});
  const auto number = static_cast<std::uint16_t>(free - queue_is_live_.begin());
  Lane& lane = lanes_[first_queue + number];
  if (lane.stream() == nullptr) SLUICE_TRY(lane.open(driver_, priority_normal));
  *free = true;
  return QueueId{number};
}

void CudaDevice::destroy_queue(QueueId queue) noexcept {
  const MutexLock lock(mutex_);
  if (queue.value < most_queues) queue_is_live_[queue.value] = false;
}

// --- kernels -------------------------------------------------------------------------------------

Result<CUmodule> CudaDevice::load(std::string_view path) {
  for (const Module& module : modules_)
    if (module.path == path) return module.module;
  CUmodule loaded = nullptr;
  CUresult error = success;
  if (path.empty()) {
    const std::span<const unsigned char> image = builtin_kernels();
    if (image.empty())
      return fail(ErrorCode::unknown_kernel,
                  "no built-in CUDA kernels: this Sluice was built without nvcc, or "
                  "SLUICE_CUDA_KERNELS names a file that cannot be read");
    error = driver_.module_load_data(&loaded, image.data());
  } else {
    error = driver_.module_load(&loaded, std::string(path).c_str());
  }
  if (error != success) {
    const auto failed = driver_.failed(error, "cuModuleLoad");
    return fail(ErrorCode::unknown_kernel, "the module %.*s: %s", static_cast<int>(path.size()),
                path.data(), failed.value().detail().data());
  }
  modules_.push_back({std::string(path), loaded});
  SLUICE_TRY(load_functions(loaded));
  return loaded;
}

// Otherwise the driver brings a kernel's code over at its first launch, behind whatever runs then,
// and holds up all copies until that ends.
Result<void> CudaDevice::load_functions(CUmodule module) const {
  unsigned count = 0;
  CUresult error = driver_.module_count(&count, module);
  std::vector<CUfunction> functions(count);
  if (error == success) error = driver_.module_list(functions.data(), count, module);
  for (std::size_t i = 0; i < functions.size() && error == success; ++i)
    error = driver_.function_load(functions[i]);
  if (error != success) return driver_.failed(error, "loading a module's kernels");
  return {};
}

Result<KernelId> CudaDevice::find_kernel(std::string_view module, std::string_view name) {
  SLUICE_TRY(alive());
  const CurrentContext current(driver_, context_);
  const MutexLock lock(mutex_);
  SLUICE_ASSIGN(loaded, load(module));
  Function found;
  if (driver_.module_function(&found.function, loaded, std::string(name).c_str()) != success)
    return fail(ErrorCode::unknown_kernel, "no kernel %.*s in %.*s", static_cast<int>(name.size()),
                name.data(), static_cast<int>(module.size()), module.empty() ? "" : module.data());
  std::size_t offset = 0;
  std::size_t last = 0;
  if (driver_.function_parameter(found.function, 1, &offset, &last) == success)
    (void)driver_.function_parameter(found.function, 0, &offset, &found.argument_size);
  for (std::size_t i = 0; i < functions_.size(); ++i)
    if (functions_[i].function == found.function) return KernelId{kernel_id(generation_, i)};
  functions_.push_back(found);
  return KernelId{kernel_id(generation_, functions_.size() - 1)};
}

Result<CudaDevice::Function> CudaDevice::function_of(KernelId kernel, QueueId queue) const {
  const std::size_t index = (kernel.value & 0xffff'ffff) - 1;
  const MutexLock lock(mutex_);
  if (queue.value >= most_queues || !queue_is_live_[queue.value])
    return fail(ErrorCode::invalid_argument, "device %d has no queue %u", options_.number,
                queue.value);
  if (kernel.value >> 32 != generation_ || index >= functions_.size())
    return fail(ErrorCode::unknown_kernel, "no kernel %#llx; after a reset they are found again",
                static_cast<unsigned long long>(kernel.value));
  return functions_[index];
}

// --- launches ------------------------------------------------------------------------------------

// Asked before the waiting stream's own lock is taken: locks of one rank do not nest.
Result<void> CudaDevice::wait_on(CUstream stream, std::span<const Fence> fences) {
  for (const Fence& fence : fences) {
    SLUICE_TRY(check(fence));
    if (fence.device < 0) continue;
    Lane& lane = lanes_[fence.timeline];
    // A scope's lane has no stream of its own; the program's may be the default one, which has no
    // name either.
    const bool in_order = stream != nullptr && lane.stream() == stream;
    if (in_order || lane.is_complete(fence.value)) continue;
    const MutexLock lock(lane.mutex);
    if (lane.is_open())
      return fail(ErrorCode::busy, "a launch cannot wait on the device for a scope that is open");
    SLUICE_TRY(lane.hold_up(driver_, stream, fence.value));
  }
  return {};
}

bool CudaDevice::orders(Fence fence) const noexcept {
  return !check(fence) || !lanes_[fence.timeline].is_open();
}

Result<void> CudaDevice::start_kernel(const Function& function, const LaunchCommand& command,
                                      CUstream stream) const {
  alignas(64) std::array<std::byte, launch_area> arguments;
  const std::size_t given = std::min(command.arguments.size(), function.argument_size);
  if (given != 0) std::memcpy(arguments.data(), command.arguments.data(), given);
  std::memset(arguments.data() + given, 0, function.argument_size - given);
  std::uint64_t items = command.items;
  void* with_arguments[] = {arguments.data(), &items};
  void* items_alone[] = {&items};
  const std::uint64_t most =
      std::uint64_t{blocks_on_multiprocessor} * static_cast<unsigned>(multiprocessors_);
  const std::uint64_t needed = items / threads_in_block + (items % threads_in_block != 0 ? 1 : 0);
  const auto blocks = static_cast<unsigned>(std::clamp<std::uint64_t>(needed, 1, most));
  const auto threads = static_cast<unsigned>(std::clamp<std::uint64_t>(items, 1, threads_in_block));
  const CUresult error =
      driver_.launch(function.function, blocks, 1, 1, threads, 1, 1, 0, stream,
                     function.argument_size == 0 ? items_alone : with_arguments, nullptr);
  if (error != success) return driver_.failed(error, "cuLaunchKernel");
  return {};
}

Result<Fence> CudaDevice::launch(QueueId queue, const LaunchCommand& command) {
  SLUICE_TRY(alive());
  if (command.arguments.size() > traits_.argument_limit)
    return fail(ErrorCode::invalid_argument, "%zu bytes of arguments; device %d carries %zu",
                command.arguments.size(), options_.number, traits_.argument_limit);
  SLUICE_ASSIGN(function, function_of(command.kernel, queue));
  const CurrentContext current(driver_, context_);
  const auto number = static_cast<std::uint16_t>(first_queue + queue.value);
  Lane& lane = lanes_[number];
  Result<void> done = wait_on(lane.stream(), command.wait_for);
  const MutexLock lock(lane.mutex);
  if (done) done = start_kernel(function, command, lane.stream());
  Result<std::uint64_t> value =
      done ? lane.mark_by_event(driver_) : tl::unexpected<Error>(done.error());
  if (!value) return refused(value.error());
  return Fence{static_cast<std::int16_t>(options_.number), number, *value};
}

bool CudaDevice::has_room(QueueId queue, const LaunchCommand& /*command*/) const noexcept {
  if (queue.value >= most_queues || lost()) return true;
  const Lane& lane = lanes_[first_queue + queue.value];
  return lane.is_complete(lane.makes_room());
}

void CudaDevice::wait_for_room(QueueId queue, const LaunchCommand& /*command*/) const noexcept {
  if (queue.value >= most_queues) return;
  const auto number = static_cast<std::uint16_t>(first_queue + queue.value);
  const std::uint64_t value = lanes_[number].makes_room();
  if (value != 0) (void)wait({static_cast<std::int16_t>(options_.number), number, value}, {});
}

// --- scopes --------------------------------------------------------------------------------------

Result<Fence> CudaDevice::begin(ExternalQueue stream, std::span<const Fence> wait_for) {
  SLUICE_TRY(alive());
  std::uint16_t number = 0;
  {
    const MutexLock lock(mutex_);
    while (number < most_scopes &&
           (scope_is_open_[number] || !lanes_[first_scope + number].is_idle()))
      ++number;
    if (number == most_scopes)
      return fail(ErrorCode::busy, "device %d has all of its %u scopes in use", options_.number,
                  unsigned{most_scopes});
    scope_is_open_[number] = true;
  }
  const Fence fence{static_cast<std::int16_t>(options_.number),
                    static_cast<std::uint16_t>(first_scope + number), 0};
  const CurrentContext current(driver_, context_);
  if (auto waits = wait_on(stream_of(stream.value), wait_for); !waits) {
    close_scope(fence);
    return refused(waits.error());
  }
  Lane& lane = lanes_[fence.timeline];
  Result<std::uint64_t> value = [&] {
    const MutexLock lock(lane.mutex);
    return lane.promise(driver_, stream.holder);
  }();
  if (!value) {
    close_scope(fence);
    return refused(value.error());
  }
  return Fence{fence.device, fence.timeline, *value};
}

Result<void> CudaDevice::submitted(Fence fence, ExternalMark stream) {
  Lane& lane = lanes_[fence.timeline];
  Result<void> done;
  {
    const CurrentContext current(driver_, context_);
    const MutexLock lock(lane.mutex);
    done = lane.keep(driver_, stream_of(stream.value), fence.value);
    // Work that cannot be watched any more delays no other.
    if (!done) lane.abandon(fence.value);
  }
  close_scope(fence);
  if (!done) return refused(done.error());
  return {};
}

void CudaDevice::nothing_submitted(Fence fence) noexcept {
  Lane& lane = lanes_[fence.timeline];
  {
    const MutexLock lock(lane.mutex);
    lane.abandon(fence.value);
  }
  close_scope(fence);
}

void CudaDevice::close_scope(Fence fence) noexcept {
  const MutexLock lock(mutex_);
  scope_is_open_[fence.timeline - first_scope] = false;
}

}  // namespace sluice::device::cuda
