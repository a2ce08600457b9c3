// Streams, the words that they write, and the events that others wait for. What it does not do:
// wait; gpu_device.cc does.
#include "device/cuda/lane.hpp"

#include <utility>
#include <vector>

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

Result<void> Lane::prepare_event(const Driver& driver, std::uint64_t value) {
  make_room_for(value);
  Event& event = event_of(value);
  if (event.event != nullptr) return {};
  const CUresult error = driver.event_create(&event.event, event_without_time);
  if (error != success) return driver.failed(error, "cuEventCreate");
  return {};
}

Result<void> Lane::record(const Driver& driver, CUstream stream, std::uint64_t value) {
  SLUICE_TRY(prepare_event(driver, value));
  Event& event = event_of(value);
  const CUresult error = driver.event_record(event.event, stream);
  event.value = value;
  if (error != success) return driver.failed(error, "cuEventRecord");
  return {};
}

Lane::Event& Lane::event_of(std::uint64_t value) { return events_[value % events_.size()]; }

void Lane::make_room_for(std::uint64_t value) {
  if (events_.empty()) events_.resize(first_events);
  while (!is_complete(event_of(value).value) && events_.size() < most_events) {
    std::vector<Event> fewer(2 * events_.size());
    std::swap(fewer, events_);
    for (const Event& event : fewer)
      if (event.event != nullptr) event_of(event.value) = event;
  }
}

Result<std::uint64_t> Lane::mark(const Driver& driver) {
  const std::uint64_t value = last_.load(std::memory_order_relaxed) + 1;
  if (Result<void> written = write(driver, stream_, value); !written) {
    // Nothing will tell when the stream's work ends, so it is waited for here: a host access must
    // not fail of that.
    if (driver.stream_synchronize(stream_) != success)
      return tl::unexpected<Error>(written.error());
    word_->store(value, std::memory_order_release);
  }
  last_.store(value, std::memory_order_release);
  return value;
}

Result<std::uint64_t> Lane::mark_by_event(const Driver& driver) {
  const std::uint64_t value = last_.load(std::memory_order_relaxed) + 1;
  SLUICE_TRY(record(driver, stream_, value));
  if (value % written_every == 0) SLUICE_TRY(write(driver, stream_, value));
  last_.store(value, std::memory_order_release);
  return value;
}

CUresult Lane::look(const Driver& driver, std::uint64_t value) {
  if (is_complete(value)) return success;
  if (events_.empty()) return error_not_ready;
  const Event& event = event_of(value);
  if (event.value < value) return error_not_ready;
  const CUresult answer = driver.event_query(event.event);
  if (answer == success && event.value > seen_.load(std::memory_order_relaxed))
    seen_.store(event.value, std::memory_order_release);
  return answer;
}

Result<void> Lane::announce(const Driver& driver, std::uint64_t value) {
  if (value != last_.load(std::memory_order_relaxed) || is_announced(value) || is_complete(value))
    return {};
  SLUICE_TRY(write(driver, stream_, value));
  announced_.store(value, std::memory_order_release);
  return {};
}

Result<std::uint64_t> Lane::promise(const Driver& driver, SectionHolder* holder) {
  SLUICE_TRY(prepare_event(driver, last_.load(std::memory_order_relaxed) + 1));
  holder_.store(holder, std::memory_order_release);
  open_.store(true, std::memory_order_release);
  return ++last_;
}

Result<void> Lane::keep(const Driver& driver, CUstream stream, std::uint64_t value) {
  Result<void> kept = write(driver, stream, value);
  if (kept) kept = record(driver, stream, value);
  if (!kept) {
    // As in mark().
    if (driver.stream_synchronize(stream) != success) return kept;
    word_->store(value, std::memory_order_release);
  }
  open_.store(false, std::memory_order_release);
  return {};
}

void Lane::abandon(std::uint64_t value) noexcept {
  word_->store(value, std::memory_order_release);
  open_.store(false, std::memory_order_release);
}

Result<void> Lane::hold_up(const Driver& driver, CUstream stream, std::uint64_t value) {
  if (events_.empty() || event_of(value).value < value) SLUICE_TRY(record(driver, stream_, value));
  const CUresult error = driver.stream_wait(stream, event_of(value).event, 0);
  if (error != success) return driver.failed(error, "cuStreamWaitEvent");
  return {};
}

}  // namespace sluice::device::cuda
