// Events as text, as JSON lines and as a document that Perfetto loads.
#include "observe/print.hpp"

#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace sluice::observe {
namespace {

using nlohmann::json;

// One of each kind, one of them without a duration.
std::vector<Event> one_of_each() {
  std::vector<Event> events;
  for (int kind = 0; kind < event_kinds; ++kind) {
    events.push_back({.kind = static_cast<EventKind>(kind),
                      .from = kind % 2 == 0 ? Location::host() : Location::device(1),
                      .to = kind % 2 == 0 ? Location::device(63) : Location::host(),
                      .thread = 4242,
                      .time = 1'000'000'000'000U + static_cast<std::uint64_t>(kind) * 1500,
                      .duration = static_cast<std::uint64_t>(kind) * 250,
                      .address = 0x7f00'0000'1000,
                      .size = std::uint64_t{2} << 20});
  }
  return events;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(Print, names_are_the_drivers_names) {
  EXPECT_STREQ(name(EventKind::cpu_fault), "CpuFault");
  EXPECT_STREQ(name(EventKind::gpu_fault_replay), "GpuFaultReplay");
  EXPECT_STREQ(name(EventKind::read_duplicate_invalidate), "ReadDuplicateInvalidate");
  EXPECT_STREQ(name(EventKind::map_remote), "MapRemote");
  EXPECT_STREQ(name(static_cast<EventKind>(event_kinds)), "Unknown");
  for (int kind = 0; kind < event_kinds; ++kind)
    EXPECT_STRNE(name(static_cast<EventKind>(kind)), "Unknown");
}

TEST(Print, text_has_a_line_for_each_event) {
  const std::vector<Event> events = one_of_each();
  const std::vector<std::string> lines = lines_of(print(events, TraceFormat::text));
  ASSERT_EQ(lines.size(), events.size());
  EXPECT_NE(lines[3].find("Migration"), std::string::npos) << lines[3];
  EXPECT_NE(lines[3].find("4.500 us"), std::string::npos) << lines[3];
  EXPECT_NE(lines[3].find("device 1 -> host"), std::string::npos) << lines[3];
  EXPECT_NE(lines[3].find("0x7f0000001000"), std::string::npos) << lines[3];
}

TEST(Print, json_lines_give_every_field_back) {
  const std::vector<Event> events = one_of_each();
  const std::vector<std::string> lines = lines_of(print(events, TraceFormat::json_lines));
  ASSERT_EQ(lines.size(), events.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const json line = json::parse(lines[i]);
    EXPECT_EQ(line["event"], name(events[i].kind));
    EXPECT_EQ(line["time_ns"], events[i].time);
    EXPECT_EQ(line["duration_ns"], events[i].duration);
    EXPECT_EQ(line["size"], events[i].size);
    EXPECT_EQ(line["address"], "0x7f0000001000");
    EXPECT_EQ(line["from"], i % 2 == 0 ? "host" : "device 1");
    EXPECT_EQ(line["to"], i % 2 == 0 ? "device 63" : "host");
    EXPECT_EQ(line["thread"], 4242);
  }
}

TEST(Print, chrome_is_one_document_that_draws_every_event) {
  const json document = json::parse(print(one_of_each(), TraceFormat::chrome));
  int drawn = 0;
  for (const json& event : document["traceEvents"]) {
    ASSERT_TRUE(event.contains("pid"));
    if (event["ph"] == "M") continue;
    ++drawn;
    ASSERT_TRUE(event["ph"] == "X" || event["ph"] == "i") << event;
    EXPECT_EQ(event["ph"] == "X", event.contains("dur"));
    EXPECT_EQ(event["args"]["thread"], 4242);
  }
  EXPECT_EQ(drawn, event_kinds);
}

TEST(Print, ranges_have_their_names_in_every_format) {
  std::vector<Event> events = one_of_each();
  events[1].range = R"(a "name" of C:\)";
  EXPECT_THAT(lines_of(print(events, TraceFormat::text))[0], testing::EndsWith("thread 4242"));
  EXPECT_THAT(lines_of(print(events, TraceFormat::text))[1],
              testing::EndsWith(R"(thread 4242  'a "name" of C:\')"));
  const std::vector<std::string> lines = lines_of(print(events, TraceFormat::json_lines));
  EXPECT_EQ(json::parse(lines[0])["range"], "");
  EXPECT_EQ(json::parse(lines[1])["range"], events[1].range);
  int named = 0;
  const json document = json::parse(print(events, TraceFormat::chrome));
  for (const json& event : document["traceEvents"]) {
    if (!event.contains("args") || !event["args"].contains("range")) continue;
    EXPECT_EQ(event["args"]["range"], events[1].range);
    ++named;
  }
  EXPECT_EQ(named, 1);
}

// Any program that reads JSON must be able to read it.
TEST(Print, names_of_any_bytes_make_valid_documents) {
  std::vector<Event> events = one_of_each();
  for (const char* name :
       {"W\u00e4rme \u6e29\u5ea6 \U0001F321", "\xff", "caf\xe9", "\xc3", "\xc0\x80", "\xed\xa0\x80",
        "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    events[0].range = name;
    EXPECT_TRUE(json::accept(lines_of(print(events, TraceFormat::json_lines))[0])) << name;
    EXPECT_TRUE(json::accept(print(events, TraceFormat::chrome))) << name;
  }
  events[0].range = "caf\xe9!";
  EXPECT_EQ(json::parse(lines_of(print(events, TraceFormat::json_lines))[0])["range"],
            "caf\ufffd!");
  events[0].range = "W\u00e4rme";
  EXPECT_EQ(json::parse(lines_of(print(events, TraceFormat::json_lines))[0])["range"],
            "W\u00e4rme");
}

TEST(Print, no_events_are_still_well_formed) {
  EXPECT_EQ(print({}, TraceFormat::text), "");
  EXPECT_EQ(print({}, TraceFormat::json_lines), "");
  EXPECT_TRUE(json::accept(print({}, TraceFormat::chrome)));
}

}  // namespace
}  // namespace sluice::observe
