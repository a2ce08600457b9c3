// The C face of mapping on several devices.
#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

namespace {

struct MappingCall {
  std::vector<MappingPart> parts;
  std::vector<int> devices;
  MappingOptions options;
};

Result<MappingCall> wanted(const sluice_mapping_request* given, std::int64_t timeout) {
  SLUICE_ASSIGN(request, read_versioned(given, "struct sluice_mapping_request"));
  SLUICE_ASSIGN(parts, list(request.parts, request.part_count, "parts"));
  SLUICE_ASSIGN(devices, list(request.devices, request.device_count, "devices", max_devices));
  MappingCall wanted;
  wanted.parts.reserve(parts.size());
  for (const sluice_part& part : parts) wanted.parts.push_back({part.data, part.size});
  wanted.devices.assign(devices.begin(), devices.end());
  SLUICE_ASSIGN(access, checked<Access>(request.access, SLUICE_ACCESS_WRITE, "access"));
  SLUICE_ASSIGN(
      mode, checked<MappingMode>(request.mode, SLUICE_MAPPING_MODE_ALL_OR_NOTHING, "mapping mode"));
  wanted.options = {access, mode, deadline(timeout)};
  return wanted;
}

sluice_mapping_report c_report(const MappingReport& report) {
  sluice_mapping_report out{};
  out.prefix = report.prefix;
  out.lost = report.lost;
  out.remaining =
      report.remaining == std::chrono::nanoseconds::max() ? -1 : report.remaining.count();
  out.done = report.done ? 1 : 0;
  out.device_count = static_cast<std::int32_t>(report.devices.size());
  for (std::size_t i = 0; i < report.devices.size(); ++i) {
    const DeviceMapping& device = report.devices[i];
    out.devices[i] = {device.device, static_cast<sluice_mapping_state>(device.state),
                      device.why ? status_of(device.why->code()) : SLUICE_OK, device.dispatched};
  }
  return out;
}

using Call = Result<void> (Space::*)(const std::vector<MappingPart>&, const std::vector<int>&,
                                     const MappingOptions&, OnSignal, MappingReport*) const;
using Start = Result<Mapping> (Space::*)(const std::vector<MappingPart>&, const std::vector<int>&,
                                         const MappingOptions&) const;

// Bytes of the report that the program knows; none without one.
Result<std::size_t> room_in(const sluice_mapping_report* report) {
  if (report == nullptr) return std::size_t{0};
  return size_of_structure(report, "struct sluice_mapping_report");
}

sluice_status run_call(const sluice_space* space, Call call, const sluice_mapping_request* request,
                       std::int64_t timeout, sluice_on_signal on_signal,
                       sluice_mapping_report* report) {
  SLUICE_HOLD(held, space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(size, room_in(report));
    SLUICE_ASSIGN(how,
                  checked<OnSignal>(on_signal, SLUICE_ON_SIGNAL_RETURN_INTERRUPTED, "on_signal"));
    SLUICE_ASSIGN(what, wanted(request, timeout));
    MappingReport filled;
    const Result<void> done =
        (held->space.*call)(what.parts, what.devices, what.options, how, &filled);
    if (report != nullptr && !filled.devices.empty())
      write_versioned(report, size, c_report(filled));
    return done;
  });
}

sluice_status run_start(const sluice_space* space, Start start,
                        const sluice_mapping_request* request, std::int64_t timeout,
                        sluice_mapping** mapping) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(mapping);
  return run_for(
      [&]() -> Result<sluice_mapping*> {
        SLUICE_ASSIGN(what, wanted(request, timeout));
        SLUICE_ASSIGN(started, (held->space.*start)(what.parts, what.devices, what.options));
        return own<sluice_mapping>(std::move(started));
      },
      [&](sluice_mapping* started) { *mapping = started; });
}

}  // namespace

enum sluice_status sluice_map(const sluice_space* space,
                              const struct sluice_mapping_request* request, int64_t timeout,
                              enum sluice_on_signal on_signal,
                              struct sluice_mapping_report* report) {
  return run_call(space, &Space::map, request, timeout, on_signal, report);
}

enum sluice_status sluice_unmap(const sluice_space* space,
                                const struct sluice_mapping_request* request, int64_t timeout,
                                enum sluice_on_signal on_signal,
                                struct sluice_mapping_report* report) {
  return run_call(space, &Space::unmap, request, timeout, on_signal, report);
}

enum sluice_status sluice_map_start(const sluice_space* space,
                                    const struct sluice_mapping_request* request, int64_t timeout,
                                    sluice_mapping** mapping) {
  return run_start(space, &Space::start_map, request, timeout, mapping);
}

enum sluice_status sluice_unmap_start(const sluice_space* space,
                                      const struct sluice_mapping_request* request, int64_t timeout,
                                      sluice_mapping** mapping) {
  return run_start(space, &Space::start_unmap, request, timeout, mapping);
}

enum sluice_status sluice_mapping_wait(const sluice_mapping* mapping, int64_t timeout,
                                       enum sluice_on_signal on_signal) {
  SLUICE_HOLD(held, mapping);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(how,
                  checked<OnSignal>(on_signal, SLUICE_ON_SIGNAL_RETURN_INTERRUPTED, "on_signal"));
    return held->mapping.wait_until(deadline(timeout), how);
  });
}

enum sluice_status sluice_mapping_get_report(const sluice_mapping* mapping,
                                             struct sluice_mapping_report* report) {
  SLUICE_HOLD(held, mapping);
  return query(
      report, "struct sluice_mapping_report",
      [&]() -> Result<MappingReport> { return held->mapping.report(); }, c_report);
}

size_t sluice_mapping_why(const sluice_mapping* mapping, size_t index, char* text,
                          size_t capacity) {
  const Held held(mapping);
  if (!held) return write_text("no mapping", text, capacity);
  return run_or(std::size_t{0}, [&] {
    const MappingReport report = held->mapping.report();
    if (index >= report.devices.size()) return write_text("", text, capacity);
    const auto& why = report.devices[index].why;
    return write_text(why ? why->detail() : std::string_view(), text, capacity);
  });
}

enum sluice_status sluice_mapping_resume(const sluice_mapping* mapping, int64_t timeout) {
  SLUICE_HOLD(held, mapping);
  return run([&] { return held->mapping.resume(deadline(timeout)); });
}

void sluice_mapping_destroy(sluice_mapping* mapping) { destroy(mapping); }

enum sluice_status sluice_allocate_mapped(const sluice_space* space, size_t size, int owner,
                                          const int32_t* devices, size_t device_count,
                                          enum sluice_access access, void** base) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(base);
  return run_for(
      [&]() -> Result<Range> {
        SLUICE_ASSIGN(how, checked<Access>(access, SLUICE_ACCESS_WRITE, "access"));
        SLUICE_ASSIGN(named, list(devices, device_count, "devices", max_devices));
        const std::vector<int> numbers(named.begin(), named.end());
        return owner == SLUICE_HOST
                   ? held->space.allocate_mapped(size, numbers, how)
                   : held->space.allocate_mapped_on_device(owner, size, numbers, how);
      },
      [&](Range range) { *base = range.release(); });
}

enum sluice_status sluice_relocate(const sluice_space* space, const void* data, size_t bytes,
                                   int device, struct sluice_mapping_report* report) {
  SLUICE_HOLD(held, space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(size, room_in(report));
    SLUICE_ASSIGN(to, location_of(device));
    MappingReport filled;
    const Result<void> done = held->space.relocate(data, bytes, to, &filled);
    if (report != nullptr && !filled.devices.empty())
      write_versioned(report, size, c_report(filled));
    return done;
  });
}

enum sluice_status sluice_unmap_and_free(const sluice_space* space, void* base) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.unmap_and_free(base); });
}
