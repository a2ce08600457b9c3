// Prints events. For ordinary threads: it allocates.
//
// The Chrome format is the Trace Event Format's array of complete events ("ph": "X"; instants are
// "i"). Each location is a track: copies and evictions stand on the track they go to, access faults
// on that of the location that made the access. So a page that ping-pongs is easy to see. Source:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event
// Format)
#include "observe/print.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <string_view>

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

// How many of the bytes at the front of the text are one character of UTF-8; 0: they are none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  const auto follows = [&](std::size_t at) { return (byte(at) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first < 0xF0) {
    const bool is_short = first == 0xE0 && byte(1) < 0xA0;  // it has a form of fewer bytes
    const bool is_half = first == 0xED && byte(1) >= 0xA0;  // of UTF-16
    return follows(1) && follows(2) && !is_short && !is_half ? 3 : 0;
  }
  if (first >= 0xF0 && first < 0xF5) {
    const bool is_short = first == 0xF0 && byte(1) < 0x90;
    const bool is_beyond = first == 0xF4 && byte(1) >= 0x90;
    return follows(1) && follows(2) && follows(3) && !is_short && !is_beyond ? 4 : 0;
  }
  return 0;
}

// A program's name of a range inside a literal of JSON. Names are one line, but of any bytes.
std::string in_json(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const std::size_t bytes = character(name);
    if (bytes == 0) text += "\\ufffd";
    if (name.front() == '"' || name.front() == '\\') text += '\\';
    text += name.substr(0, bytes);
    name.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return text;
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

Location track_of(const Event& event) {
  switch (event.kind) {
    case EventKind::cpu_fault:
    case EventKind::access_stuck:
      return Location::host();
    case EventKind::gpu_fault:
    case EventKind::gpu_fault_replay:
    case EventKind::fatal_fault:
    case EventKind::device_lost:
    case EventKind::queue_stop:
    case EventKind::undeclared_access:
      return event.from;
    default:
      return event.to;
  }
}

// Track 0 is the host, track n + 1 device n.
int track_number(Location location) { return location.is_host() ? 0 : location.number() + 1; }

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
    text += in_json(event.range) + "\"}\n";
  }
  return text;
}

void append_track_names(std::string& text, std::span<const Event> events) {
  LocationSet seen(Location::host());
  for (const Event& event : events) seen.insert(track_of(event));
  append(text, R"({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "sluice"}})");
  for (int number = -1; number < max_devices; ++number) {
    const Location location = number < 0 ? Location::host() : Location::device(number);
    if (!seen.contains(location)) continue;
    append(text,
           ",\n"
           R"({"ph": "M", "pid": 1, "tid": %d, "name": "thread_name", "args": {"name": "%s"}})",
           track_number(location), LocationName(location).text);
  }
}

std::string print_chrome(std::span<const Event> events) {
  std::string text = R"({"displayTimeUnit": "ns", "traceEvents": [)"
                     "\n";
  append_track_names(text, events);
  for (const Event& event : events) {
    append(text,
           ",\n"
           R"({"name": "%s", "pid": 1, "tid": %d, "ts": %.3f, )",
           name(event.kind), track_number(track_of(event)), static_cast<double>(event.time) / 1000);
    if (event.duration == 0)
      append(text, R"("ph": "i", "s": "t", )");
    else
      append(text, R"("ph": "X", "dur": %.3f, )", static_cast<double>(event.duration) / 1000);
    append(text,
           R"("args": {"address": "%#llx", "size": %llu, "from": "%s", "to": "%s", "thread": %d)",
           static_cast<unsigned long long>(event.address),
           static_cast<unsigned long long>(event.size), LocationName(event.from).text,
           LocationName(event.to).text, event.thread);
    if (!event.range.empty()) text += R"(, "range": ")" + in_json(event.range) + '"';
    text += "}}";
  }
  text += "\n]}\n";
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
  }
  return "Unknown";
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
