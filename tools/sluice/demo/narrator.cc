// The demo's view of memory, and its report of that. See demo/narrator.hpp.
//
// The rights of the application view live in the host's page table, not in its mapping: the line in
// /proc/self/maps stays `rw-s` all along, while pages come and go below it. So the page table is
// shown too, from /proc/self/pagemap (bit 63: present;
// https://docs.kernel.org/admin-guide/mm/pagemap.html), which any process may read for itself.

#include "demo/narrator.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/types.hpp"
#include "guard_around.hpp"
#include "os/owned_fd.hpp"
#include "text.hpp"

namespace sluice::tool {
namespace {

constexpr const char* under_guard =
    "The demo runs under the guard, as with `sluice run --guard -- sluice demo`.";

// The line of /proc/self/maps that an address lies in, its runs of blanks made one.
std::string mapping_of(const void* pointer) {
  const std::uintptr_t address = Address::of(pointer).value;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) continue;
    if (address < begin || address >= end) continue;
    std::istringstream words(line);
    std::string shown;
    for (std::string word; words >> word;) shown += shown.empty() ? word : " " + word;
    return shown;
  }
  return "not mapped";
}

std::size_t pages_in_page_table(const Range& range) {
  constexpr std::uint64_t present = std::uint64_t{1} << 63;
  const os::OwnedFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  std::vector<std::uint64_t> entries(round_up(range.size(), page_size) / page_size);
  const auto first =
      static_cast<off_t>(Address::of(range.data()).value / page_size * sizeof entries[0]);
  const ssize_t got =
      pread(pagemap.get(), entries.data(), entries.size() * sizeof entries[0], first);
  if (got < 0) return 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof entries[0]; ++i) {
    if ((entries[i] & present) != 0) ++count;
  }
  return count;
}

// {"untouched": 3, "host": 253, ...}, without zero counts.
Json residency_of(const Space& space, const Range& range) {
  const auto summary = need("residency", space.residency(range.data(), range.size()));
  Json residency = Json::object();
  if (summary.untouched != 0) residency["untouched"] = summary.untouched;
  if (summary.host != 0) residency["host"] = summary.host;
  for (int device = 0; device < space.device_count(); ++device) {
    if (summary.device[device] != 0)
      residency[to_string(Location::device(device))] = summary.device[device];
  }
  if (summary.lost != 0) residency["lost"] = summary.lost;
  return residency;
}

void print_look(const char* name, const Json& look) {
  std::string residency;
  for (const auto& [location, pages] : look["residency"].items()) {
    residency +=
        fmt::format("{}{} {}", residency.empty() ? "" : ", ", pages.get<std::size_t>(), location);
  }
  fmt::print("      {:7} {}\n", name, look["mapping"].get<std::string>());
  fmt::print("              pages: {}; the host's page table has {}\n", residency,
             look["in_host_page_table"].get<std::size_t>());
}

}  // namespace

Json Narrator::look_at(const Range& range) const {
  // The page table last: reading the others must not change what it shows.
  Json look;
  look["mapping"] = mapping_of(range.data());
  look["residency"] = residency_of(space_, range);
  look["in_host_page_table"] = pages_in_page_table(range);
  return look;
}

void Narrator::opening() {
  const auto paragraph = [](const std::string& text) { fmt::print("{}\n", wrapped(text, 0, 0)); };
  const std::string title = fmt::format(
      "Sluice demo: one pointer for the host and {} software devices, in five kinds of host "
      "program",
      space_.device_count());
  if (story_ == Story::json) return;
  paragraph(title);
  if (story_ == Story::brief) return;
  paragraph(grade_in_words());
  if (guard_is_loaded()) paragraph(under_guard);
  paragraph(
      "After every step: the mapping (/proc/self/maps), where the pages are (as the engine knows "
      "it), and how many of them the host can touch without asking (its page table).");
}

std::string Narrator::grade_in_words() const {
  const SpaceStatus status = space_.status();
  return fmt::format("Grade {}{}{}.", to_string(status.grade),
                     status.grade_reason.empty() ? "" : ": ", status.grade_reason);
}

void Narrator::scenario(const Host& host) {
  host_ = &host;
  scenarios_.push_back({{"scenario", host.title()}, {"steps", Json::array()}, {"needs", nullptr}});
  if (story_ == Story::verbose)
    fmt::print("\n=== {}\n    {}\n", host.title(), wrapped(host.meaning(), 4, 4));
  if (story_ == Story::brief)
    fmt::print("{}\n   elsewhere  {}\n", host.title(), wrapped(host.elsewhere(), 14, 14));
}

void Narrator::device(int number) {
  device_ = number;
  if (story_ == Story::verbose) fmt::print("\n  Device {}\n", number);
}

void Narrator::step(int number, const std::string& what, const Range& input, const Range& output) {
  if (story_ == Story::brief) return;
  const Json input_look = look_at(input);
  const Json output_look = look_at(output);
  if (story_ == Story::json) {
    Json step = {{"device", device_}, {"step", number}, {"what", what}};
    step["input"] = input_look;
    step["output"] = output_look;
    scenarios_.back()["steps"].push_back(std::move(step));
    return;
  }
  fmt::print("    Step {}: {}\n", number, what);
  print_look("input", input_look);
  print_look("output", output_look);
  std::fflush(stdout);
}

void Narrator::lacking(const std::string& what) {
  scenarios_.back()["needs"] = what;
  scenarios_.back()["problem"] = nullptr;
  if (story_ == Story::verbose) fmt::print("  It needs {}\n", wrapped(what, 11, 2));
  if (story_ == Story::brief) fmt::print("   here       it needs {}\n", wrapped(what, 23, 14));
}

void Narrator::verdict(const std::string& problem) {
  scenarios_.back()["problem"] = problem.empty() ? Json() : Json(problem);
  if (story_ == Story::brief)
    fmt::print("   here       {}\n",
               wrapped(problem.empty() ? host_->here() : "WRONG: " + problem, 14, 14));
  if (story_ != Story::verbose) return;
  if (problem.empty())
    fmt::print("  Every value is right.\n");
  else
    fmt::print("  WRONG: {}\n", problem);
}

void Narrator::conclusion(const std::string& result) {
  if (story_ == Story::brief) {
    const double seconds = seconds_between(began_, std::chrono::steady_clock::now());
    fmt::print("{}\n", wrapped(grade_in_words(), 0, 0));
    if (guard_is_loaded()) fmt::print("{}\n", wrapped(under_guard, 0, 0));
    fmt::print("It took {:.1f} s. `sluice demo --verbose` shows every step.\n", seconds);
  }
  if (story_ != Story::json) {
    fmt::print("{}{}\n", story_ == Story::verbose ? "\n" : "", wrapped("demo: " + result, 0, 2));
    return;
  }
  const SpaceStatus status = space_.status();
  Json document = {
      {"demo", result}, {"machine", machine_facts()}, {"grade", to_string(status.grade)}};
  document["grade_reason"] = status.grade_reason;
  document["guard"] = guard_is_loaded();
  document["devices"] = space_.device_count();
  document["scenarios"] = std::move(scenarios_);
  print_json(document);
}

}  // namespace sluice::tool
