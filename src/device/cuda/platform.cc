// Platforms by their event sink, and the survey of the machine.
#include "device/cuda/platform.hpp"

#include <map>

#include "device/cuda/cuda_device.hpp"
#include "os/per_process.hpp"

namespace sluice::device::cuda {
namespace {

struct Platforms {
  RankedMutex mutex{LockRank::devices, "CUDA platforms"};
  std::map<const EventSink*, std::weak_ptr<Platform>> by_sink SLUICE_GUARDED_BY(mutex);
};

}  // namespace

Result<std::shared_ptr<Platform>> Platform::of(const HostMemory& host, const EventSink& sink) {
  SLUICE_ASSIGN(driver, Driver::load());
  Platforms& all = os::per_process<Platforms>();
  const MutexLock lock(all.mutex);
  std::erase_if(all.by_sink, [](const auto& entry) { return entry.second.expired(); });
  if (auto found = all.by_sink[&sink].lock()) return found;
  auto made = std::make_shared<Platform>(*driver, host);
  SLUICE_TRY(made->pinned.start());
  SLUICE_TRY(made->page_table.start());
  all.by_sink[&sink] = made;
  return made;
}

Result<void> Platform::join(int number, CudaDevice& device) {
  CudaDevice* none = nullptr;
  if (members_[static_cast<std::size_t>(number)].compare_exchange_strong(none, &device)) return {};
  return fail(ErrorCode::busy, "device %d is open already", number);
}

Result<Contexts> Contexts::hold(const std::vector<int>& gpus) {
  Contexts contexts;
  if (gpus.empty()) return contexts;
  SLUICE_ASSIGN(driver, Driver::load());
  for (const int gpu : gpus) {
    CUcontext context = nullptr;
    // A GPU that does not exist is refused by name when its device is opened.
    if (driver->context_retain(&context, gpu) == success) contexts.gpus_.push_back(gpu);
  }
  return contexts;
}

Contexts::~Contexts() {
  for (const int gpu : gpus_) (void)(*Driver::load())->context_release(gpu);
}

Result<std::vector<Gpu>> gpus() {
  SLUICE_ASSIGN(driver, Driver::load());
  int count = 0;
  if (const CUresult error = driver->device_count(&count); error != success)
    return driver->failed(error, "cuDeviceGetCount");
  if (count == 0) return fail(ErrorCode::unsupported, "the CUDA driver finds no GPU");
  std::vector<Gpu> found(static_cast<std::size_t>(count));
  for (int gpu = 0; gpu < count; ++gpu) {
    char name[128] = "";
    std::size_t size = 0;
    (void)driver->device_name(name, sizeof name, gpu);
    (void)driver->device_memory(&size, gpu);
    int atomics = 0;
    (void)driver->device_attribute(&atomics, attribute_host_native_atomics, gpu);
    found[static_cast<std::size_t>(gpu)] = {name, size, atomics != 0};
  }
  return found;
}

}  // namespace sluice::device::cuda
