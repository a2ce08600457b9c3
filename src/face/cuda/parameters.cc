// The sizes of a kernel's parameters are asked for once. What it does not do: follow pointers.
#include "face/cuda/parameters.hpp"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "base/ranked_mutex.hpp"
#include "face/cuda/managed.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

using Sizes = std::vector<std::size_t>;
using SharedSizes = std::shared_ptr<const Sizes>;

constexpr std::size_t unit = alignof(std::max_align_t);
constexpr std::size_t whole_units(std::size_t size) { return (size + unit - 1) / unit * unit; }

// CU_LAUNCH_PARAM_*: keys of `extra`.
constexpr std::uintptr_t block_key = 1;
constexpr std::uintptr_t size_key = 2;

// The size of parameter `index`; 0: there is none.
std::size_t parameter_size(CUfunction function, std::size_t index) noexcept {
  using Ask = CUresult(CUfunction, std::size_t, std::size_t*, std::size_t*);
  static auto* const of_function = reinterpret_cast<Ask*>(find_real("cuFuncGetParamInfo"));
  static auto* const of_kernel = reinterpret_cast<Ask*>(find_real("cuKernelGetParamInfo"));
  std::size_t offset = 0;
  std::size_t size = 0;
  if (of_function != nullptr && of_function(function, index, &offset, &size) == success)
    return size;
  if (of_kernel != nullptr && of_kernel(function, index, &offset, &size) == success) return size;
  return 0;
}

// Thread-safe, never destroyed.
class KnownFunctions {
 public:
  [[nodiscard]] static KnownFunctions& get() {
    static KnownFunctions& known = *new KnownFunctions;
    return known;
  }
  // Valid until the thread asks again.
  [[nodiscard]] const Sizes& sizes_of(CUfunction function) {
    thread_local struct {
      CUfunction function = nullptr;
      std::uint64_t epoch = 0;
      SharedSizes sizes;
    } last;
    const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
    if (last.sizes == nullptr || last.function != function || last.epoch != epoch)
      last = {function, epoch, find(function)};
    return *last.sizes;
  }
  // A handle may become another kernel's.
  void forget_all() {
    const MutexLock lock(mutex_);
    by_function_.clear();
    ++epoch_;
  }

 private:
  [[nodiscard]] SharedSizes find(CUfunction function) {
    {
      const MutexLock lock(mutex_);
      const auto found = by_function_.find(function);
      if (found != by_function_.end()) return found->second;
    }
    auto sizes = std::make_shared<Sizes>();
    while (const std::size_t size = parameter_size(function, sizes->size())) sizes->push_back(size);
    const MutexLock lock(mutex_);
    return by_function_[function] = std::move(sizes);
  }

  RankedMutex mutex_{LockRank::objects, "CUDA functions"};
  std::unordered_map<CUfunction, SharedSizes> by_function_ SLUICE_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> epoch_{1};
};

bool is_managed(const void* pointer) noexcept { return ManagedSpace::get().owns(pointer); }

}  // namespace

Parameters::Parameters(CUfunction function, void** given, void** extra)
    : given_(given), extra_(extra) {
  if (!ManagedSpace::get().is_open()) return;
  if (given != nullptr)
    stage(function);
  else if (extra != nullptr)
    stage_extra();
}

void Parameters::stage(CUfunction function) {
  const Sizes& sizes = KnownFunctions::get().sizes_of(function);
  bool any = is_managed(static_cast<const void*>(given_));
  for (std::size_t i = 0; i < sizes.size() && !any; ++i) any = is_managed(given_[i]);
  if (!any) return;
  std::size_t total = 0;
  for (const std::size_t size : sizes) total += whole_units(size);
  bytes_.resize(total);
  std::byte* at = bytes_.data();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::memcpy(at, given_[i], sizes[i]);
    list_.push_back(at);
    at += whole_units(sizes[i]);
  }
  given_ = list_.data();
}

void Parameters::stage_extra() {
  const void* block = nullptr;
  const std::size_t* size = nullptr;
  bool any = is_managed(static_cast<const void*>(extra_));
  for (void** at = extra_; *at != nullptr; at += 2) {
    const auto key = reinterpret_cast<std::uintptr_t>(at[0]);
    if (key == block_key) block = at[1];
    if (key == size_key) size = static_cast<const std::size_t*>(at[1]);
    any = any || is_managed(at[1]);
  }
  if (!any || block == nullptr || size == nullptr) return;
  size_ = *size;
  bytes_.resize(size_);
  std::memcpy(bytes_.data(), block, size_);
  // NOLINTBEGIN(performance-no-int-to-ptr): the driver's keys
  list_ = {reinterpret_cast<void*>(block_key), bytes_.data(), reinterpret_cast<void*>(size_key),
           &size_, nullptr};
  // NOLINTEND(performance-no-int-to-ptr)
  extra_ = list_.data();
}

SLUICE_WRAP(cuModuleUnload, (device::cuda::CUmodule module)) {
  KnownFunctions::get().forget_all();
  return SLUICE_REAL(cuModuleUnload)(module);
}

SLUICE_WRAP(cuLibraryUnload, (void* library)) {
  KnownFunctions::get().forget_all();
  return SLUICE_REAL(cuLibraryUnload)(library);
}

}  // namespace sluice::cuda
