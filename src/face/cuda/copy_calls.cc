// Copies and fills that read or write managed memory: the device does them where the bytes are
// mapped, in a scope that names just those.
//
// What it does not do: copy between two places of the host on the host. Bytes that lie there are
// brought to the device first.
#include "face/cuda/scope.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

CUdeviceptr address_of(CUdeviceptr address) noexcept { return address; }
CUdeviceptr address_of(const void* pointer) noexcept {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

engine::Use use(CUdeviceptr begin, std::size_t size, Access access) noexcept {
  return {{Address{begin}, size}, access};
}

// A call that waits for its stream tells that kernels have ended.
template <typename Call>
CUresult made(const Call& call) {
  const CUresult answer = call();
  const ManagedSpace& managed = ManagedSpace::get();
  if (managed.is_open()) managed.engine().await_visit();
  return answer;
}

template <typename To, typename From, typename Call>
CUresult copied(To to_place, From from_place, std::size_t size, CUstream stream, const Call& call) {
  const ManagedSpace& managed = ManagedSpace::get();
  const CUdeviceptr to = address_of(to_place);
  const CUdeviceptr from = address_of(from_place);
  const bool writes = managed.owns(to);
  const bool reads = managed.owns(from);
  if ((!writes && !reads) || size == 0) return made(call);
  if ((writes && !managed.holds(to, size)) || (reads && !managed.holds(from, size)))
    return invalid_value;
  const engine::Use write = use(to, size, Access::write);
  const engine::Use read = use(from, size, Access::read);
  if (writes && reads) return made([&] { return in_scope(stream, {false, {read, write}}, call); });
  return made([&] { return in_scope(stream, {false, {writes ? write : read}}, call); });
}

template <typename Call>
CUresult filled(CUdeviceptr to, std::size_t size, CUstream stream, const Call& call) {
  const ManagedSpace& managed = ManagedSpace::get();
  if (!managed.owns(to) || size == 0) return call();
  if (!managed.holds(to, size)) return invalid_value;
  return in_scope(stream, {false, {use(to, size, Access::write)}}, call);
}

}  // namespace

// Each in four forms: in the default stream or in one, and with per-thread default streams.
#define SLUICE_COPY(name, suffix, To, From)                                                        \
  SLUICE_WRAP(name##suffix, (To to, From from, std::size_t size)) {                                \
    return copied(to, from, size, nullptr,                                                         \
                  [&] { return SLUICE_REAL(name##suffix)(to, from, size); });                      \
  }                                                                                                \
  SLUICE_WRAP(name##suffix##_ptds, (To to, From from, std::size_t size)) {                         \
    return copied(to, from, size, per_thread_stream(),                                             \
                  [&] { return SLUICE_REAL(name##suffix##_ptds)(to, from, size); });               \
  }                                                                                                \
  SLUICE_WRAP(name##Async##suffix, (To to, From from, std::size_t size, CUstream stream)) {        \
    return copied(to, from, size, stream,                                                          \
                  [&] { return SLUICE_REAL(name##Async##suffix)(to, from, size, stream); });       \
  }                                                                                                \
  SLUICE_WRAP(name##Async##suffix##_ptsz, (To to, From from, std::size_t size, CUstream stream)) { \
    return copied(to, from, size, per_thread(stream), [&] {                                        \
      return SLUICE_REAL(name##Async##suffix##_ptsz)(to, from, size, stream);                      \
    });                                                                                            \
  }
SLUICE_COPY(cuMemcpy, , CUdeviceptr, CUdeviceptr)
SLUICE_COPY(cuMemcpyHtoD, _v2, CUdeviceptr, const void*)
SLUICE_COPY(cuMemcpyDtoH, _v2, void*, CUdeviceptr)
SLUICE_COPY(cuMemcpyDtoD, _v2, CUdeviceptr, CUdeviceptr)
#undef SLUICE_COPY

#define SLUICE_FILL(name, Value)                                                                \
  SLUICE_WRAP(name##_v2, (CUdeviceptr to, Value value, std::size_t count)) {                    \
    return filled(to, count * sizeof(Value), nullptr,                                           \
                  [&] { return SLUICE_REAL(name##_v2)(to, value, count); });                    \
  }                                                                                             \
  SLUICE_WRAP(name##_v2_ptds, (CUdeviceptr to, Value value, std::size_t count)) {               \
    return filled(to, count * sizeof(Value), per_thread_stream(),                               \
                  [&] { return SLUICE_REAL(name##_v2_ptds)(to, value, count); });               \
  }                                                                                             \
  SLUICE_WRAP(name##Async, (CUdeviceptr to, Value value, std::size_t count, CUstream stream)) { \
    return filled(to, count * sizeof(Value), stream,                                            \
                  [&] { return SLUICE_REAL(name##Async)(to, value, count, stream); });          \
  }                                                                                             \
  SLUICE_WRAP(name##Async_ptsz,                                                                 \
              (CUdeviceptr to, Value value, std::size_t count, CUstream stream)) {              \
    return filled(to, count * sizeof(Value), per_thread(stream),                                \
                  [&] { return SLUICE_REAL(name##Async_ptsz)(to, value, count, stream); });     \
  }
SLUICE_FILL(cuMemsetD8, unsigned char)
SLUICE_FILL(cuMemsetD16, unsigned short)
SLUICE_FILL(cuMemsetD32, unsigned)
#undef SLUICE_FILL

#define SLUICE_COPY_BETWEEN(name, in_stream)                                                    \
  SLUICE_WRAP(name, (CUdeviceptr to, CUcontext to_context, CUdeviceptr from,                    \
                     CUcontext from_context, std::size_t size)) {                               \
    return copied(to, from, size, in_stream,                                                    \
                  [&] { return SLUICE_REAL(name)(to, to_context, from, from_context, size); }); \
  }
SLUICE_COPY_BETWEEN(cuMemcpyPeer, nullptr)
SLUICE_COPY_BETWEEN(cuMemcpyPeer_ptds, per_thread_stream())
#undef SLUICE_COPY_BETWEEN
#define SLUICE_COPY_BETWEEN(name, of_stream)                                       \
  SLUICE_WRAP(name, (CUdeviceptr to, CUcontext to_context, CUdeviceptr from,       \
                     CUcontext from_context, std::size_t size, CUstream stream)) { \
    return copied(to, from, size, of_stream(stream), [&] {                         \
      return SLUICE_REAL(name)(to, to_context, from, from_context, size, stream);  \
    });                                                                            \
  }
SLUICE_COPY_BETWEEN(cuMemcpyPeerAsync, )
SLUICE_COPY_BETWEEN(cuMemcpyPeerAsync_ptsz, per_thread)
#undef SLUICE_COPY_BETWEEN

}  // namespace sluice::cuda
