// Calls about streams and contexts that sections have to know of: ends of streams, waits in streams
// and of threads, stream capture, host functions.
#include "face/cuda/managed.hpp"
#include "face/cuda/recording.hpp"
#include "face/cuda/streams.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

bool is_open() noexcept { return ManagedSpace::get().is_open(); }

template <typename Call>
CUresult begin_recording(const Call& call) noexcept {
  // Before the stream records, lest an end comes into the graph.
  ++recordings;
  if (is_open()) Streams::get().end_all();
  const CUresult answer = call();
  if (answer != success) --recordings;
  return answer;
}

template <typename Call>
CUresult end_recording(CUstream stream, const Call& call) noexcept {
  const bool recorded = is_capturing(stream);
  const CUresult answer = call();
  // A stream that is destroyed meanwhile counts for ever: launches then ask, and nothing is lost.
  if (recorded && !is_capturing(stream)) --recordings;
  return answer;
}

// A host function knows by being called that the kernels before it have ended.
struct HostFunction {
  void (*function)(void*);
  void* data;
};
void call_function(void* given) {
  const HostFunction called = *static_cast<HostFunction*>(given);
  delete static_cast<HostFunction*>(given);
  ManagedSpace::get().engine().await_visit();
  called.function(called.data);
}

struct Callback {
  void (*function)(CUstream, CUresult, void*);
  void* data;
};
void call_back(CUstream stream, CUresult status, void* given) {
  const Callback called = *static_cast<Callback*>(given);
  delete static_cast<Callback*>(given);
  ManagedSpace::get().engine().await_visit();
  called.function(stream, status, called.data);
}

// A function that is recorded is called each time when its graph runs.
template <typename Called, typename Call>
CUresult with_function(CUstream stream, const Called& given, const Call& call) {
  if (!is_open() || given.function == nullptr || is_recording(stream)) return call(nullptr);
  Streams::get().end_before_wait(stream);
  auto* const called = new Called(given);
  const CUresult answer = call(called);
  if (answer != success) delete called;
  return answer;
}

bool any(const StreamSection&) noexcept { return true; }

template <typename Call>
CUresult wait_for(CUstream stream, const Call& call) {
  if (!is_open()) return call();
  const StreamSection* const section = Streams::get().of(stream);
  return Streams::get().wait(call,
                             [section](const StreamSection& each) { return &each == section; });
}

template <typename Call>
CUresult wait_for_context(const Call& call) {
  if (!is_open()) return call();
  const CUcontext context = Streams::get().default_context();
  if (context == nullptr) return Streams::get().wait(call, any);
  return Streams::get().wait(
      call, [context](const StreamSection& each) { return each.context() == context; });
}

template <typename Call>
CUresult with_other_context(const Call& call) {
  Streams::get().note_other_context();
  return call();
}

}  // namespace

// --- waits of threads ----------------------------------------------------------------------------

SLUICE_WRAP(cuStreamSynchronize, (CUstream stream)) {
  return wait_for(stream, [&] { return SLUICE_REAL(cuStreamSynchronize)(stream); });
}
SLUICE_WRAP(cuStreamSynchronize_ptsz, (CUstream stream)) {
  return wait_for(per_thread(stream),
                  [&] { return SLUICE_REAL(cuStreamSynchronize_ptsz)(stream); });
}
SLUICE_WRAP(cuStreamQuery, (CUstream stream)) {
  return wait_for(stream, [&] { return SLUICE_REAL(cuStreamQuery)(stream); });
}
SLUICE_WRAP(cuStreamQuery_ptsz, (CUstream stream)) {
  return wait_for(per_thread(stream), [&] { return SLUICE_REAL(cuStreamQuery_ptsz)(stream); });
}
SLUICE_WRAP(cuCtxSynchronize, ()) {
  return wait_for_context([] { return SLUICE_REAL(cuCtxSynchronize)(); });
}
SLUICE_WRAP(cuEventSynchronize, (device::cuda::CUevent event)) {
  const auto call = [&] { return SLUICE_REAL(cuEventSynchronize)(event); };
  return is_open() ? Streams::get().wait_for_some(call) : call();
}

SLUICE_WRAP(cuEventQuery, (device::cuda::CUevent event)) {
  const CUresult answer = SLUICE_REAL(cuEventQuery)(event);
  if (is_open()) ManagedSpace::get().engine().await_visit();
  return answer;
}

// --- waits in streams ----------------------------------------------------------------------------

SLUICE_WRAP(cuStreamWaitEvent, (CUstream stream, device::cuda::CUevent event, unsigned flags)) {
  before_wait_in(stream);
  return SLUICE_REAL(cuStreamWaitEvent)(stream, event, flags);
}
SLUICE_WRAP(cuStreamWaitEvent_ptsz,
            (CUstream stream, device::cuda::CUevent event, unsigned flags)) {
  before_wait_in(per_thread(stream));
  return SLUICE_REAL(cuStreamWaitEvent_ptsz)(stream, event, flags);
}

#define SLUICE_WAIT_FOR_SEMAPHORES(name, of_stream)                                                \
  SLUICE_WRAP(name,                                                                                \
              (const void* semaphores, const void* parameters, unsigned count, CUstream stream)) { \
    before_wait_in(of_stream(stream));                                                             \
    return SLUICE_REAL(name)(semaphores, parameters, count, stream);                               \
  }
SLUICE_WAIT_FOR_SEMAPHORES(cuWaitExternalSemaphoresAsync, )
SLUICE_WAIT_FOR_SEMAPHORES(cuWaitExternalSemaphoresAsync_ptsz, per_thread)
#undef SLUICE_WAIT_FOR_SEMAPHORES

#define SLUICE_HOST_FUNCTION(name, of_stream)                                          \
  SLUICE_WRAP(name, (CUstream stream, void (*function)(void*), void* data)) {          \
    return with_function<HostFunction>(                                                \
        of_stream(stream), {function, data}, [&](HostFunction* called) {               \
          return called != nullptr ? SLUICE_REAL(name)(stream, &call_function, called) \
                                   : SLUICE_REAL(name)(stream, function, data);        \
        });                                                                            \
  }
SLUICE_HOST_FUNCTION(cuLaunchHostFunc, )
SLUICE_HOST_FUNCTION(cuLaunchHostFunc_ptsz, per_thread)
#undef SLUICE_HOST_FUNCTION

#define SLUICE_CALLBACK(name, of_stream)                                                        \
  SLUICE_WRAP(name, (CUstream stream, void (*function)(CUstream, CUresult, void*), void* data,  \
                     unsigned flags)) {                                                         \
    return with_function<Callback>(of_stream(stream), {function, data}, [&](Callback* called) { \
      return called != nullptr ? SLUICE_REAL(name)(stream, &call_back, called, flags)           \
                               : SLUICE_REAL(name)(stream, function, data, flags);              \
    });                                                                                         \
  }
SLUICE_CALLBACK(cuStreamAddCallback, )
SLUICE_CALLBACK(cuStreamAddCallback_ptsz, per_thread)
#undef SLUICE_CALLBACK

// --- recording -----------------------------------------------------------------------------------

SLUICE_WRAP(cuStreamBeginCapture, (CUstream stream)) {
  return begin_recording([&] { return SLUICE_REAL(cuStreamBeginCapture)(stream); });
}
SLUICE_WRAP(cuStreamBeginCapture_ptsz, (CUstream stream)) {
  return begin_recording([&] { return SLUICE_REAL(cuStreamBeginCapture_ptsz)(stream); });
}
SLUICE_WRAP(cuStreamBeginCapture_v2, (CUstream stream, int mode)) {
  return begin_recording([&] { return SLUICE_REAL(cuStreamBeginCapture_v2)(stream, mode); });
}
SLUICE_WRAP(cuStreamBeginCapture_v2_ptsz, (CUstream stream, int mode)) {
  return begin_recording([&] { return SLUICE_REAL(cuStreamBeginCapture_v2_ptsz)(stream, mode); });
}
#define SLUICE_RECORD_INTO(name)                                                         \
  SLUICE_WRAP(name, (CUstream stream, void* graph, const void* nodes, const void* edges, \
                     std::size_t count, int mode)) {                                     \
    return begin_recording(                                                              \
        [&] { return SLUICE_REAL(name)(stream, graph, nodes, edges, count, mode); });    \
  }
SLUICE_RECORD_INTO(cuStreamBeginCaptureToGraph)
SLUICE_RECORD_INTO(cuStreamBeginCaptureToGraph_ptsz)
#undef SLUICE_RECORD_INTO
SLUICE_WRAP(cuStreamEndCapture, (CUstream stream, void** graph)) {
  return end_recording(stream, [&] { return SLUICE_REAL(cuStreamEndCapture)(stream, graph); });
}
SLUICE_WRAP(cuStreamEndCapture_ptsz, (CUstream stream, void** graph)) {
  return end_recording(per_thread(stream),
                       [&] { return SLUICE_REAL(cuStreamEndCapture_ptsz)(stream, graph); });
}

// --- ends, and other contexts --------------------------------------------------------------------

SLUICE_WRAP(cuStreamDestroy, (CUstream stream)) {
  if (is_open()) Streams::get().forget(stream);
  return SLUICE_REAL(cuStreamDestroy)(stream);
}
SLUICE_WRAP(cuStreamDestroy_v2, (CUstream stream)) {
  if (is_open()) Streams::get().forget(stream);
  return SLUICE_REAL(cuStreamDestroy_v2)(stream);
}
SLUICE_WRAP(cuCtxDestroy_v2, (CUcontext context)) {
  if (is_open()) Streams::get().forget_all_of(context);
  return SLUICE_REAL(cuCtxDestroy_v2)(context);
}
SLUICE_WRAP(cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice gpu)) {
  return with_other_context([&] { return SLUICE_REAL(cuCtxCreate_v2)(context, flags, gpu); });
}
SLUICE_WRAP(cuCtxCreate_v3,
            (CUcontext * context, void* affinities, int count, unsigned flags, CUdevice gpu)) {
  return with_other_context(
      [&] { return SLUICE_REAL(cuCtxCreate_v3)(context, affinities, count, flags, gpu); });
}
SLUICE_WRAP(cuCtxCreate_v4, (CUcontext * context, void* parameters, unsigned flags, CUdevice gpu)) {
  return with_other_context(
      [&] { return SLUICE_REAL(cuCtxCreate_v4)(context, parameters, flags, gpu); });
}
SLUICE_WRAP(cuCtxFromGreenCtx, (CUcontext * context, void* green)) {
  return with_other_context([&] { return SLUICE_REAL(cuCtxFromGreenCtx)(context, green); });
}

}  // namespace sluice::cuda
