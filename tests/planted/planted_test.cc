// The stress run must find each planted bug of tests/mutants/stress/ and tests/mutants/chaos/, and
// nothing without one.
//
// Each run is a process of its own, the tool with the planted sources: a bug may well end in a
// crash or a hang, and those count as found too, as long as the run says which.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using nlohmann::json;

struct Outcome {
  int status = -1;
  std::string text;
  json result;  // null if there was none
};

constexpr const char* usual = " --threads 8 --devices 4";

// An empty `bug`: none.
Outcome run_stress(const std::string& bug, int seconds, int hang_seconds,
                   const std::string& how = usual) {
  const std::string command = (bug.empty() ? "" : "SLUICE_PLANT=" + bug + " ") +
                              SLUICE_TOOL_PLANTED + " stress --seconds " + std::to_string(seconds) +
                              " --hang-seconds " + std::to_string(hang_seconds) + how + " --json";
  Outcome outcome;
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> part{};
  for (std::size_t got = 0; (got = std::fread(part.data(), 1, part.size(), pipe)) > 0;) {
    outcome.text.append(part.data(), got);
  }
  outcome.status = pclose(pipe);
  outcome.result = json::parse(outcome.text, nullptr, false);
  return outcome;
}

std::vector<std::string> bugs_of(const char* suite) {
  std::vector<std::string> bugs;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(SLUICE_SOURCE_DIR) / "tests/mutants" / suite))
    bugs.push_back(entry.path().stem().string());
  std::sort(bugs.begin(), bugs.end());
  return bugs;
}

class Planted : public testing::TestWithParam<std::string> {};

// In a second or two, as a rule: a run ends with its first finding, and has a minute because a busy
// machine is slower. The watchdog's patience is short, so that a bug that shows as a hang is found
// in time as well.
TEST_P(Planted, is_found_within_a_minute) {
  const Outcome outcome = run_stress(GetParam(), 60, 6);
  ASSERT_TRUE(WIFEXITED(outcome.status)) << "ended by a signal\n" << outcome.text;
  EXPECT_EQ(WEXITSTATUS(outcome.status), 1) << outcome.text;
  ASSERT_TRUE(outcome.result.is_object()) << outcome.text;
  const json& result = outcome.result;
  EXPECT_GT(result["wrong_bytes"].get<int>() + result["violations"].get<int>() +
                result["hangs"].get<int>(),
            0)
      << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(Bug, Planted, testing::ValuesIn(bugs_of("stress")),
                         [](const auto& bug) { return bug.param; });

class PlantedChaos : public testing::TestWithParam<std::string> {};

// Nothing is lost where no device dies: that is for chaos to find.
TEST_P(PlantedChaos, finds_a_bug_about_losses_within_a_minute) {
  const Outcome outcome = run_stress(GetParam(), 60, 30, " --chaos");
  ASSERT_TRUE(outcome.result.is_object()) << outcome.text;
  EXPECT_EQ(WEXITSTATUS(outcome.status), 1) << outcome.text;
  EXPECT_GT(outcome.result["wrong_bytes"].get<int>(), 0) << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(Bug, PlantedChaos, testing::ValuesIn(bugs_of("chaos")),
                         [](const auto& bug) { return bug.param; });

// The same program finds nothing when nothing is planted: what it finds above is the bug. One run
// is enough, unless others load the machine.
TEST(PlantedNone, passes_and_was_busy) {
  int operations = 0;
  std::uint64_t bytes_checked = 0;
  for (int run = 0; run < 10 && (operations <= 1000 || bytes_checked <= 1U << 20); ++run) {
    const Outcome outcome = run_stress("", 10, 60);
    ASSERT_TRUE(outcome.result.is_object()) << outcome.text;
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    operations += outcome.result["operations"].get<int>();
    bytes_checked += outcome.result["bytes_checked"].get<std::uint64_t>();
  }
  EXPECT_GT(operations, 1000);
  EXPECT_GT(bytes_checked, 1U << 20);
}

}  // namespace
