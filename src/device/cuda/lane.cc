// Streams, the words that they write, and the events that others wait for. What it does not do: wait; gpu_device.cc does.
#include "device/cuda/lane.hpp"

#include <utility>

namespace sluice::device::cuda {

Result<void> Lane::open(const Driver& driver, int priority) {
  if (const CUresult error = driver.stream_create(&stream_, stream_non_blocking, priority);
      error != success)
    return driver.failed(error, "cuStreamCreateWithPriority");
  return {};
}

void Lane::close(const Driver& driver) noexcept {
  const MutexLock lock(mutex);
  if (stream_ != nullptr) (void)driver.stream_destroy(std::exchange(stream_, nullptr));
  for (Event& event : events_)
    if (event.event != nullptr) (void)driver.event_destroy(std::exchange(event.event, nullptr));
}

Result<void> Lane::write(const Driver& driver, CUstream stream, std::uint64_t value) {
  const CUresult error =
      driver.stream_write(stream, reinterpret_cast<CUdeviceptr>(word_), value, 0);
  if (error != success) return driver.failed(error, "cuStreamWriteValue64");
  return {};
}

Result<void> Lane::record(const Driver& driver, CUstream stream, std::uint64_t value) {
  Event& event = events_[value % most_events];
  CUresult error = success;
  if (event.event == nullptr) error = driver.event_create(&event.event, event_without_time);
  if (error == success) error = driver.event_record(event.event, stream);
  event.value = value;
  if (error != success) return driver.failed(error, "cuEventRecord");
  return {};
}

Result<std::uint64_t> Lane::mark(const Driver& driver, bool exact) {
  const std::uint64_t value = last_.load(std::memory_order_relaxed) + 1;
  SLUICE_TRY(write(driver, stream_, value));
  if (exact) SLUICE_TRY(record(driver, stream_, value));
  last_.store(value, std::memory_order_release);
  return value;
}

std::uint64_t Lane::promise() {
  open_.store(true, std::memory_order_release);
  return ++last_;
}

Result<void> Lane::keep(const Driver& driver, CUstream stream, std::uint64_t value) {
  SLUICE_TRY(write(driver, stream, value));
  SLUICE_TRY(record(driver, stream, value));
  open_.store(false, std::memory_order_release);
  return {};
}

void Lane::abandon(std::uint64_t value) noexcept {
  word_->store(value, std::memory_order_release);
  open_.store(false, std::memory_order_release);
}

Result<void> Lane::hold_up(const Driver& driver, CUstream stream, std::uint64_t value) {
  const Event& event = events_[value % most_events];
  if (event.value < value) SLUICE_TRY(record(driver, stream_, value));
  const CUresult error = driver.stream_wait(stream, event.event, 0);
  if (error != success) return driver.failed(error, "cuStreamWaitEvent");
  return {};
}

}  // namespace sluice::device::cuda
