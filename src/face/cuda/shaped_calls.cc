// Copies and fills that are described rather than given as a span: rows and boxes, arrays, lists.
//
// They may touch any managed memory, as far as is looked at here: it costs what a launch costs, and
// brings what a launch would bring.
#include "face/cuda/scope.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
// NOLINTBEGIN(bugprone-macro-parentheses): lists in parentheses, and suffixes
#define SLUICE_ANY(name, in_stream, parameters, arguments)                       \
  SLUICE_WRAP(name, parameters) {                                                \
    return in_scope(in_stream, {}, [&] { return SLUICE_REAL(name) arguments; }); \
  }
// Each in the default stream of all threads, and in the thread's own.
#define SLUICE_ANY_AT_ONCE(name, parameters, arguments) \
  SLUICE_ANY(name, nullptr, parameters, arguments)      \
  SLUICE_ANY(name##_ptds, per_thread_stream(), parameters, arguments)
#define SLUICE_ANY_IN_STREAM(name, parameters, arguments) \
  SLUICE_ANY(name, stream, parameters, arguments)         \
  SLUICE_ANY(name##_ptsz, per_thread(stream), parameters, arguments)

#define SLUICE_SHAPED(name, suffix, Shape)                        \
  SLUICE_ANY_AT_ONCE(name##suffix, (const Shape* shape), (shape)) \
  SLUICE_ANY_IN_STREAM(name##Async##suffix, (const Shape* shape, CUstream stream), (shape, stream))
SLUICE_SHAPED(cuMemcpy2D, _v2, CUDA_MEMCPY2D_st)
SLUICE_SHAPED(cuMemcpy3D, _v2, CUDA_MEMCPY3D_st)
SLUICE_SHAPED(cuMemcpy3DPeer, , CUDA_MEMCPY3D_PEER_st)
SLUICE_ANY_AT_ONCE(cuMemcpy2DUnaligned_v2, (const CUDA_MEMCPY2D_st* shape), (shape))

#define SLUICE_FILL_ROWS(name, Value)                                                          \
  SLUICE_ANY_AT_ONCE(                                                                          \
      name##_v2,                                                                               \
      (CUdeviceptr to, std::size_t pitch, Value value, std::size_t width, std::size_t height), \
      (to, pitch, value, width, height))                                                       \
  SLUICE_ANY_IN_STREAM(name##Async,                                                            \
                       (CUdeviceptr to, std::size_t pitch, Value value, std::size_t width,     \
                        std::size_t height, CUstream stream),                                  \
                       (to, pitch, value, width, height, stream))
SLUICE_FILL_ROWS(cuMemsetD2D8, unsigned char)
SLUICE_FILL_ROWS(cuMemsetD2D16, unsigned short)
SLUICE_FILL_ROWS(cuMemsetD2D32, unsigned)

SLUICE_ANY_AT_ONCE(cuMemcpyDtoA_v2,
                   (CUarray to, std::size_t at, CUdeviceptr from, std::size_t size),
                   (to, at, from, size))
SLUICE_ANY_AT_ONCE(cuMemcpyAtoD_v2,
                   (CUdeviceptr to, CUarray from, std::size_t at, std::size_t size),
                   (to, from, at, size))
SLUICE_ANY_AT_ONCE(cuMemcpyHtoA_v2,
                   (CUarray to, std::size_t at, const void* from, std::size_t size),
                   (to, at, from, size))
SLUICE_ANY_AT_ONCE(cuMemcpyAtoH_v2, (void* to, CUarray from, std::size_t at, std::size_t size),
                   (to, from, at, size))
SLUICE_ANY_IN_STREAM(cuMemcpyHtoAAsync_v2,
                     (CUarray to, std::size_t at, const void* from, std::size_t size,
                      CUstream stream),
                     (to, at, from, size, stream))
SLUICE_ANY_IN_STREAM(cuMemcpyAtoHAsync_v2,
                     (void* to, CUarray from, std::size_t at, std::size_t size, CUstream stream),
                     (to, from, at, size, stream))

// Lists, with the index of what failed (CUDA 12.8) and without (13).
SLUICE_ANY_IN_STREAM(cuMemcpyBatchAsync,
                     (CUdeviceptr * to, CUdeviceptr* from, std::size_t* sizes, std::size_t count,
                      void* attributes, std::size_t* first, std::size_t attribute_count,
                      std::size_t* failed, CUstream stream),
                     (to, from, sizes, count, attributes, first, attribute_count, failed, stream))
SLUICE_ANY_IN_STREAM(cuMemcpyBatchAsync_v2,
                     (CUdeviceptr * to, CUdeviceptr* from, std::size_t* sizes, std::size_t count,
                      void* attributes, std::size_t* first, std::size_t attribute_count,
                      CUstream stream),
                     (to, from, sizes, count, attributes, first, attribute_count, stream))
SLUICE_ANY_IN_STREAM(cuMemcpy3DBatchAsync,
                     (std::size_t count, void* list, std::size_t* failed, unsigned long long flags,
                      CUstream stream),
                     (count, list, failed, flags, stream))
SLUICE_ANY_IN_STREAM(cuMemcpy3DBatchAsync_v2,
                     (std::size_t count, void* list, unsigned long long flags, CUstream stream),
                     (count, list, flags, stream))
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace sluice::cuda
