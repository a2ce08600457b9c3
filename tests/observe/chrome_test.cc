// The document that Perfetto draws: what it requires of slices and flows, whatever the events are.
#include "observe/chrome.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

namespace sluice::observe {
namespace {

using nlohmann::json;

constexpr std::uint64_t base = 0x7f00'0000'0000;

json document_of(const std::vector<Event>& events) {
  return json::parse(print_chrome(events))["traceEvents"];
}

std::int64_t nanoseconds(const json& time) {
  return static_cast<std::int64_t>(time.get<double>() * 1000 + 0.5);
}

// Slices of a track contain one another or do not touch.
bool are_nested(const json& events) {
  std::map<std::int64_t, std::vector<std::pair<std::int64_t, std::int64_t>>> tracks;
  for (const json& event : events) {
    if (event["ph"] != "X") continue;
    const std::int64_t begin = nanoseconds(event["ts"]);
    tracks[event["tid"].get<std::int64_t>()].emplace_back(begin, -nanoseconds(event["dur"]));
  }
  for (auto& [track, slices] : tracks) {
    std::sort(slices.begin(), slices.end());  // of those that begin together the longest first
    std::vector<std::int64_t> open;
    for (const auto& [begin, length] : slices) {
      while (!open.empty() && open.back() <= begin) open.pop_back();
      if (!open.empty() && begin - length > open.back()) return false;
      open.push_back(begin - length);
    }
  }
  return true;
}

Event any_event() {
  Event event;
  event.kind = static_cast<EventKind>(*rc::gen::inRange(0, event_kinds));
  const auto location = [] {
    const int number = *rc::gen::inRange(-1, 3);
    return number < 0 ? Location::host() : Location::device(number);
  };
  event.from = location();
  event.to = location();
  event.thread = *rc::gen::inRange(1, 4);
  event.time = 1000 + static_cast<std::uint64_t>(*rc::gen::inRange(0, 200));
  event.duration = static_cast<std::uint64_t>(*rc::gen::inRange(0, 100));
  event.address = base + static_cast<std::uint64_t>(*rc::gen::inRange(0, 64)) * 4096;
  event.size = 4096;
  event.cause = static_cast<Cause>(*rc::gen::inRange(0, causes));
  event.link = static_cast<std::uint64_t>(*rc::gen::inRange(0, 5));
  event.place = *rc::gen::element<std::string>("", "saxpy, queue 1, a.cc:1, in main");
  return event;
}

RC_GTEST_PROP(Chrome, no_slices_of_a_track_overlap, ()) {
  const auto events = *rc::gen::container<std::vector<Event>>(rc::gen::exec(any_event));
  RC_ASSERT(are_nested(document_of(events)));
}

TEST(Chrome, an_access_flows_to_its_copy_and_to_the_grant) {
  const Event copy{.kind = EventKind::migration,
                   .from = Location::device(0),
                   .thread = 7,
                   .time = 2000,
                   .duration = 500,
                   .address = base,
                   .size = 4096,
                   .cause = Cause::host_access,
                   .link = 3};
  const Event fault{.kind = EventKind::cpu_fault,
                    .thread = 9,
                    .time = 1500,
                    .duration = 1200,
                    .address = base,
                    .size = 4096,
                    .link = 3,
                    .touched = base + 8};
  std::map<std::string, json> slices;
  std::map<std::string, json> flows;
  for (const json& event : document_of({copy, fault})) {
    if (event["ph"] == "X") slices[event["name"]] = event;
    if (event.value("cat", "") == "flow") flows[event["ph"]] = event;
  }
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices["Migration"]["args"]["cause"], "host access");
  EXPECT_EQ(slices["CpuFault"]["args"]["touched"], "0x7f0000000008");
  EXPECT_EQ(nanoseconds(slices["Grant"]["ts"]), 2500);
  EXPECT_EQ(nanoseconds(slices["Grant"]["dur"]), 200);
  ASSERT_EQ(flows.size(), 3U);
  EXPECT_EQ(flows["s"]["tid"], slices["CpuFault"]["tid"]);
  EXPECT_EQ(flows["t"]["tid"], slices["Migration"]["tid"]);
  EXPECT_EQ(flows["f"]["tid"], slices["Grant"]["tid"]);
  for (const auto& [phase, flow] : flows) EXPECT_EQ(flow["id"], 3);
}

TEST(Chrome, copies_that_were_started_together_share_their_time_by_bytes) {
  std::vector<Event> copies;
  for (std::uint64_t i = 0; i < 3; ++i)
    copies.push_back({.kind = EventKind::migration,
                      .to = Location::device(0),
                      .thread = 7,
                      .time = 1000,
                      .duration = 8000,
                      .address = base + (i << 21),
                      .size = i == 2 ? 8192U : 4096U});
  std::set<std::pair<std::int64_t, std::int64_t>> drawn;
  std::set<std::int64_t> tracks;
  for (const json& event : document_of(copies)) {
    if (event["ph"] != "X") continue;
    drawn.emplace(nanoseconds(event["ts"]), nanoseconds(event["dur"]));
    tracks.insert(event["tid"].get<std::int64_t>());
    EXPECT_EQ(event["args"]["flight_us"], 8.0);
  }
  EXPECT_EQ(tracks.size(), 1U);
  EXPECT_EQ(drawn, (std::set<std::pair<std::int64_t, std::int64_t>>{
                       {1000, 2000}, {3000, 2000}, {5000, 4000}}));
}

TEST(Chrome, kernels_have_their_names_and_their_queues_tracks) {
  const Event kernel{.kind = EventKind::kernel,
                     .from = Location::device(0),
                     .to = Location::device(0),
                     .time = 10,
                     .duration = 5,
                     .place = "saxpy, queue 2, program.cc:21, in main"};
  bool is_named = false;
  for (const json& event : document_of({kernel})) {
    if (event["name"] == "thread_name")
      is_named = is_named || event["args"]["name"] == "device 0, kernels of queue 2";
    if (event["ph"] == "X") {
      EXPECT_EQ(event["name"], "saxpy");
    }
  }
  EXPECT_TRUE(is_named);
}

TEST(Chrome, a_document_may_grow_and_is_whole_after_each_part) {
  ChromeWriter writer({.process = 42, .program = "a \"program\"", .devices = {"GPU"}});
  std::string text = writer.opening();
  const auto is_whole = [&] { return json::accept(text + std::string(ChromeWriter::closing)); };
  EXPECT_TRUE(is_whole());
  writer.add(std::vector<Event>{{.kind = EventKind::launch, .thread = 1, .time = 1, .duration = 1}},
             text);
  EXPECT_TRUE(is_whole());
  writer.add_residency(5, std::vector<std::uint64_t>{4096, 8192}, text);
  writer.add_missed(6, 7, 8, text);
  EXPECT_TRUE(is_whole());
  const json events = json::parse(text + std::string(ChromeWriter::closing))["traceEvents"];
  EXPECT_EQ(events[events.size() - 2]["args"], (json{{"host", 4096}, {"device 0", 8192}}));
  EXPECT_EQ(events.back()["args"]["overwritten events"], 7);
  EXPECT_EQ(events.back()["pid"], 42);
}

}  // namespace
}  // namespace sluice::observe
