// A GPU's life: opening, memory, fences, loss and reset.
//
// A fence is waited for by looking at its word, or at its event if more was launched since: without
// pause for the time of a copy, then with short sleeps, in which the driver is asked now and then
// whether the GPU failed. CUDA keeps such an error permanently: only a new process can use the GPU
// again, so a lost GPU stays lost. What it does not do: bound the time of kernels. CUDA can end one
// only by ending its process.
#include "device/cuda/gpu_device.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "device/cuda/kernels/builtin.hpp"

namespace sluice::device::cuda {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t word_stride = 8;  // words; a cache line
constexpr auto spin_time = 120us;       // a copy of 2 MiB takes 45 us
constexpr auto longest_sleep = 50us;
constexpr auto between_looks = 2ms;
constexpr std::size_t largest_arguments = 4080;  // of the 4096 bytes that a launch carries
constexpr int largest_memory_share = 9;          // tenths of the free memory

// Addresses reserved for overflow; memory is taken only when bytes overflow.
std::size_t host_memory_size() {
  const auto pages = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES));
  return round_up(pages * page_size, block_size);
}

Error device_is_lost(int number) { return {ErrorCode::device_lost, "device %d is lost", number}; }

// Sleeps, but not beyond the deadline. False: a signal was handled.
bool sleep_for(std::chrono::nanoseconds time) {
  const timespec moment{0, static_cast<long>(time.count())};
  return nanosleep(&moment, nullptr) == 0 || errno != EINTR;
}

}  // namespace

Result<std::unique_ptr<Device>> open(const CudaOptions& options, const HostMemory& host,
                                     EventSink& sink) {
  if (options.number < 0 || options.number >= max_devices)
    return fail(ErrorCode::invalid_argument, "device number %d; it must be 0 to %d", options.number,
                max_devices - 1);
  if (options.memory_size % block_size != 0)
    return fail(ErrorCode::invalid_argument,
                "%zu bytes of device memory; it must be a multiple of %zu", options.memory_size,
                block_size);
  SLUICE_ASSIGN(found, gpus());
  if (options.gpu < 0 || static_cast<std::size_t>(options.gpu) >= found.size())
    return fail(ErrorCode::unknown_device, "there is no GPU %d; the driver finds %zu", options.gpu,
                found.size());
  SLUICE_ASSIGN(driver, Driver::load());
  CUcontext context = nullptr;
  if (const CUresult error = driver->context_retain(&context, options.gpu); error != success)
    return driver->failed(error, "cuDevicePrimaryCtxRetain");
  const CurrentContext current(*driver, context);
  auto platform = Platform::of(host, sink);
  if (!platform) {
    (void)driver->context_release(options.gpu);
    return tl::unexpected<Error>(platform.error());
  }
  auto device = std::make_unique<CudaDevice>(options, *platform, context, sink);
  platform->reset();
  SLUICE_TRY(device->start());
  return device;
}

CudaDevice::CudaDevice(const CudaOptions& options, std::shared_ptr<Platform> platform,
                       CUcontext context, EventSink& sink)
    : options_(options),
      platform_(std::move(platform)),
      driver_(platform_->driver),
      sink_(sink),
      context_(context) {}

Result<void> CudaDevice::start() {
  const CurrentContext current(driver_, context_);
  SLUICE_TRY(platform_->join(options_.number, *this));
  joined_ = true;
  platform_->page_table.admit(options_.number, options_.gpu);

  std::size_t free = 0;
  std::size_t total = 0;
  (void)driver_.memory_info(&free, &total);
  const std::size_t size = options_.memory_size != 0
                               ? options_.memory_size
                               : round_down(free / 10 * largest_memory_share, block_size);
  std::vector<int> users = options_.peers;
  if (users.empty()) users.push_back(options_.gpu);
  std::sort(users.begin(), users.end());
  users.erase(std::unique(users.begin(), users.end()), users.end());
  std::erase_if(users, [this](int gpu) {
    int can = gpu == options_.gpu ? 1 : 0;
    if (can == 0) (void)driver_.can_access_peer(&can, gpu, options_.gpu);
    return can == 0;
  });
  memory_ = std::make_unique<MemoryPool>(driver_, platform_->page_table,
                                         CUmemLocation{location_device, options_.gpu}, users, size);
  SLUICE_TRY(memory_->start());
  int node = 0;
  int in_host = 0;
  (void)driver_.device_attribute(&node, attribute_host_numa_node, options_.gpu);
  (void)driver_.device_attribute(&in_host, attribute_host_numa_memory, options_.gpu);
  overflow_ = std::make_unique<MemoryPool>(driver_, platform_->page_table,
                                           CUmemLocation{location_host_numa, std::max(node, 0)},
                                           users, host_memory_size());
  SLUICE_TRY(overflow_->start());
  int atomics = 0;
  (void)driver_.device_attribute(&atomics, attribute_host_native_atomics, options_.gpu);
  (void)driver_.device_attribute(&multiprocessors_, attribute_multiprocessors, options_.gpu);

  char name[128] = "";
  (void)driver_.device_name(name, sizeof name, options_.gpu);
  traits_.name = name;
  traits_.memory_size = size;
  traits_.mapping_granule = block_size;
  traits_.host_granule = page_size;
  traits_.argument_limit = largest_arguments;
  traits_.copy_engines = 2;
  traits_.maps_host_ranges = platform_->host.host_zone.size != 0;
  traits_.copies_from_peers = true;
  traits_.maps_peers = true;
  traits_.shares_addresses = true;
  overflows_ = in_host != 0;
  traits_.keeps_host_memory = true;
  traits_.maps_in_the_call = true;
  traits_.native_atomics = atomics != 0;
  SLUICE_TRY(open_lanes());
  // Before anything runs.
  const MutexLock lock(mutex_);
  if (!builtin_kernels().empty()) SLUICE_TRY(load({}));
  return {};
}

Result<void> CudaDevice::open_lanes() {
  void* memory = nullptr;
  const std::size_t size = lanes_.size() * word_stride * sizeof *words_;
  if (const CUresult error =
          driver_.host_allocate(&memory, size, register_portable | register_device_map);
      error != success)
    return driver_.failed(error, "cuMemHostAlloc");
  words_ = static_cast<std::atomic<std::uint64_t>*>(memory);
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    words_[i * word_stride] = 0;
    lanes_[i].use(&words_[i * word_stride]);
  }
  // Ahead of the program's own copies: an access or a launch waits for these.
  for (std::uint16_t lane = 0; lane <= inside; ++lane)
    SLUICE_TRY(lanes_[lane].open(driver_, priority_first));
  return {};
}

CudaDevice::~CudaDevice() {
  {
    const CurrentContext current(driver_, context_);
    for (Lane& lane : lanes_) {
      if (lane.stream() != nullptr && !lost_) (void)driver_.stream_synchronize(lane.stream());
      lane.close(driver_);
    }
    if (joined_) platform_->page_table.clear(options_.number);
    overflow_.reset();
    memory_.reset();
    for (const Module& module : modules_) (void)driver_.module_unload(module.module);
    if (words_ != nullptr) (void)driver_.host_free(words_);
  }
  if (joined_) platform_->leave(options_.number);
  // The last device takes the reservation down, for which there must still be a context.
  {
    const CurrentContext current(driver_, context_);
    platform_.reset();
  }
  (void)driver_.context_release(options_.gpu);
}

Result<void> CudaDevice::alive() const {
  if (lost_) return tl::unexpected<Error>(device_is_lost(options_.number));
  return {};
}

void CudaDevice::lose(CUresult error) const noexcept {
  if (lost_.exchange(true)) return;
  const char* name = "unknown error";
  (void)driver_.error_name(error, &name);
  sink_.device_lost(options_.number, Error(ErrorCode::device_lost,
                                           "%s; the GPU can be used again by a new process", name));
}

tl::unexpected<Error> CudaDevice::refused(Error error) const noexcept {
  (void)look_for_failure();
  return tl::unexpected<Error>(lost_ ? device_is_lost(options_.number) : error);
}

// --- memory --------------------------------------------------------------------------------------

Result<void> CudaDevice::check_allocation(std::size_t size) const {
  SLUICE_TRY(alive());
  if (size == 0 || size % page_size != 0 || size > block_size)
    return fail(ErrorCode::invalid_argument,
                "an allocation of %zu bytes; it is whole pages, up to %zu bytes", size, block_size);
  return {};
}

Result<Allocation> CudaDevice::allocate(std::size_t size) {
  SLUICE_TRY(check_allocation(size));
  const CurrentContext current(driver_, context_);
  SLUICE_ASSIGN(offset, memory_->allocate(size));
  return Allocation{AllocationHandle{generation_.load(), offset, size}.packed(), size};
}

Result<Allocation> CudaDevice::allocate_for(Address at, std::size_t size) {
  SLUICE_TRY(check_allocation(size));
  if (!Platform::addresses_of(platform_->host).contains(at) || at.value % block_size != 0)
    return allocate(size);
  const CurrentContext current(driver_, context_);
  SLUICE_ASSIGN(offset, memory_->allocate_for(at, size));
  return Allocation{AllocationHandle{generation_.load(), offset, size}.packed(), size};
}

// Offsets beyond the device's own memory.
Result<Allocation> CudaDevice::allocate_in_host(std::size_t size) {
  SLUICE_TRY(check_allocation(size));
  const CurrentContext current(driver_, context_);
  SLUICE_ASSIGN(offset, overflow_->allocate(size));
  return Allocation{AllocationHandle{generation_.load(), memory_->size() + offset, size}.packed(),
                    size};
}

void CudaDevice::release(Allocation allocation) noexcept {
  const AllocationHandle handle = AllocationHandle::of(allocation.handle);
  if (!holds(handle)) return;
  if (handle.offset < memory_->size())
    memory_->release(handle.offset, handle.size);
  else
    overflow_->release(handle.offset - memory_->size(), handle.size);
}

bool CudaDevice::holds(const AllocationHandle& handle) const noexcept {
  if (handle.generation != (generation_ & 0xffff)) return false;
  const bool own = handle.offset < memory_->size();
  return own ? memory_->holds(handle.offset) : overflow_->holds(handle.offset - memory_->size());
}

// --- fences --------------------------------------------------------------------------------------

Result<void> CudaDevice::check(Fence fence) const {
  if (fence.device < 0) return {};
  if (fence.device != options_.number || fence.timeline >= lane_count ||
      !lanes_[fence.timeline].is_known(fence.value))
    return fail(ErrorCode::invalid_argument,
                "no fence of device %d: device %d, timeline %u, value %llu", options_.number,
                fence.device, fence.timeline, static_cast<unsigned long long>(fence.value));
  return {};
}

FenceState CudaDevice::poll(Fence fence) const noexcept {
  if (fence.device < 0) return FenceState::complete;
  if (!check(fence)) return FenceState::failed;
  Lane& lane = lanes_[fence.timeline];
  if (lane.is_complete(fence.value)) return FenceState::complete;
  if (lost_) return FenceState::failed;
  if (lane.is_open()) lane.ask();
  if (!is_of_queue(fence) || lane.is_announced(fence.value)) return FenceState::pending;
  CUresult answer = success;
  {
    const CurrentContext current(driver_, context_);
    const MutexLock lock(lane.mutex);
    answer = lane.look(driver_, fence.value);
  }
  if (answer == success) return FenceState::complete;
  if (answer == error_not_ready) return FenceState::pending;
  lose(answer);
  return FenceState::failed;
}

bool CudaDevice::may_be_pending(Fence fence) const noexcept {
  return fence.device >= 0 && !lost_ && !lanes_[fence.timeline].is_complete(fence.value);
}

void CudaDevice::announce(Fence fence) const {
  if (fence.device < 0 || !is_of_queue(fence) || lost_) return;
  const CurrentContext current(driver_, context_);
  Lane& lane = lanes_[fence.timeline];
  const MutexLock lock(lane.mutex);
  // If it cannot be written, it is looked for.
  (void)lane.announce(driver_, fence.value);
}

Result<void> CudaDevice::wait(Fence fence, const Wait& how) const {
  SLUICE_TRY(check(fence));
  announce(fence);
  const Clock::time_point began = Clock::now();
  Clock::time_point next_look = began + between_looks;
  auto sleep = std::chrono::nanoseconds(10us);
  while (true) {
    switch (poll(fence)) {
      case FenceState::complete:
        return {};
      case FenceState::failed:
        return tl::unexpected<Error>(device_is_lost(options_.number));
      case FenceState::pending:
        break;
    }
    const Clock::time_point now = Clock::now();
    if (now >= how.deadline)
      return fail(ErrorCode::timed_out, "device %d: timeline %u has not reached %llu",
                  options_.number, fence.timeline, static_cast<unsigned long long>(fence.value));
    if (now - began < spin_time) {
      std::this_thread::yield();
      continue;
    }
    if (now >= next_look) {
      next_look = now + between_looks;
      (void)look_for_failure();
    }
    const auto left = how.deadline == Clock::time_point::max() ? longest_sleep : how.deadline - now;
    if (!sleep_for(std::min<std::chrono::nanoseconds>(sleep, left)) && how.interruptible)
      return fail(ErrorCode::interrupted, "a signal ended the wait for device %d", options_.number);
    sleep = std::min<std::chrono::nanoseconds>(2 * sleep, longest_sleep);
  }
}

Result<void> CudaDevice::look_for_failure() const {
  const CurrentContext current(driver_, context_);
  const CUresult error = driver_.stream_query(lanes_[inside].stream());
  if (error == success || error == error_not_ready) return {};
  lose(error);
  return tl::unexpected<Error>(device_is_lost(options_.number));
}

// --- reset ---------------------------------------------------------------------------------------

Result<void> CudaDevice::reset() {
  if (lost_)
    return fail(ErrorCode::unsupported,
                "CUDA keeps a GPU's error until its process ends; start the program again");
  const CurrentContext current(driver_, context_);
  for (const Lane& lane : lanes_)
    if (lane.stream() != nullptr) (void)driver_.stream_synchronize(lane.stream());
  ++generation_;
  platform_->page_table.clear(options_.number);
  memory_->clear();
  overflow_->clear();
  const MutexLock lock(mutex_);
  for (const Module& module : modules_) (void)driver_.module_unload(module.module);
  modules_.clear();
  functions_.clear();
  return {};
}

}  // namespace sluice::device::cuda
