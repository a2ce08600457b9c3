// The C face of spaces: opening, status, counters, ranges, devices.
#include <chrono>
#include <utility>

#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

namespace {

// Zero means the default, everywhere.
template <typename T>
void set_unless_zero(T& option, T value) {
  if (value != T{}) option = value;
}

Result<void> read_times(SpaceOptions& options, const sluice_space_options& from) {
  const auto read = [](std::chrono::milliseconds& option, std::int64_t nanoseconds,
                       const char* name) -> Result<void> {
    if (nanoseconds < 0) {
      return fail(ErrorCode::invalid_argument,
                  "%s is %lld ns; it must be at least 0, which is the default", name,
                  static_cast<long long>(nanoseconds));
    }
    // Rounded up: a limit asked for must not become no limit.
    if (nanoseconds != 0)
      option = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(nanoseconds));
    return {};
  };
  SLUICE_TRY(read(options.software.kernel_timeout, from.kernel_timeout, "kernel_timeout"));
  SLUICE_TRY(read(options.software.transfer_timeout, from.transfer_timeout, "transfer_timeout"));
  SLUICE_TRY(read(options.stop_interval, from.stop_interval, "stop_interval"));
  return read(options.access_timeout, from.access_timeout, "access_timeout");
}

Result<void> read_devices(SpaceOptions& options, const sluice_space_options& from) {
  SLUICE_ASSIGN(requests, list(from.devices, from.devices_count, "devices", max_devices));
  if (requests.empty()) return {};
  const std::pair<const char*, bool> shorthands[] = {
      {"device_count", from.device_count != 0},
      {"device_memory", from.device_memory != 0},
      {"recoverable_fault_devices", from.recoverable_fault_devices != 0},
      {"fault_plan", from.fault_plan != nullptr},
      {"kernel_timeout", from.kernel_timeout != 0},
      {"transfer_timeout", from.transfer_timeout != 0},
      {"cuda_gpus", from.cuda_gpus != 0},
  };
  for (const auto& [name, is_set] : shorthands)
    if (is_set)
      return fail(ErrorCode::invalid_argument,
                  "devices names %zu devices, and %s is set, too; name all devices in one place",
                  requests.size(), name);
  for (const sluice_device_request& each : requests) {
    if (each.back_end == nullptr)
      return fail(ErrorCode::invalid_argument, "devices[%zu].back_end is a null pointer",
                  options.devices.size());
    options.devices.push_back({each.back_end, each.options == nullptr ? "" : each.options});
  }
  return {};
}

Result<SpaceOptions> read_options(const sluice_space_options* given) {
  SpaceOptions options;
  if (given == nullptr) return options;
  SLUICE_ASSIGN(from, read_versioned(given, "struct sluice_space_options"));
  SLUICE_TRY(check_reserved(from.reserved, "struct sluice_space_options"));
  SLUICE_TRY(read_devices(options, from));
  if (from.device_count != 0)
    options.software.count = from.device_count == -1 ? 0 : from.device_count;
  for (int gpu = 0; gpu < max_devices; ++gpu)
    if ((from.cuda_gpus >> gpu & 1) != 0) options.cuda.gpus.push_back(gpu);
  if (!options.cuda.gpus.empty() && from.device_count == 0) options.software.count = 0;
  options.cuda.memory_size = from.device_memory;
  options.software.recoverable_fault_devices = from.recoverable_fault_devices;
  set_unless_zero(options.software.memory_size, from.device_memory);
  set_unless_zero(options.device_budget, from.device_budget);
  set_unless_zero(options.host_budget, from.host_budget);
  set_unless_zero(options.address_space, from.address_space);
  if (from.host_pool != 0) options.host_pool = from.host_pool == SIZE_MAX ? 0 : from.host_pool;
  options.access_window = from.access_window;
  if (from.fault_plan != nullptr) options.software.fault_plan = from.fault_plan;
  SLUICE_TRY(read_times(options, from));
  SLUICE_ASSIGN(pages, checked<HostPages>(from.host_pages, SLUICE_PAGES_HUGE, "host_pages"));
  SLUICE_ASSIGN(overflow, checked<Overflow>(from.overflow, SLUICE_OVERFLOW_REFUSE, "overflow"));
  SLUICE_ASSIGN(stuck, checked<Stuck>(from.stuck, SLUICE_STUCK_DENY, "stuck"));
  SLUICE_ASSIGN(strict, checked<Strict>(from.strict, SLUICE_STRICT_STOP, "strict"));
  SLUICE_ASSIGN(grade, checked<int>(from.best_grade, SLUICE_GRADE_FULL, "best_grade"));
  options.host_pages = pages;
  options.overflow = overflow;
  options.stuck = stuck;
  options.strict = strict;
  if (grade != SLUICE_GRADE_BEST)
    options.best_grade = static_cast<Grade>(grade - SLUICE_GRADE_NONE);
  set_unless_zero(options.handler_threads, from.handler_threads);
  return options;
}

// Errors name the options of C++; a program in C knows them by other names.
tl::unexpected<Error> in_names_of_c(const Error& error) {
  constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"software.count = 0", "device_count = -1"},
      {"cuda.gpus empty", "cuda_gpus = 0"},
      {"software.count", "device_count"},
      {"software.memory_size", "device_memory"},
      {"software.recoverable_fault_devices", "recoverable_fault_devices"},
      {"software.kernel_timeout", "kernel_timeout"},
      {"software.transfer_timeout", "transfer_timeout"},
      {"software.fault_plan", "fault_plan"},
      {"cuda.gpus", "cuda_gpus"},
      {"cuda.memory_size", "device_memory"},
  };
  std::string text(error.detail());
  for (const auto& [of_cpp, of_c] : names)
    for (std::size_t at = 0; (at = text.find(of_cpp, at)) != std::string::npos; at += of_c.size())
      text.replace(at, of_cpp.size(), of_c);
  return fail(error.code(), "%s", text.c_str());
}

}  // namespace

enum sluice_status sluice_space_open(const struct sluice_space_options* options,
                                     sluice_space** space) {
  SLUICE_REQUIRE(space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(read, read_options(options));
    Result<Space> opened = Space::open(read);
    if (!opened) return in_names_of_c(opened.error());
    SLUICE_ASSIGN(made, own<sluice_space>(std::move(*opened)));
    *space = made;
    return {};
  });
}

void sluice_space_close(sluice_space* space) { destroy(space); }

enum sluice_status sluice_space_get_status(const sluice_space* space,
                                           struct sluice_space_status* status) {
  SLUICE_HOLD(held, space);
  return query(
      status, "struct sluice_space_status",
      [&]() -> Result<SpaceStatus> { return held->space.status(); },
      [](const SpaceStatus& now) {
        struct sluice_space_status out{};
        out.grade = static_cast<sluice_grade>(SLUICE_GRADE_NONE + static_cast<int>(now.grade));
        out.shares_reads = now.shares_reads ? 1 : 0;
        out.native_atomics = now.native_atomics ? 1 : 0;
        out.host_pages = static_cast<sluice_host_pages>(now.host_pages);
        out.address_space = now.address_space;
        out.ranges = now.ranges;
        out.bytes = now.bytes;
        write_text(now.grade_reason, out.grade_reason);
        out.strict = static_cast<sluice_strict>(now.strict);
        write_text(now.strict_reason, out.strict_reason);
        write_text(now.no_private_tmpfs, out.no_private_tmpfs);
        out.host_pool = now.host_pool;
        out.host_pooled = now.host_pooled;
        out.published = now.published ? 1 : 0;
        return out;
      });
}

enum sluice_status sluice_space_get_counters(const sluice_space* space,
                                             struct sluice_counters* counters) {
  SLUICE_HOLD(held, space);
  return query(
      counters, "struct sluice_counters",
      [&]() -> Result<Counters> { return held->space.counters(); },
      [](const Counters& now) {
        struct sluice_counters out{};
        // One name for each counter in both languages, in one order.
        static_assert(sizeof out == sizeof out.size + sizeof now);
        std::memcpy(reinterpret_cast<char*>(&out) + sizeof out.size, &now, sizeof now);
        return out;
      });
}

size_t sluice_space_check(const sluice_space* space, char* text, size_t capacity) {
  const Held held(space);
  if (!held) return write_text("", text, capacity);
  return run_or(std::size_t{0},
                [&] { return write_text(held->space.check().value_or(""), text, capacity); });
}

// --- ranges --------------------------------------------------------------------------------------

enum sluice_status sluice_allocate(const sluice_space* space, size_t size, enum sluice_kind kind,
                                   enum sluice_host_pages pages, void** base) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(base);
  return run_for(
      [&]() -> Result<Range> {
        SLUICE_ASSIGN(checked_kind, checked<Kind>(kind, SLUICE_KIND_DEVICE, "kind"));
        SLUICE_ASSIGN(checked_pages, checked<HostPages>(pages, SLUICE_PAGES_HUGE, "pages"));
        return held->space.allocate(size, checked_kind, checked_pages);
      },
      [&](Range range) { *base = range.release(); });
}

enum sluice_status sluice_allocate_on_device(const sluice_space* space, int device, size_t size,
                                             void** base) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(base);
  return run_for([&] { return held->space.allocate_on_device(device, size); },
                 [&](Range range) { *base = range.release(); });
}

namespace {

Result<Range> allocate_mapped(const Space& space, const struct sluice_range_request& from,
                              Kind kind, std::string_view name) {
  if (kind == Kind::host)
    return fail(ErrorCode::invalid_argument,
                "mapped_on of a host range, which every device reaches as it is");
  SLUICE_ASSIGN(how, checked<Access>(from.mapped_access, SLUICE_ACCESS_WRITE, "mapped_access"));
  SLUICE_ASSIGN(named, list(from.mapped_on, from.mapped_on_count, "mapped_on", max_devices));
  const std::vector<int> devices(named.begin(), named.end());
  return kind == Kind::device
             ? space.allocate_mapped_on_device(from.device, from.bytes, devices, how, name)
             : space.allocate_mapped(from.bytes, devices, how, name);
}

}  // namespace

enum sluice_status sluice_allocate_range(const sluice_space* space,
                                         const struct sluice_range_request* request, void** base) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(base);
  return run_for(
      [&]() -> Result<Range> {
        SLUICE_ASSIGN(from, read_versioned(request, "struct sluice_range_request"));
        SLUICE_TRY(check_reserved(from.reserved, "struct sluice_range_request"));
        SLUICE_ASSIGN(kind, checked<Kind>(from.kind, SLUICE_KIND_DEVICE, "kind"));
        SLUICE_ASSIGN(pages, checked<HostPages>(from.pages, SLUICE_PAGES_HUGE, "pages"));
        const std::string_view name = from.name == nullptr ? "" : from.name;
        if (from.mapped_on_count != 0) return allocate_mapped(held->space, from, kind, name);
        return kind == Kind::device ? held->space.allocate_on_device(from.device, from.bytes, name)
                                    : held->space.allocate(from.bytes, kind, pages, name);
      },
      [&](Range range) { *base = range.release(); });
}

enum sluice_status sluice_free(const sluice_space* space, void* base) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.free(base); });
}

enum sluice_status sluice_free_if_idle(const sluice_space* space, void* base) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.free_if_idle(base); });
}

// --- devices -------------------------------------------------------------------------------------

int sluice_device_count(const sluice_space* space) {
  const Held held(space);
  return held ? held->space.device_count() : 0;
}

enum sluice_status sluice_device_get_info(const sluice_space* space, int device,
                                          struct sluice_device_info* info) {
  SLUICE_HOLD(held, space);
  return query(
      info, "struct sluice_device_info", [&] { return held->space.device(device); },
      [](const DeviceInfo& now) {
        struct sluice_device_info out{};
        out.memory_size = now.memory_size;
        out.budget = now.budget;
        out.in_use = now.in_use;
        out.argument_limit = now.argument_limit;
        out.copy_engines = now.copy_engines;
        out.recoverable_faults = now.recoverable_faults ? 1 : 0;
        out.maps_host_memory = now.maps_host_memory ? 1 : 0;
        out.copies_from_peers = now.copies_from_peers ? 1 : 0;
        out.native_atomics = now.native_atomics ? 1 : 0;
        out.read_only_mappings = now.read_only_mappings ? 1 : 0;
        out.lost = now.lost ? 1 : 0;
        write_text(now.name, out.name);
        out.queue_stops = now.queue_stops;
        out.stop_interval = std::chrono::nanoseconds(now.stop_interval).count();
        out.stopped_for = now.stopped_for.count();
        return out;
      });
}

enum sluice_status sluice_device_reset(const sluice_space* space, int device) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.reset_device(device); });
}

enum sluice_status sluice_device_plan_faults(const sluice_space* space, int device,
                                             const char* plan) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(plan);
  return run([&] { return held->space.plan_faults(device, plan); });
}
