// Launches: kernels and graphs may touch all managed memory.
#include "face/cuda/parameters.hpp"
#include "face/cuda/scope.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

constexpr Uses everything{};

CUstream stream_of(const CUlaunchConfig* config) noexcept {
  return config != nullptr ? reinterpret_cast<const LaunchConfig*>(config)->stream : nullptr;
}

}  // namespace

#define SLUICE_LAUNCH(name, of_stream)                                                            \
  SLUICE_WRAP(name, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,      \
                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, \
                     CUstream stream, void** parameters, void** extra)) {                         \
    const Parameters staged(function, parameters, extra);                                         \
    return in_scope(of_stream(stream), everything, [&] {                                          \
      return SLUICE_REAL(name)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,       \
                               shared_bytes, stream, staged.given(), staged.extra());             \
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
                               shared_bytes, stream, staged.given());                             \
    });                                                                                           \
  }
SLUICE_LAUNCH_TOGETHER(cuLaunchCooperativeKernel, )
SLUICE_LAUNCH_TOGETHER(cuLaunchCooperativeKernel_ptsz, per_thread)
#undef SLUICE_LAUNCH_TOGETHER

#define SLUICE_LAUNCH_CONFIGURED(name, of_stream)                                          \
  SLUICE_WRAP(name, (const CUlaunchConfig* config, CUfunction function, void** parameters, \
                     void** extra)) {                                                      \
    const Parameters staged(function, parameters, extra);                                  \
    return in_scope(of_stream(stream_of(config)), everything, [&] {                        \
      return SLUICE_REAL(name)(config, function, staged.given(), staged.extra());          \
    });                                                                                    \
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
