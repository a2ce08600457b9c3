// Prints events. For ordinary threads: it allocates.
//
// chrome.cc writes the format for Perfetto.
#include "observe/print.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "observe/chrome.hpp"
#include "observe/json_text.hpp"

namespace sluice::observe {
namespace {

[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
  char line[320];  // no line below comes near it: every field is a number or one of our own words
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text.append(line, std::min(static_cast<std::size_t>(length), sizeof line - 1));
}

struct LocationName {
  explicit LocationName(Location location) {
    if (location.is_host())
      std::snprintf(text, sizeof text, "host");
    else
      std::snprintf(text, sizeof text, "device %d", location.number());
  }
  char text[16];
};

std::string print_text(std::span<const Event> events) {
  std::string text;
  const std::uint64_t first = events.empty() ? 0 : events.front().time;
  for (const Event& event : events) {
    // A thread that was held up may record something that began before the first event of the ring.
    const auto since_first = static_cast<double>(static_cast<std::int64_t>(event.time - first));
    append(text, "%12.3f us  %9.3f us  %-24s %#14llx %9llu  %s -> %s  thread %d",
           since_first / 1000, static_cast<double>(event.duration) / 1000, name(event.kind),
           static_cast<unsigned long long>(event.address),
           static_cast<unsigned long long>(event.size), LocationName(event.from).text,
           LocationName(event.to).text, event.thread);
    if (event.cause != Cause::none) append(text, "  by %s", name(event.cause));
    if (!event.place.empty()) text += "  " + event.place;
    text += event.range.empty() ? "\n" : "  '" + event.range + "'\n";
  }
  return text;
}

std::string print_json_lines(std::span<const Event> events) {
  std::string text;
  for (const Event& event : events) {
    append(
        text,
        R"({"time_ns": %llu, "duration_ns": %llu, "event": "%s", "address": "%#llx", "size": %llu, )"
        R"("from": "%s", "to": "%s", "thread": %d, "range": ")",
        static_cast<unsigned long long>(event.time),
        static_cast<unsigned long long>(event.duration), name(event.kind),
        static_cast<unsigned long long>(event.address), static_cast<unsigned long long>(event.size),
        LocationName(event.from).text, LocationName(event.to).text, event.thread);
    text += in_json(event.range);
    append(text, R"(", "cause": "%s", "link": %llu, "place": ")", name(event.cause),
           static_cast<unsigned long long>(event.link));
    text += in_json(event.place) + "\"}\n";
  }
  return text;
}

}  // namespace

const char* name(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::cpu_fault:
      return "CpuFault";
    case EventKind::gpu_fault:
      return "GpuFault";
    case EventKind::gpu_fault_replay:
      return "GpuFaultReplay";
    case EventKind::migration:
      return "Migration";
    case EventKind::eviction:
      return "Eviction";
    case EventKind::read_duplicate:
      return "ReadDuplicate";
    case EventKind::read_duplicate_invalidate:
      return "ReadDuplicateInvalidate";
    case EventKind::map_remote:
      return "MapRemote";
    case EventKind::fatal_fault:
      return "FatalFault";
    case EventKind::launch:
      return "Launch";
    case EventKind::access_stuck:
      return "AccessStuck";
    case EventKind::device_lost:
      return "DeviceLost";
    case EventKind::queue_stop:
      return "QueueStop";
    case EventKind::relocation:
      return "Relocation";
    case EventKind::undeclared_access:
      return "UndeclaredAccess";
    case EventKind::launch_use:
      return "LaunchUse";
    case EventKind::kernel:
      return "Kernel";
    case EventKind::kernel_touch:
      return "KernelTouch";
    case EventKind::allocate:
      return "Allocate";
    case EventKind::release:
      return "Free";
  }
  return "Unknown";
}

const char* name(Cause cause) noexcept {
  switch (cause) {
    case Cause::none:
      return "";
    case Cause::host_access:
      return "host access";
    case Cause::launch:
      return "launch";
    case Cause::device_access:
      return "device access";
    case Cause::prefetch:
      return "prefetch";
    case Cause::eviction:
      return "eviction";
    case Cause::mapping:
      return "mapping";
    case Cause::lease:
      return "lease";
    case Cause::coherence:
      return "coherence";
    case Cause::discard:
      return "discard";
  }
  return "";
}

std::string print(std::span<const Event> events, TraceFormat format) {
  switch (format) {
    case TraceFormat::text:
      return print_text(events);
    case TraceFormat::json_lines:
      return print_json_lines(events);
    case TraceFormat::chrome:
      return print_chrome(events);
  }
  return {};
}

}  // namespace sluice::observe
