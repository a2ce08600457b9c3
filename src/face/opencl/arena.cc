// Opening an arena, and the source of its ranges.
//
// Over SVM the application view replaces the host's side of the driver's allocation (tried on
// NVIDIA's driver: kernels go on using the device's memory, and SVM copies between a pointer in it
// and the alias view move bytes between the two). Whole blocks inside the allocation are taken, so
// the bytes around them stay the driver's. At the end plain memory is put back before the driver
// frees it. An arena costs the threads of a space.
#include "arena.hpp"

#include <chrono>

#include "options.hpp"
#include "svm_trial.hpp"

namespace sluice::opencl {

using device::opencl::BufferBytes;
using device::opencl::driver_failed;
using device::opencl::OpenclDevice;
using device::opencl::SvmBytes;

namespace {

// The time after which a line reports a waiting access and its cause: a kernel
// (SpaceOptions::access_timeout), or the driver.
constexpr std::chrono::seconds patience{10};

}  // namespace

// Ranges of the arena's space, each with its buffer where there are buffers.
class Arena::Source final : public RangeSource {
 public:
  explicit Source(Arena& arena) noexcept : arena_(arena) {}

  Result<std::byte*> take(std::size_t size) override {
    SLUICE_ASSIGN(base, arena_.engine().allocate(size, Kind::shared, -1, HostPages::automatic));
    if (arena_.buffers_ != nullptr) {
      const cl_int status = arena_.buffers_->add({base, round_up(size, page_size)});
      if (status != CL_SUCCESS) {
        (void)arena_.engine().free(base, engine::FreeMode::wait);
        return driver_failed(status, "clCreateBuffer");
      }
    }
    return reinterpret_cast<std::byte*>(base.value);  // NOLINT(performance-no-int-to-ptr)
  }
  void give_back(std::byte* base) noexcept override {
    const Address begin = Address::of(base);
    BufferBytes* const buffers = arena_.buffers_;
    const cl_mem buffer = buffers == nullptr ? nullptr : buffers->find(begin).buffer;
    (void)arena_.engine().free(begin, engine::FreeMode::wait);
    // Meanwhile another thread may have been given the addresses.
    if (buffers != nullptr) buffers->remove(begin, buffer);
  }
  std::size_t alignment_of(std::size_t /*size*/) const noexcept override { return block_size; }

 private:
  Arena& arena_;
};

Result<std::unique_ptr<Arena>> Arena::over_svm(const device::opencl::Driver& driver,
                                               std::size_t size) {
  std::unique_ptr<Arena> arena(new Arena(driver));
  const std::size_t whole = round_up(size, block_size) + block_size;
  arena->svm_ = driver.calls->clSVMAlloc(driver.context, CL_MEM_READ_WRITE, whole, 0);
  if (arena->svm_ == nullptr)
    return fail(ErrorCode::out_of_device_memory, "clSVMAlloc refuses %zu bytes", whole);
  if (try_svm(driver.device).host_side == SvmTrial::HostSide::sent_once)
    SLUICE_TRY(arena->give_to_device(whole));
  const std::size_t first = Address::of(arena->svm_).value;
  const Address begin{round_up(first, block_size)};
  const AddressSpan window{begin, round_down(first + whole, block_size) - begin.value};
  arena->bytes_ = std::make_unique<SvmBytes>(driver);
  SLUICE_TRY(arena->open(window.size, window));
  return arena;
}

// Keeps the driver from sending the host's bytes of its own accord: it would read the application
// view, perhaps under a lock that is needed by the copy which answers the access.
Result<void> Arena::give_to_device(std::size_t size) const {
  const cl_icd_dispatch& calls = *driver_.calls;
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue =
      calls.clCreateCommandQueue(driver_.context, driver_.device, 0, &status);
  if (queue == nullptr) return driver_failed(status, "making a queue");
  constexpr cl_uint zero = 0;
  status = calls.clEnqueueSVMMemFill(queue, svm_, &zero, sizeof(zero), size, 0, nullptr, nullptr);
  if (status == CL_SUCCESS) status = calls.clFinish(queue);
  calls.clReleaseCommandQueue(queue);
  if (status != CL_SUCCESS) return driver_failed(status, "filling an arena");
  return {};
}

Result<std::unique_ptr<Arena>> Arena::beside_buffers(const device::opencl::Driver& driver,
                                                     std::size_t common) {
  std::unique_ptr<Arena> arena(new Arena(driver));
  cl_ulong memory = 0;
  driver.calls->clGetDeviceInfo(driver.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory,
                                nullptr);
  auto buffers = std::make_unique<BufferBytes>(driver);
  arena->buffers_ = buffers.get();
  arena->bytes_ = std::move(buffers);
  SLUICE_TRY(arena->open(memory, std::nullopt));
  arena->buffers_->share_one_buffer(arena->window_.begin, common);
  return arena;
}

Result<void> Arena::open(std::size_t memory_size, std::optional<AddressSpan> window) {
  driver_.calls->clRetainContext(driver_.context);
  retained_ = true;
  engine::ExternalBackends external;
  external.window = window;
  external.devices.emplace_back(
      [&](int number, const device::HostMemory& host,
          device::EventSink& /*events*/) -> Result<std::unique_ptr<device::Device>> {
        alias_ = host.alias;
        window_ = host.window;
        SLUICE_ASSIGN(opened, OpenclDevice::open(driver_, number, host, memory_size, *bytes_,
                                                 choose(driver_.device).pins, patience));
        device_ = opened.get();
        return std::move(opened);
      });
  SpaceOptions space;
  space.software.count = 0;
  space.best_grade = options().best_grade;
  space.host_pages = options().pages;
  space.access_timeout = patience;
  space.overflow = Overflow::refuse;  // kernels cannot access host memory
  SLUICE_ASSIGN(engine, engine::Engine::open(space, external));
  engine_ = std::move(engine);
  pool_ = std::make_unique<PiecePool>(std::make_unique<Source>(*this));
  return {};
}

Arena::~Arena() {
  pool_.reset();
  engine_.reset();
  bytes_.reset();
  if (svm_ != nullptr) driver_.calls->clSVMFree(driver_.context, svm_);
  if (retained_) driver_.calls->clReleaseContext(driver_.context);
}

}  // namespace sluice::opencl
