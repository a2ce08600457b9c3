// OpenclDevice: copies on two queues of our own, one for each direction, and fences that are
// events.
//
// A copy of a 4 KiB page costs the driver's time to enqueue, flush and complete a command. What it
// does not do: find out whether the driver's copy is short of memory (drivers report that when a
// command runs), access host memory from a kernel (OpenCL has no call for it), or reset a device.
#include "device/opencl/opencl_device.hpp"

#include <algorithm>

#include "os/report.hpp"

namespace sluice::device::opencl {

namespace {

constexpr char advice_for_svm[] =
    " SLUICE_OPENCL_BACKEND=buffers keeps a driver from the host's side of SVM";

}  // namespace

Result<std::unique_ptr<OpenclDevice>> OpenclDevice::open(const Driver& driver, int number,
                                                         const HostMemory& host,
                                                         std::size_t memory_size,
                                                         DeviceBytes& bytes, bool pins,
                                                         CopyWatch::Clock::duration report_after) {
  std::unique_ptr<OpenclDevice> device(
      new OpenclDevice(driver, number, host, memory_size, bytes, report_after));
  SLUICE_TRY(device->watch_.start());
  for (Engine& engine : device->engines_) {
    cl_int status = CL_SUCCESS;
    // The call of OpenCL 1.x: every driver has it.
    engine.queue = driver.calls->clCreateCommandQueue(driver.context, driver.device, 0, &status);
    if (engine.queue == nullptr) return driver_failed(status, "making a queue for copies");
  }
  SLUICE_TRY(device->pinned_.start());
  device->pins_ = pins;
  device->traits_.keeps_host_memory = pins;
  return device;
}

OpenclDevice::OpenclDevice(const Driver& driver, int number, const HostMemory& host,
                           std::size_t memory_size, DeviceBytes& bytes,
                           CopyWatch::Clock::duration report_after)
    : driver_(driver),
      number_(number),
      host_(host),
      bytes_(bytes),
      pinned_(driver, host_),
      watch_(report_after, bytes.have_host_side() ? advice_for_svm : "") {
  char name[256] = {};
  driver.calls->clGetDeviceInfo(driver.device, CL_DEVICE_NAME, sizeof(name) - 1, name, nullptr);
  traits_.name = name;
  traits_.memory_size = memory_size;
  traits_.mapping_granule = page_size;
  traits_.argument_limit = 0;
  traits_.copy_engines = 2;
  for (auto& timeline : timelines_) timeline = std::make_unique<EventTimeline>(driver);
}

OpenclDevice::~OpenclDevice() {
  for (Engine& engine : engines_) {
    if (engine.queue == nullptr) continue;
    driver_.calls->clFinish(engine.queue);
    driver_.calls->clReleaseCommandQueue(engine.queue);
  }
}

EventTimeline& OpenclDevice::timeline(std::uint16_t number) const noexcept {
  return *timelines_[number];
}

// --- memory: its place is given, only the amount is counted --------------------------------------

Result<Allocation> OpenclDevice::allocate(std::size_t /*size*/) {
  return fail(ErrorCode::unsupported, "memory of an OpenCL context has its place by address");
}

Result<Allocation> OpenclDevice::allocate_at(Address at, std::size_t size) {
  if (in_use_.fetch_add(size) + size > traits_.memory_size) {
    in_use_ -= size;
    return fail(ErrorCode::out_of_device_memory, "%zu bytes are in use; %zu more do not fit",
                in_use_.load(), size);
  }
  return Allocation{at.value, size};
}

void OpenclDevice::release(Allocation allocation) noexcept { in_use_ -= allocation.size; }

Result<Fence> OpenclDevice::update_mappings(std::span<const MappingCommand> commands) {
  for (const MappingCommand& command : commands)
    if (command.rights != Rights::none && command.backing.location.is_host())
      return fail(ErrorCode::busy, "%#lx is leased in host memory, which kernels cannot reach",
                  command.address.value);
  return Fence{};
}

// --- copies --------------------------------------------------------------------------------------

// The last of the commands that `enqueue` enqueues carries the event; they run in order.
template <typename Enqueue>
Result<Fence> OpenclDevice::submit(std::uint16_t number, const CopyWatch::Copy& copy,
                                   Enqueue&& enqueue) {
  Engine& engine = engines_[number];
  const CopyWatch::Waiter watched(watch_, copy);
  MutexLock lock(engine.mutex);
  SLUICE_ASSIGN(value, timeline(number).reserve());
  engine.copies.set(value, copy);
  cl_event event = nullptr;
  const cl_int status = enqueue(engine.queue, &event);
  driver_.calls->clFlush(engine.queue);
  timeline(number).attach(value, event);
  if (status == CL_SUCCESS) return Fence{static_cast<std::int16_t>(number_), number, value};
  driver_.calls->clFinish(engine.queue);  // those before it use the caller's bytes
  return driver_failed(status, "a copy");
}

// The host's and the device's side of a command.
OpenclDevice::Ends OpenclDevice::ends_of(const CopyCommand& command) noexcept {
  const bool home = command.to.location.is_host();
  const Place& host = home ? command.to : command.from;
  const Place& inside = home ? command.from : command.to;
  return {home, Address{host.offset}, Address{inside.allocation + inside.offset}, command.size};
}

// In parts, each within one registration and one buffer; the last carries the event.
cl_int OpenclDevice::enqueue(cl_command_queue queue, const Ends& ends, cl_event* event) {
  for (std::size_t done = 0;;) {
    const Address at = ends.host + done;
    const Address device = ends.device + done;
    const std::size_t size =
        std::min(pinned_.together(at, ends.size - done), bytes_.contiguous_from(device));
    std::byte* const host = host_.alias + (at - host_.window.begin);
    if (size == 0) return CL_INVALID_MEM_OBJECT;
    done += size;
    cl_event* const last = done == ends.size ? event : nullptr;
    const cl_int status = ends.home ? bytes_.read(queue, host, device, size, last)
                                    : bytes_.write(queue, device, host, size, last);
    if (status != CL_SUCCESS || done == ends.size) return status;
  }
}

Result<Fence> OpenclDevice::copy(std::span<const CopyCommand> commands) {
  if (pins_) (void)pinned_.pin(commands);
  // A plan's copies may go in both directions, so both are looked at, in order.
  Fence fence;
  while (!commands.empty()) {
    const bool home = ends_of(commands.front()).home;
    std::size_t count = 1;
    while (count < commands.size() && ends_of(commands[count]).home == home) ++count;
    const Ends last = ends_of(commands[count - 1]);
    const CopyWatch::Copy named{home ? "a copy to the host in the layer's own queue"
                                     : "a copy to the device in the layer's own queue",
                                last.host, last.size};
    SLUICE_ASSIGN(done, submit(home ? to_host : to_device, named,
                               [&](cl_command_queue queue, cl_event* event) {
                                 return enqueue(queue, commands.first(count), event);
                               }));
    commands = commands.subspan(count);
    // Rare: the other direction follows, and one fence must stand for both.
    if (!commands.empty()) SLUICE_TRY(wait(done, {}));
    fence = done;
  }
  return fence;
}

// Blocks that follow each other on both sides are one copy: a driver is a tenth faster with 32 MiB
// than with 2.
cl_int OpenclDevice::enqueue(cl_command_queue queue, std::span<const CopyCommand> run,
                             cl_event* event) {
  for (std::size_t i = 0;;) {
    Ends ends = ends_of(run[i++]);
    for (; i < run.size(); ++i) {
      const Ends next = ends_of(run[i]);
      if (next.host != ends.host + ends.size || next.device != ends.device + ends.size) break;
      ends.size += next.size;
    }
    const cl_int status = enqueue(queue, ends, i == run.size() ? event : nullptr);
    if (status != CL_SUCCESS || i == run.size()) return status;
  }
}

void OpenclDevice::forget_host_memory(AddressSpan span) noexcept { pinned_.unpin(span); }

Result<Fence> OpenclDevice::fill(std::span<const FillCommand> commands) {
  if (commands.empty()) return Fence{};
  const FillCommand& first = commands.front();
  const CopyWatch::Copy named{
      "a fill in the layer's own queue", {first.to.allocation + first.to.offset}, first.size};
  return submit(to_device, named, [&](cl_command_queue queue, cl_event* event) {
    cl_int status = CL_SUCCESS;
    for (std::size_t i = 0; i < commands.size() && status == CL_SUCCESS; ++i) {
      const FillCommand& command = commands[i];
      const std::byte pattern{command.value};
      status = bytes_.fill(queue, {command.to.allocation + command.to.offset}, {&pattern, 1},
                           command.size, {}, i + 1 == commands.size() ? event : nullptr);
    }
    return status;
  });
}

// --- launches ------------------------------------------------------------------------------------

ExternalQueue OpenclDevice::queue_by_number(std::uint32_t number) noexcept {
  constexpr std::uint32_t queues = timeline_limit - first_queue;
  return {first_queue + number % queues};
}

Result<QueueId> OpenclDevice::create_queue() {
  return fail(ErrorCode::unsupported, "OpenCL's queues are the program's own objects");
}

void OpenclDevice::destroy_queue(QueueId /*queue*/) noexcept {}

Result<KernelId> OpenclDevice::find_kernel(std::string_view /*module*/, std::string_view name) {
  return fail(ErrorCode::unsupported, "%.*s: OpenCL's kernels are the program's own objects",
              static_cast<int>(name.size()), name.data());
}

Result<Fence> OpenclDevice::launch(QueueId /*queue*/, const LaunchCommand& /*command*/) {
  return fail(ErrorCode::unsupported, "OpenCL's kernels are the program's own objects");
}

Result<Fence> OpenclDevice::begin(ExternalQueue queue, std::span<const Fence> /*wait_for*/) {
  const auto number = static_cast<std::uint16_t>(queue.value);
  SLUICE_ASSIGN(value, timeline(number).reserve());
  return Fence{static_cast<std::int16_t>(number_), number, value};
}

Result<void> OpenclDevice::submitted(Fence fence, ExternalMark event) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  timeline(fence.timeline).attach(fence.value, reinterpret_cast<cl_event>(event.value));
  return {};
}

void OpenclDevice::nothing_submitted(Fence fence) noexcept {
  timeline(fence.timeline).attach(fence.value, nullptr);
}

FenceState OpenclDevice::poll(Fence fence) const noexcept {
  return fence.device < 0 ? FenceState::complete : timeline(fence.timeline).poll(fence.value);
}

Result<void> OpenclDevice::wait(Fence fence, const Wait& how) const {
  if (fence.device < 0) return {};
  const EventTimeline& waited_for = timeline(fence.timeline);
  // A kernel may run long, and an access that waits for one has its own report.
  if (fence.timeline >= first_queue || waited_for.poll(fence.value) != FenceState::pending)
    return waited_for.wait(fence.value, how);
  const CopyWatch::Waiter watched(watch_, engines_[fence.timeline].copies.get(fence.value));
  return waited_for.wait(fence.value, how);
}

Result<void> OpenclDevice::reset() {
  return fail(ErrorCode::unsupported, "OpenCL has no call that resets a device");
}

}  // namespace sluice::device::opencl
