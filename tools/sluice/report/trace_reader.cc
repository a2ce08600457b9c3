// The document's first line has what is known of the process; each line after it is one event. See
// observe/chrome.cc, which writes it.
//
// Cost: some 3 us an event. What it does not do: read traces of other programs.

#include "report/trace_reader.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace sluice::tool::report {
namespace {

constexpr const char* head_mark = "\"traceEvents\": [";

std::uint64_t nanoseconds(const Json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) return 0;
  const double microseconds = found->get<double>();
  return microseconds <= 0 ? 0 : static_cast<std::uint64_t>(microseconds * 1000 + 0.5);
}

Entry entry_of(const Json& event) {
  Entry entry;
  entry.name = event.value("name", "");
  entry.kind = event.value("cat", event.value("ph", ""));
  entry.process = event.value("pid", std::int64_t{0});
  entry.time = nanoseconds(event, "ts");
  entry.duration = nanoseconds(event, "dur");
  entry.arguments = event.value("args", Json::object());
  return entry;
}

}  // namespace

std::string Entry::text(const char* key) const {
  const auto found = arguments.find(key);
  return found != arguments.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t Entry::number(const char* key) const {
  const auto found = arguments.find(key);
  return found != arguments.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::uint64_t Entry::address(const char* key) const {
  return std::strtoull(text(key).c_str(), nullptr, 16);
}

TraceHead read_trace(const std::string& file, const std::function<void(const Entry&)>& use) {
  std::ifstream stream(file);
  if (!stream)
    throw CannotRun(fmt::format("{} cannot be read: {}", file,
                                std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  TraceHead head;
  std::string line;
  std::getline(stream, line);
  const Json first = Json::parse(line + "]}", nullptr, false);
  if (line.find(head_mark) == std::string::npos || !first.is_object() ||
      !first.contains("otherData") || !first["otherData"].contains("sluice"))
    throw CannotRun(fmt::format(
        "{} is no trace of Sluice\nTry: sluice trace -- PROGRAM, which writes sluice.PID.json",
        file));
  head.facts = first["otherData"];
  while (std::getline(stream, line)) {
    if (line.empty() || line.front() != '{') continue;
    if (line.back() == ',') line.pop_back();
    const Json event = Json::parse(line, nullptr, false);
    if (!event.is_object()) {
      ++head.unreadable;
      continue;
    }
    use(entry_of(event));
  }
  return head;
}

}  // namespace sluice::tool::report
