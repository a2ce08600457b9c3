// Opens the space, and finds ranges. What it does not do: leave out GPUs that the program does not
// use. Managed memory may be used by every context that exists, and by those that are made later.
#include "face/cuda/managed.hpp"

#include "base/ranked_mutex.hpp"
#include "device/cuda/cuda_device.hpp"
#include "os/report.hpp"
#include "os/uncancelled.hpp"

namespace sluice::cuda {

ManagedSpace& ManagedSpace::get() {
  static ManagedSpace& one = *new ManagedSpace;
  return one;
}

Result<void> ManagedSpace::open() {
  const os::Uncancelled whole_call;
  static const Result<void> opened = open_now();
  return opened;
}

Result<void> ManagedSpace::open_now() {
  SLUICE_ASSIGN(gpus, device::cuda::gpus());
  SpaceOptions options;
  options.software.count = 0;
  for (std::size_t gpu = 0; gpu < gpus.size(); ++gpu)
    options.cuda.gpus.push_back(static_cast<int>(gpu));
  auto opened = engine::Engine::open(options);
  if (!opened) {
    os::report("managed memory: %s", opened.error().detail().data());
    return tl::unexpected<Error>(opened.error());
  }
  engine_ = std::move(*opened);
  engine_->let_host_visit();
  const AddressSpan window = engine_->window();
  size_ = window.size;
  begin_.store(window.begin.value, std::memory_order_release);
  return {};
}

Result<RangeInfo> ManagedSpace::range_of(CUdeviceptr address) const {
  if (!owns(address)) return fail(ErrorCode::unknown_address, "%#llx is not managed", address);
  return engine_->range_of(Address{address});
}

bool ManagedSpace::holds(CUdeviceptr begin, std::size_t size) const {
  const auto range = range_of(begin);
  if (!range || size == 0) return false;
  const auto base = reinterpret_cast<CUdeviceptr>(range->base);
  return size <= range->size && begin - base <= range->size - size;
}

CUresult code_of(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::out_of_device_memory:
    case ErrorCode::out_of_host_memory:
      return out_of_memory;
    case ErrorCode::unsupported:
      return not_supported;
    case ErrorCode::unknown_device:
      return invalid_device;
    case ErrorCode::device_lost:
    case ErrorCode::device_fault:
      return 700;  // CUDA_ERROR_ILLEGAL_ADDRESS
    default:
      return invalid_value;
  }
}

}  // namespace sluice::cuda
