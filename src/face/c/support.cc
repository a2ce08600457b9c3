// Conversions of the C face, and the error that each thread remembers.
//
// The error is a fixed buffer of the thread: reporting never allocates, so an out-of-memory error
// can be reported, too.
#include "face/c/support.hpp"

#include <chrono>

#include "base/deadline.hpp"
#include "transfer/timelines.hpp"

namespace sluice::c {
namespace {

thread_local char last_error[Error::detail_capacity] = "";

static_assert(status_of(ErrorCode::invalid_argument) == SLUICE_ERROR_INVALID_ARGUMENT);
static_assert(status_of(ErrorCode::busy) == SLUICE_ERROR_BUSY);
static_assert(status_of(ErrorCode::device_fault) == SLUICE_ERROR_DEVICE_FAULT);
static_assert(status_of(ErrorCode::system) == SLUICE_ERROR_SYSTEM);

}  // namespace

sluice_status report(const Error& error) noexcept {
  static_cast<void>(write_text(error.detail(), last_error, sizeof last_error));
  return status_of(error.code());
}

Error thrown() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::out_of_host_memory, "no memory for the library's own records");
  } catch (const std::length_error&) {
    return Error(ErrorCode::out_of_host_memory, "a list is longer than memory could hold");
  } catch (const std::exception& other) {
    return Error(ErrorCode::system, "unexpected: %s", other.what());
  }
}

sluice_status report_null(const char* what) noexcept {
  return report(Error(ErrorCode::invalid_argument, "%s is a null pointer", what));
}

std::size_t write_text(std::string_view text, char* buffer, std::size_t capacity) noexcept {
  if (buffer != nullptr && capacity != 0) {
    const std::size_t kept = std::min(text.size(), capacity - 1);
    std::memcpy(buffer, text.data(), kept);
    buffer[kept] = '\0';
  }
  return text.size();
}

Result<Location> location_of(int number) noexcept {
  if (number == SLUICE_HOST) return Location::host();
  if (number < 0 || number >= max_devices) {
    return fail(ErrorCode::unknown_device, "location %d: neither SLUICE_HOST nor a device's number",
                number);
  }
  return Location::device(number);
}

sluice_locations locations(const LocationSet& set) noexcept {
  return {set.devices(), set.has_host() ? 1 : 0, 0};
}

Result<std::optional<Access>> every_shared(sluice_every_shared_range given) noexcept {
  SLUICE_ASSIGN(every, checked<int>(given, SLUICE_EVERY_SHARED_READ, "every_shared_range"));
  if (every == SLUICE_EVERY_SHARED_NONE) return std::optional<Access>();
  return every == SLUICE_EVERY_SHARED_READ ? Access::read : Access::write;
}

namespace {

// A fence carries its space's number in the upper half of `timeline`. Never 0.
std::uint32_t mark_of(const engine::Engine& engine) noexcept {
  return ((engine.number() - 1) % 0xffff + 1) << 16;
}

}  // namespace

sluice_fence fence(const Fence& fence) noexcept {
  const auto& engine = Inside::engine(fence);
  const device::Fence point = Inside::fence(fence);
  if (engine == nullptr || point.value == 0) return {};
  return {point.device, point.timeline | mark_of(*engine), point.value};
}

Result<Fence> fence(const std::shared_ptr<engine::Engine>& engine, sluice_fence fence) noexcept {
  // No timeline has a point 0, so the zeroed structure can mean "complete".
  if (fence.value == 0) return Fence();
  if ((fence.timeline & 0xffff'0000U) != mark_of(*engine)) {
    return fail(ErrorCode::invalid_argument,
                "fence %llu of device %d: this space never gave it out; it may be another space's",
                static_cast<unsigned long long>(fence.value), fence.device);
  }
  if (fence.device < transfer::HostTimeline::device_number ||
      fence.device >= engine->device_count()) {
    return fail(ErrorCode::invalid_argument, "a fence of device %d, which this space does not have",
                fence.device);
  }
  return Inside::fence(engine, {static_cast<std::int16_t>(fence.device),
                                static_cast<std::uint16_t>(fence.timeline), fence.value});
}

Fence::Clock::time_point deadline(std::int64_t timeout) noexcept {
  return timeout < 0 ? Deadline().time()
                     : Deadline::after(std::chrono::nanoseconds(timeout)).time();
}

}  // namespace sluice::c

const char* sluice_last_error(void) { return sluice::c::last_error; }

const char* sluice_version(void) { return SLUICE_VERSION_STRING; }

int32_t sluice_version_number(void) { return SLUICE_VERSION; }

const char* sluice_status_name(enum sluice_status status) {
  if (status == SLUICE_OK) return "ok";
  return sluice::to_string(static_cast<sluice::ErrorCode>(static_cast<int>(status) - 1)).data();
}
