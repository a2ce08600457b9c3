// Computes rates and lays out spaces. Pure.
//
// Rates are of the time between two answers of a space, not between two looks, so a space that
// answers late shows no wrong ones. What it does not do: decide what is bad; `sluice report` does.
#include "top/view.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "observe/observe.hpp"
#include "program/text.hpp"

namespace sluice::tool::top {
namespace {

constexpr double nanoseconds = 1e9;
constexpr int bar_columns = 20;

double seconds_between_answers(const Change& space) {
  if (!space.before) return 0;
  const std::uint64_t before = space.before->page.time;
  return space.now.page.time > before
             ? static_cast<double>(space.now.page.time - before) / nanoseconds
             : 0;
}

// Counters of another process are whatever it writes there.
double rate(std::uint64_t before, std::uint64_t now, double seconds) {
  return now > before && seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

const observe::RangeStatusEntry* earlier(const Change& space,
                                         const observe::RangeStatusEntry& range) {
  if (!space.before) return nullptr;
  const observe::StatusPage& page = space.before->page;
  for (std::size_t i = 0; i < page.listed_ranges; ++i)
    if (page.worst[i].number == range.number) return &page.worst[i];
  return nullptr;
}

double seconds_since(std::uint64_t time) {
  const std::uint64_t now = observe::now();
  return now > time ? static_cast<double>(now - time) / nanoseconds : 0;
}

Json json_of(const Counters& counters) {
  return {{"cpu_faults", counters.cpu_faults},
          {"gpu_faults", counters.gpu_faults},
          {"fatal_faults", counters.fatal_faults},
          {"stuck_accesses", counters.stuck_accesses},
          {"launches", counters.launches},
          {"prefetches", counters.prefetches},
          {"evicted_blocks", counters.evicted_blocks},
          {"bytes_to_host", counters.bytes_to_host},
          {"bytes_to_devices", counters.bytes_to_devices},
          {"bytes_between_devices", counters.bytes_between_devices},
          {"bytes_evicted", counters.bytes_evicted},
          {"bytes_filled", counters.bytes_filled},
          {"devices_lost", counters.devices_lost},
          {"queue_stops", counters.queue_stops},
          {"relocated_blocks", counters.relocated_blocks},
          {"bytes_relocated", counters.bytes_relocated},
          {"borrowed_blocks", counters.borrowed_blocks},
          {"undeclared_accesses", counters.undeclared_accesses}};
}

Json json_of(const Change& space) {
  const observe::StatusPage& page = space.now.page;
  Json document = {{"pid", space.now.process},
                   {"space", page.space},
                   {"program", page.program.data()},
                   {"grade", page.grade.data()},
                   {"answers", space.now.answers},
                   {"age", seconds_since(page.time)},
                   {"open", seconds_since(page.opened)},
                   {"ranges", page.ranges},
                   {"range_bytes", page.range_bytes},
                   {"host", {{"resident", page.host_resident}, {"budget", page.host_budget}}}};
  document["devices"] = Json::array();
  for (std::size_t i = 0; i < page.device_count; ++i) {
    const observe::DeviceStatusEntry& device = page.devices[i];
    document["devices"].push_back({{"name", device.name.data()},
                                   {"budget", device.budget},
                                   {"in_use", device.in_use},
                                   {"resident", device.resident},
                                   {"lost", device.lost != 0}});
  }
  document["counters"] = json_of(page.counters);
  document["per_second"] = nullptr;
  if (const double seconds = seconds_between_answers(space); seconds > 0) {
    const Json before = json_of(space.before->page.counters);
    Json rates;
    for (const auto& [name, value] : document["counters"].items())
      rates[name] = rate(before.at(name).get<std::uint64_t>(), value.get<std::uint64_t>(), seconds);
    document["per_second"] = std::move(rates);
  }
  document["worst"] = Json::array();
  for (std::size_t i = 0; i < page.listed_ranges; ++i) {
    const observe::RangeStatusEntry& range = page.worst[i];
    document["worst"].push_back({{"name", range.name.data()},
                                 {"address", fmt::format("{:#x}", range.address)},
                                 {"size", range.size},
                                 {"faults", range.faults},
                                 {"bytes_to_host", range.to_host},
                                 {"bytes_to_devices", range.to_devices}});
  }
  return document;
}

std::string bytes(double amount) {
  constexpr double kib = 1024;
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  for (; amount >= kib && unit + 1 < std::size(units); ++unit) amount /= kib;
  return fmt::format("{:.{}f} {}", amount, unit == 0 || amount >= 100 ? 0 : 1, units[unit]);
}

std::string bytes(std::uint64_t amount) { return bytes(static_cast<double>(amount)); }

std::string duration(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bar(std::uint64_t part, std::uint64_t whole) {
  const double share =
      whole == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
  const int full = static_cast<int>(share * bar_columns + 0.5);
  return std::string(static_cast<std::size_t>(full), '|') +
         std::string(static_cast<std::size_t>(bar_columns - full), ' ');
}

void add_devices(const observe::StatusPage& page, std::vector<Line>& lines) {
  for (std::size_t i = 0; i < page.device_count; ++i) {
    const observe::DeviceStatusEntry& device = page.devices[i];
    lines.push_back(
        {device.lost != 0 ? Style::alarm : Style::plain,
         fmt::format("  device {:<3} [{}] {} of {}{}  {}", i, bar(device.in_use, device.budget),
                     bytes(device.in_use), bytes(device.budget), device.lost != 0 ? ", lost" : "",
                     device.name.data())});
  }
}

void add_rates(const Change& space, std::vector<Line>& lines) {
  const double seconds = seconds_between_answers(space);
  if (seconds <= 0) return;
  const Counters& before = space.before->page.counters;
  const Counters& now = space.now.page.counters;
  const auto of = [&](std::uint64_t Counters::* counter) {
    return rate(before.*counter, now.*counter, seconds);
  };
  lines.push_back(
      {Style::plain,
       fmt::format("  a second   {:.0f} host faults, {:.0f} device faults, {:.0f} "
                   "launches; {} to the host, {} to devices, {} between them; {:.0f} "
                   "blocks evicted",
                   of(&Counters::cpu_faults), of(&Counters::gpu_faults), of(&Counters::launches),
                   bytes(of(&Counters::bytes_to_host)), bytes(of(&Counters::bytes_to_devices)),
                   bytes(of(&Counters::bytes_between_devices)), of(&Counters::evicted_blocks))});
}

void add_ranges(const Change& space, std::vector<Line>& lines) {
  const observe::StatusPage& page = space.now.page;
  const double seconds = seconds_between_answers(space);
  if (page.listed_ranges == 0) return;
  lines.push_back(
      {Style::dim,
       fmt::format("  {:>10} {:>12} {:>12}  {:>10}  {}", seconds > 0 ? "faults/s" : "faults",
                   seconds > 0 ? "to host/s" : "to host",
                   seconds > 0 ? "to devices/s" : "to devices", "size", "range")});
  for (std::size_t i = 0; i < page.listed_ranges; ++i) {
    const observe::RangeStatusEntry& range = page.worst[i];
    const observe::RangeStatusEntry* const before = earlier(space, range);
    const bool has_rates = seconds > 0 && before != nullptr;
    const auto shown = [&](std::uint64_t observe::RangeStatusEntry::* field) {
      return has_rates ? rate(before->*field, range.*field, seconds)
                       : static_cast<double>(range.*field);
    };
    lines.push_back(
        {Style::plain,
         fmt::format(
             "  {:>10.0f} {:>12} {:>12}  {:>10}  {}", shown(&observe::RangeStatusEntry::faults),
             bytes(shown(&observe::RangeStatusEntry::to_host)),
             bytes(shown(&observe::RangeStatusEntry::to_devices)), bytes(range.size),
             range.name[0] != 0 ? range.name.data() : fmt::format("{:#x}", range.address))});
  }
}

}  // namespace

std::vector<Change> changes(const std::vector<Space>& before, const std::vector<Space>& now) {
  std::vector<Change> all;
  for (const Space& space : now) {
    Change change{space};
    const auto same = std::find_if(before.begin(), before.end(), [&](const Space& other) {
      return other.process == space.process && other.page.space == space.page.space &&
             other.page.opened == space.page.opened;
    });
    if (same != before.end()) change.before = *same;
    all.push_back(std::move(change));
  }
  return all;
}

Json json_of(const std::vector<Change>& spaces) {
  Json document = {{"spaces", Json::array()}};
  for (const Change& space : spaces) document["spaces"].push_back(json_of(space));
  return document;
}

std::vector<Line> lines_of(const std::vector<Change>& spaces) {
  std::vector<Line> lines;
  for (const Change& space : spaces) {
    const observe::StatusPage& page = space.now.page;
    lines.push_back(
        {Style::title,
         fmt::format("{} {}  space {}  grade {}  open {}  {} ranges, {}", space.now.process,
                     page.program.data(), page.space, page.grade.data(),
                     duration(seconds_since(page.opened)), page.ranges, bytes(page.range_bytes))});
    if (!space.now.answers)
      lines.push_back({Style::alarm, fmt::format("  no answer for {:.0f} s: what follows is old",
                                                 seconds_since(page.time))});
    lines.push_back(
        {Style::plain, page.host_budget == 0
                           ? fmt::format("  host       {} resident", bytes(page.host_resident))
                           : fmt::format("  host       [{}] {} resident, budget {}",
                                         bar(page.host_resident, page.host_budget),
                                         bytes(page.host_resident), bytes(page.host_budget))});
    add_devices(page, lines);
    add_rates(space, lines);
    add_ranges(space, lines);
    lines.push_back({});
  }
  return lines;
}

}  // namespace sluice::tool::top
