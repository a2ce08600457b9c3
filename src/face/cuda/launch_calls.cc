// Launches: kernels and graphs may touch all managed memory.
//
// Parameters that lie in managed memory are copied out first: the driver reads them under a lock
// that the answer to an access may need.
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "face/cuda/scope.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

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

// The parameters of a launch, where the driver can read them.
class Parameters {
 public:
  Parameters(CUfunction function, void** given) : given_(given) {
    const ManagedSpace& managed = ManagedSpace::get();
    if (given == nullptr || !managed.is_open()) return;
    const bool list_is_managed = managed.owns(static_cast<const void*>(given));
    std::vector<std::size_t> sizes;
    bool any = list_is_managed;
    for (std::size_t size = 0; (size = parameter_size(function, sizes.size())) != 0;) {
      any = any || managed.owns(given[sizes.size()]);
      sizes.push_back(size);
    }
    if (!any) return;
    constexpr std::size_t unit = alignof(std::max_align_t);
    std::size_t total = 0;
    for (const std::size_t size : sizes) total += (size + unit - 1) / unit * unit;
    bytes_.resize(total);
    std::size_t at = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      std::memcpy(bytes_.data() + at, given[i], sizes[i]);
      list_.push_back(bytes_.data() + at);
      at += (sizes[i] + unit - 1) / unit * unit;
    }
    given_ = list_.data();
  }
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  [[nodiscard]] void** get() const noexcept { return given_; }

 private:
  void** given_;
  std::vector<std::byte> bytes_;
  std::vector<void*> list_;
};

constexpr Uses everything{};

CUstream stream_of(const CUlaunchConfig* config) noexcept {
  return config != nullptr ? reinterpret_cast<const LaunchConfig*>(config)->stream : nullptr;
}

}  // namespace

#define SLUICE_LAUNCH(name, of_stream)                                                            \
  SLUICE_WRAP(name, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,      \
                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, \
                     CUstream stream, void** parameters, void** extra)) {                         \
    const Parameters staged(function, parameters);                                                \
    return in_scope(of_stream(stream), everything, [&] {                                          \
      return SLUICE_REAL(name)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,       \
                               shared_bytes, stream, staged.get(), extra);                        \
    });                                                                                           \
  }
SLUICE_LAUNCH(cuLaunchKernel, )
SLUICE_LAUNCH(cuLaunchKernel_ptsz, per_thread)
#undef SLUICE_LAUNCH

#define SLUICE_LAUNCH_TOGETHER(name, of_stream)                                                   \
  SLUICE_WRAP(name, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,      \
                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, \
                     CUstream stream, void** parameters)) {                                       \
    const Parameters staged(function, parameters);                                                \
    return in_scope(of_stream(stream), everything, [&] {                                          \
      return SLUICE_REAL(name)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,       \
                               shared_bytes, stream, staged.get());                               \
    });                                                                                           \
  }
SLUICE_LAUNCH_TOGETHER(cuLaunchCooperativeKernel, )
SLUICE_LAUNCH_TOGETHER(cuLaunchCooperativeKernel_ptsz, per_thread)
#undef SLUICE_LAUNCH_TOGETHER

#define SLUICE_LAUNCH_CONFIGURED(name, of_stream)                                              \
  SLUICE_WRAP(name, (const CUlaunchConfig* config, CUfunction function, void** parameters,     \
                     void** extra)) {                                                          \
    const Parameters staged(function, parameters);                                             \
    return in_scope(of_stream(stream_of(config)), everything,                                  \
                    [&] { return SLUICE_REAL(name)(config, function, staged.get(), extra); }); \
  }
SLUICE_LAUNCH_CONFIGURED(cuLaunchKernelEx, )
SLUICE_LAUNCH_CONFIGURED(cuLaunchKernelEx_ptsz, per_thread)
#undef SLUICE_LAUNCH_CONFIGURED

SLUICE_WRAP(cuGraphLaunch, (CUgraphExec graph, CUstream stream)) {
  return in_scope(stream, everything, [&] { return SLUICE_REAL(cuGraphLaunch)(graph, stream); });
}

SLUICE_WRAP(cuGraphLaunch_ptsz, (CUgraphExec graph, CUstream stream)) {
  return in_scope(per_thread(stream), everything,
                  [&] { return SLUICE_REAL(cuGraphLaunch_ptsz)(graph, stream); });
}

}  // namespace sluice::cuda
