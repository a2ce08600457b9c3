// The resources of a process, read from /proc/self. See stress/footprint.hpp.
//
// Mappings as such are no measure: the allocator, the thread library and the sanitizers keep
// mappings of their own. Only mappings of memory files count here, and those as large as a
// reservation.

#include "stress/footprint.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

namespace sluice::stress {
namespace {

constexpr auto patience = std::chrono::seconds(1);

// The sanitizers follow every large mapping with some of their own, and keep those.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool reservations_can_be_told = false;
#else
constexpr bool reservations_can_be_told = true;
#endif

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

std::size_t children() {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream list(task.path() / "children");
    for (long child = 0; list >> child;) ++count;
  }
  return count;
}

void count_mappings(Footprint& footprint) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) continue;
    if (line.find("/memfd:") != std::string::npos)
      ++footprint.memory_file_mappings;
    else if (reservations_can_be_told && end - begin >= std::size_t{1} << 30)
      footprint.reservations.push_back(line.substr(0, line.find(' ')));
  }
}

std::vector<std::string> compare(const Footprint& before, const Footprint& now) {
  std::vector<std::string> leaks;
  const auto check = [&](const char* what, std::size_t had, std::size_t has) {
    if (has > had)
      leaks.push_back(fmt::format("{} {} more than before the space was opened", has - had, what));
  };
  check("descriptors", before.descriptors, now.descriptors);
  check("mappings of memory files", before.memory_file_mappings, now.memory_file_mappings);
  const std::size_t had = before.reservations.size();
  check("reservations of a GiB or more", had, now.reservations.size());
  if (now.reservations.size() > had)
    leaks.back() += fmt::format("; now {}", fmt::join(now.reservations, ", "));
  check("child processes", before.processes, now.processes);
  check("threads", before.threads, now.threads);
  return leaks;
}

}  // namespace

Footprint take_footprint() {
  Footprint footprint;
  footprint.descriptors = entries("/proc/self/fd");
  footprint.processes = children();
  footprint.threads = entries("/proc/self/task");
  count_mappings(footprint);
  return footprint;
}

std::vector<std::string> leaks_since(const Footprint& before) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::vector<std::string> leaks = compare(before, take_footprint());
  while (!leaks.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    leaks = compare(before, take_footprint());
  }
  return leaks;
}

}  // namespace sluice::stress
