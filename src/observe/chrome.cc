// Writes events as the Trace Event Format has them: "X" slices, "i" instants, "C" counters, "s",
// "t" and "f" flows, "M" names. Source: "Trace Event Format",
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
//
// Copies that were started together end together for all that is known. They share that time by
// their bytes, one after another, as a copy engine works; `flight_us` is the whole of it.
//
// Cost: about 0.5 us an event. What it does not do: keep events, so it draws a slice when it ends,
// and the grant of rights, which is the rest of an access after its copy, when that is told.
#include "observe/chrome.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "observe/json_text.hpp"
#include "observe/print.hpp"

namespace sluice::observe {
namespace {

// Beyond the numbers of threads.
constexpr std::int64_t first_id = std::int64_t{1} << 32;
constexpr std::size_t most_links = 1 << 16;

void append_number(std::string& text, std::uint64_t number, int base = 10) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
  text.append(digits, end);
}

// Nanoseconds as microseconds.
void append_time(std::string& text, std::uint64_t time) {
  append_number(text, time / 1000);
  const char rest[] = {'.', static_cast<char>('0' + time / 100 % 10),
                       static_cast<char>('0' + time / 10 % 10), static_cast<char>('0' + time % 10)};
  text.append(rest, sizeof rest);
}

void append_address(std::string& text, std::uint64_t address) {
  text += "\"0x";
  append_number(text, address, 16);
  text += '"';
}

void append_name(std::string& text, Location location) {
  if (location.is_host()) {
    text += "host";
    return;
  }
  text += "device ";
  append_number(text, static_cast<std::uint64_t>(location.number()));
}

bool is_copy(EventKind kind) {
  return kind == EventKind::migration || kind == EventKind::read_duplicate ||
         kind == EventKind::relocation;
}

bool is_of_thread(EventKind kind) {
  return kind == EventKind::cpu_fault || kind == EventKind::access_stuck ||
         kind == EventKind::launch || kind == EventKind::launch_use ||
         kind == EventKind::allocate || kind == EventKind::release;
}

Location place_of(const Event& event) {
  switch (event.kind) {
    case EventKind::gpu_fault:
    case EventKind::gpu_fault_replay:
    case EventKind::fatal_fault:
    case EventKind::device_lost:
    case EventKind::queue_stop:
    case EventKind::undeclared_access:
    case EventKind::eviction:
      return event.from;
    default:
      return event.to;
  }
}

std::int32_t number_of(Location location) { return location.is_host() ? -1 : location.number(); }

// "queue 0" of "saxpy, queue 0, program.cc:21, in main"
std::string queue_of(const std::string& place) {
  const std::size_t begin = place.find(", queue ");
  if (begin == std::string::npos) return "streams";
  return place.substr(begin + 2, place.find(',', begin + 2) - begin - 2);
}

}  // namespace

std::string ChromeWriter::opening() const {
  std::string text = "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"sluice\": \"";
  text += in_json(facts_.version) + "\", \"grade\": \"" + in_json(facts_.grade);
  text += "\", \"program\": \"" + in_json(facts_.program) + "\", \"devices\": [";
  for (std::size_t i = 0; i < facts_.devices.size(); ++i)
    text += (i == 0 ? "\"" : ", \"") + in_json(facts_.devices[i]) + '"';
  text += "]}, \"traceEvents\": [\n{\"ph\": \"M\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text +=
      ", \"name\": \"process_name\", \"args\": {\"name\": \"" + in_json(facts_.program) + "\"}}";
  return text;
}

void ChromeWriter::add(std::span<const Event> events, std::string& text) {
  // By thread: copies that began together, and followed one another.
  std::map<std::int32_t, std::vector<const Event*>> groups;
  for (const Event& event : events) {
    // Copies that ended before this began, or caused it, are drawn first.
    for (auto& [thread, group] : groups) {
      if (group.empty()) continue;
      const bool is_over = group.back()->time + group.back()->duration <= event.time;
      const bool is_cause = event.link != 0 && group.front()->link == event.link;
      if (is_over || (is_cause && !is_copy(event.kind))) add_group(group, text);
    }
    std::vector<const Event*>& group = groups[event.thread];
    const bool joins = is_copy(event.kind) && !group.empty() && group.front()->time == event.time &&
                       group.front()->to == event.to;
    if (!joins) add_group(group, text);
    if (is_copy(event.kind))
      group.push_back(&event);
    else
      add_one(event, {event.time, event.time + event.duration}, text);
  }
  for (auto& [thread, group] : groups) add_group(group, text);
}

void ChromeWriter::add_group(std::vector<const Event*>& group, std::string& text) {
  if (group.empty()) return;
  std::uint64_t bytes = 0;
  for (const Event* event : group) bytes += event->size;
  const std::uint64_t began = group.front()->time;
  const std::uint64_t whole = group.back()->duration;
  std::uint64_t done = 0;
  const auto time_at = [&](std::uint64_t part) {
    if (bytes == 0) return began;
    return began +
           static_cast<std::uint64_t>(static_cast<double>(whole) * static_cast<double>(part) /
                                      static_cast<double>(bytes));
  };
  for (const Event* event : group) {
    const std::uint64_t begin = time_at(done);
    done += event->size;
    add_one(*event, {begin, time_at(done)}, text);
  }
  group.clear();
}

std::int64_t ChromeWriter::lane(const Track& track, Slice slice, std::string& text) {
  std::vector<Lane>& lanes = tracks_[track];
  auto free =
      std::ranges::find_if(lanes, [&](const Lane& each) { return each.end <= slice.begin; });
  if (free == lanes.end()) {
    const auto& [group, number, queue] = track;
    const bool is_thread = group == Group::thread && lanes.empty() && number > 0;
    lanes.push_back({is_thread ? number : first_id + ++last_id_});
    free = std::prev(lanes.end());
    text += ",\n{\"ph\": \"M\", \"pid\": ";
    append_number(text, static_cast<std::uint64_t>(facts_.process));
    text += ", \"tid\": ";
    append_number(text, static_cast<std::uint64_t>(free->id));
    text += ", \"name\": \"thread_name\", \"args\": {\"name\": \"";
    text += in_json(track_name(track, lanes.size())) + "\"}}";
  }
  free->end = std::max(free->end, slice.end);
  return free->id;
}

std::string ChromeWriter::track_name(const Track& track, std::size_t lane) const {
  const auto& [group, number, queue] = track;
  std::string name;
  if (group == Group::thread) {
    name = facts_.describe_thread ? facts_.describe_thread(number) : std::string("thread");
    name += " " + std::to_string(number);
  } else {
    append_name(name, number < 0 ? Location::host() : Location::device(number));
    const auto index = static_cast<std::size_t>(std::max(number, 0));
    if (number >= 0 && index < facts_.devices.size()) name += " (" + facts_.devices[index] + ")";
    name += group == Group::kernels  ? ", kernels of " + queue
            : group == Group::copies ? ", copies to it"
                                     : ", events";
  }
  return lane == 1 ? name : name + ", at the same time " + std::to_string(lane);
}

void ChromeWriter::add_one(const Event& event, Slice slice, std::string& text) {
  const std::vector<Pattern> found = patterns_.note(event);
  const std::int32_t number = number_of(place_of(event));
  const bool is_instant = event.duration == 0 || event.kind == EventKind::eviction;
  const Track track = is_of_thread(event.kind) ? Track{Group::thread, event.thread, ""}
                      : is_copy(event.kind)    ? Track{Group::copies, number, ""}
                      : event.kind == EventKind::kernel
                          ? Track{Group::kernels, number, queue_of(event.place)}
                          : Track{Group::events, number, ""};
  if (is_instant) slice.begin = slice.end;
  const std::int64_t id = lane(track, is_instant ? anywhere : slice, text);
  text += ",\n{\"name\": \"";
  text += event.kind == EventKind::kernel && !event.place.empty()
              ? in_json(event.place.substr(0, event.place.find(", ")))
              : name(event.kind);
  text += "\", \"cat\": \"";
  text += name(event.kind);
  text += "\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"tid\": ";
  append_number(text, static_cast<std::uint64_t>(id));
  text += ", \"ts\": ";
  append_time(text, slice.begin);
  if (is_instant) {
    text += ", \"ph\": \"i\", \"s\": \"t\"";
  } else {
    text += ", \"ph\": \"X\", \"dur\": ";
    append_time(text, slice.end - slice.begin);
  }
  add_arguments(event, text);
  if (event.link != 0 && !is_instant) {
    if (moved_.size() > most_links) moved_.clear();
    if (is_copy(event.kind)) {
      moved_[event.link] = event.time + event.duration;
      add_flow('t', event.link, slice.begin, id, text);
    } else if (event.kind == EventKind::cpu_fault) {
      add_grant(event, id, text);
    } else if (event.kind == EventKind::launch) {
      moved_.erase(event.link);
      add_flow('s', event.link, slice.begin, id, text);
    } else if (event.kind == EventKind::kernel) {
      add_flow('f', event.link, slice.begin, id, text);
    }
  }
  for (const Pattern& pattern : found) add_pattern(pattern, event.range, text);
}

// The copy is over, and the rights were given until the access went on.
void ChromeWriter::add_grant(const Event& fault, std::int64_t track, std::string& text) {
  const auto moved = moved_.find(fault.link);
  if (moved == moved_.end()) return;
  const std::uint64_t end = fault.time + fault.duration;
  const std::uint64_t begin = std::clamp(moved->second, fault.time, end);
  moved_.erase(moved);
  add_flow('s', fault.link, fault.time, track, text);
  text += ",\n{\"name\": \"Grant\", \"cat\": \"Grant\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"tid\": ";
  append_number(text, static_cast<std::uint64_t>(track));
  text += ", \"ts\": ";
  append_time(text, begin);
  text += ", \"ph\": \"X\", \"dur\": ";
  append_time(text, end - begin);
  text += "}";
  add_flow('f', fault.link, begin, track, text);
}

void ChromeWriter::add_flow(char phase, std::uint64_t link, std::uint64_t time, std::int64_t track,
                            std::string& text) const {
  text += ",\n{\"name\": \"because\", \"cat\": \"flow\", \"ph\": \"";
  text += phase;
  text += phase == 'f' ? "\", \"bp\": \"e\", \"id\": " : "\", \"id\": ";
  append_number(text, link);
  text += ", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"tid\": ";
  append_number(text, static_cast<std::uint64_t>(track));
  text += ", \"ts\": ";
  append_time(text, time);
  text += "}";
}

void ChromeWriter::add_arguments(const Event& event, std::string& text) {
  text += ", \"args\": {\"address\": ";
  append_address(text, event.address);
  text += ", \"size\": ";
  append_number(text, event.size);
  text += ", \"from\": \"";
  append_name(text, event.from);
  text += "\", \"to\": \"";
  append_name(text, event.to);
  text += "\", \"thread\": ";
  append_number(text, static_cast<std::uint64_t>(std::max(event.thread, 0)));
  if (event.cause != Cause::none) {
    text += ", \"cause\": \"";
    text += name(event.cause);
    text += '"';
  }
  if (event.link != 0) {
    text += ", \"link\": ";
    append_number(text, event.link);
  }
  if (event.kind == EventKind::cpu_fault || event.kind == EventKind::launch_use ||
      event.kind == EventKind::undeclared_access)
    text += event.writes ? ", \"access\": \"write\"" : ", \"access\": \"read\"";
  if (event.kind == EventKind::cpu_fault) {
    text += ", \"touched\": ";
    append_address(text, event.touched);
  }
  if (event.code != 0) text += ", \"code\": \"" + code(event.code) + '"';
  if (is_copy(event.kind)) {
    text += ", \"flight_us\": ";
    append_time(text, event.duration);
  }
  if (!event.place.empty()) text += ", \"place\": \"" + in_json(event.place) + '"';
  if (!event.range.empty()) text += ", \"range\": \"" + in_json(event.range) + '"';
  text += "}}";
}

void ChromeWriter::add_pattern(const Pattern& pattern, const std::string& range,
                               std::string& text) {
  const std::int32_t number = pattern.a.is_host() ? number_of(pattern.b) : number_of(pattern.a);
  const std::int64_t id = lane({Group::events, number, ""}, anywhere, text);
  text += pattern.kind == Pattern::Kind::thrashing
              ? ",\n{\"name\": \"ThrashingDetected\", \"cat\": \"Pattern\", \"pid\": "
              : ",\n{\"name\": \"FalseSharingDetected\", \"cat\": \"Pattern\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"tid\": ";
  append_number(text, static_cast<std::uint64_t>(id));
  text += ", \"ts\": ";
  append_time(text, pattern.time);
  text += ", \"ph\": \"i\", \"s\": \"t\", \"args\": {\"address\": ";
  append_address(text, pattern.address);
  text += ", \"size\": ";
  append_number(text, pattern.size);
  text += ", \"from\": \"";
  append_name(text, pattern.a);
  text += "\", \"to\": \"";
  append_name(text, pattern.b);
  text += "\", \"returns\": ";
  append_number(text, pattern.returns);
  if (!range.empty()) text += ", \"range\": \"" + in_json(range) + '"';
  text += "}}";
}

void ChromeWriter::add_residency(std::uint64_t time, std::span<const std::uint64_t> bytes,
                                 std::string& text) {
  text += ",\n{\"name\": \"bytes resident\", \"cat\": \"Counter\", \"ph\": \"C\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"ts\": ";
  append_time(text, time);
  text += ", \"args\": {";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text += i == 0 ? "\"" : ", \"";
    append_name(text, i == 0 ? Location::host() : Location::device(static_cast<int>(i) - 1));
    text += "\": ";
    append_number(text, bytes[i]);
  }
  text += "}}";
}

void ChromeWriter::add_missed(std::uint64_t time, std::uint64_t events, std::uint64_t kernels,
                              std::string& text) const {
  text += ",\n{\"name\": \"missed\", \"cat\": \"Counter\", \"ph\": \"C\", \"pid\": ";
  append_number(text, static_cast<std::uint64_t>(facts_.process));
  text += ", \"ts\": ";
  append_time(text, time);
  text += ", \"args\": {\"overwritten events\": ";
  append_number(text, events);
  text += ", \"kernels\": ";
  append_number(text, kernels);
  text += "}}";
}

const std::string& ChromeWriter::code(std::uint64_t address) {
  std::string& text = codes_[address];
  if (!text.empty()) return text;
  if (facts_.describe_code) {
    text = in_json(facts_.describe_code(address));
  } else {
    text = "0x";
    append_number(text, address, 16);
  }
  return text;
}

std::string print_chrome(std::span<const Event> events) {
  ChromeWriter writer({});
  std::string text = writer.opening();
  writer.add(events, text);
  text += ChromeWriter::closing;
  return text;
}

}  // namespace sluice::observe
