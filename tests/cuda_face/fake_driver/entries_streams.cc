// Streams and events, words that streams write and wait for, host functions.
#include <chrono>
#include <set>
#include <thread>

#include "cuda_face/fake_driver/entries.hpp"

namespace sluice::fake_cuda {
namespace {

using device::cuda::error_not_ready;

struct Event {
  std::mutex mutex;
  Point point;  // what it recorded last
};

struct Events {
  std::mutex mutex;
  std::set<Event*> live;
};

Events& events() {
  static Events& all = *new Events;
  return all;
}

bool find(CUevent handle, Point* point) {
  Events& all = events();
  const std::lock_guard lock(all.mutex);
  auto* const event = reinterpret_cast<Event*>(handle);
  if (!all.live.contains(event)) return false;
  const std::lock_guard of_event(event->mutex);
  *point = event->point;
  return true;
}

CUresult state_of(const Point& point) { return point.is_reached() ? success : error_not_ready; }

constexpr unsigned wait_greater_or_equal = 0;
constexpr unsigned wait_equal = 1;
constexpr unsigned wait_and = 2;

template <typename T>
bool is_met(T now, T value, unsigned how) {
  switch (how & 3) {
    case wait_greater_or_equal:
      return static_cast<std::make_signed_t<T>>(now - value) >= 0;
    case wait_equal:
      return now == value;
    case wait_and:
      return (now & value) != 0;
    default:
      return (~(now | value)) != 0;
  }
}

template <typename T>
CUresult wait_value(CUstream handle, CUdeviceptr address, T value, unsigned flags) {
  Context& context = here();
  const std::shared_ptr<Stream> stream = context.find(handle);
  if (stream == nullptr) return error_invalid_handle;
  if (address % sizeof(T) != 0) return error_invalid_value;
  context.submit(stream, [=](GpuView& gpu) {
    Context::name_work("a stream's wait for a word");
    while (gpu.may_go_on() &&
           !is_met(gpu.load(reinterpret_cast<const T*>(bytes_at(address))), value, flags))
      std::this_thread::sleep_for(std::chrono::microseconds(20));
  });
  return success;
}

template <typename T>
CUresult write_value(CUstream handle, CUdeviceptr address, T value, unsigned flags) {
  Context& context = here();
  const std::shared_ptr<Stream> stream = context.find(handle);
  if (stream == nullptr) return error_invalid_handle;
  if (address % sizeof(T) != 0 || flags > 1) return error_invalid_value;
  context.submit(stream, [=](GpuView& gpu) {
    Context::name_work("a stream's write of a word");
    std::atomic_thread_fence(std::memory_order_release);
    gpu.store(reinterpret_cast<T*>(bytes_at(address)), value);
  });
  return success;
}

}  // namespace

FAKE_ENTRY(cuStreamCreateWithPriority, (CUstream * stream, unsigned flags, int priority)) {
  FAKE_ENTER_CONTEXT();
  if (flags > 1) return error_invalid_value;
  *stream = here().create_stream(flags, priority);
  return success;
}

FAKE_ENTRY(cuStreamCreate, (CUstream * stream, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  if (flags > 1) return error_invalid_value;
  *stream = here().create_stream(flags, 0);
  return success;
}

FAKE_ENTRY(cuStreamDestroy_v2, (CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return here().destroy_stream(stream);
}

FAKE_ENTRY(cuStreamGetCtx, (CUstream handle, CUcontext* context)) {
  FAKE_ENTER_CONTEXT();
  Context* const found = Context::of(handle);
  if (found == nullptr) return error_invalid_handle;
  *context = reinterpret_cast<CUcontext>(found);
  return success;
}

FAKE_ENTRY(cuStreamQuery, (CUstream handle)) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<Stream> stream = here().find(handle);
  if (stream == nullptr) return error_invalid_handle;
  return state_of(stream->now());
}

FAKE_ENTRY(cuStreamSynchronize, (CUstream handle)) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<Stream> stream = here().find(handle);
  if (stream == nullptr) return error_invalid_handle;
  stream->now().wait();
  return here().lost;
}

FAKE_ENTRY(cuStreamWaitEvent, (CUstream handle, CUevent event, unsigned /*flags*/)) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<Stream> stream = here().find(handle);
  Point point;
  if (stream == nullptr || !find(event, &point)) return error_invalid_handle;
  here().submit(stream, nullptr, {point});
  return success;
}

FAKE_ENTRY(cuStreamWriteValue64_v2,
           (CUstream stream, CUdeviceptr address, std::uint64_t value, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  return write_value(stream, address, value, flags);
}

FAKE_ENTRY(cuStreamWriteValue32_v2,
           (CUstream stream, CUdeviceptr address, std::uint32_t value, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  return write_value(stream, address, value, flags);
}

FAKE_ENTRY(cuStreamWaitValue64_v2,
           (CUstream stream, CUdeviceptr address, std::uint64_t value, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  return wait_value(stream, address, value, flags);
}

FAKE_ENTRY(cuStreamWaitValue32_v2,
           (CUstream stream, CUdeviceptr address, std::uint32_t value, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  return wait_value(stream, address, value, flags);
}

FAKE_ENTRY(cuLaunchHostFunc, (CUstream handle, void (*function)(void*), void* data)) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<Stream> stream = here().find(handle);
  if (stream == nullptr) return error_invalid_handle;
  here().submit(stream, [function, data](GpuView&) { function(data); });
  return success;
}

// --- events --------------------------------------------------------------------------------------

FAKE_ENTRY(cuEventCreate, (CUevent * event, unsigned /*flags*/)) {
  FAKE_ENTER_CONTEXT();
  auto* const made = new Event;
  Events& all = events();
  const std::lock_guard lock(all.mutex);
  all.live.insert(made);
  *event = reinterpret_cast<CUevent>(made);
  return success;
}

FAKE_ENTRY(cuEventDestroy_v2, (CUevent handle)) {
  FAKE_ENTER_CONTEXT();
  Events& all = events();
  const std::lock_guard lock(all.mutex);
  auto* const event = reinterpret_cast<Event*>(handle);
  if (all.live.erase(event) == 0) return error_invalid_handle;
  delete event;
  return success;
}

FAKE_ENTRY(cuEventRecord, (CUevent handle, CUstream stream_handle)) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<Stream> stream = here().find(stream_handle);
  if (stream == nullptr) return error_invalid_handle;
  // An item of its own, so that the default stream's order holds for the event too.
  here().submit(stream, nullptr);
  Events& all = events();
  const std::lock_guard lock(all.mutex);
  auto* const event = reinterpret_cast<Event*>(handle);
  if (!all.live.contains(event)) return error_invalid_handle;
  const std::lock_guard of_event(event->mutex);
  event->point = stream->now();
  return success;
}

FAKE_ENTRY(cuEventQuery, (CUevent event)) {
  FAKE_ENTER_CONTEXT();
  Point point;
  if (!find(event, &point)) return error_invalid_handle;
  return state_of(point);
}

FAKE_ENTRY(cuEventSynchronize, (CUevent event)) {
  FAKE_ENTER_CONTEXT();
  Point point;
  if (!find(event, &point)) return error_invalid_handle;
  point.wait();
  return here().lost;
}

}  // namespace sluice::fake_cuda
