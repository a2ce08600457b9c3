// The Trace Event Format, which Perfetto (https://ui.perfetto.dev) and chrome://tracing draw.
//
//   ChromeWriter writer(facts);
//   std::string text = writer.opening();
//   writer.add(events, text);              // any number of times
//   text += ChromeWriter::closing;         // from here on it is a valid document
//
// No two slices of a track overlap. A thread of the program, the kernels of a queue, and the copies
// to a location are a track each, and what runs at the same time in one of them is in a second one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "observe/patterns.hpp"
#include "sluice/trace.hpp"

namespace sluice::observe {

struct TraceFacts {
  int process = 1;
  std::string program = "a program";
  std::string version = {};
  std::string grade = {};
  std::vector<std::string> devices = {};  // their names
  // Texts for a thread of the program, and for an instruction; null: its number.
  std::function<std::string(std::int32_t)> describe_thread = nullptr;
  std::function<std::string(std::uint64_t)> describe_code = nullptr;
};

class ChromeWriter {
 public:
  static constexpr std::string_view closing = "\n]}\n";

  explicit ChromeWriter(TraceFacts facts) : facts_(std::move(facts)) {}

  [[nodiscard]] std::string opening() const;
  // Appends.
  void add(std::span<const Event> events, std::string& text);
  // The bytes that are resident at each location now: the host, and each device.
  void add_residency(std::uint64_t time, std::span<const std::uint64_t> bytes, std::string& text);
  // Events that were overwritten, and kernels that were left out, since the beginning.
  void add_missed(std::uint64_t time, std::uint64_t events, std::uint64_t kernels,
                  std::string& text) const;

 private:
  enum class Group : std::uint8_t { thread, kernels, copies, events };
  struct Lane {
    std::int64_t id;
    std::uint64_t end = 0;  // of its last slice
  };
  // The group, the thread or location, and the queue.
  using Track = std::tuple<Group, std::int32_t, std::string>;
  struct Slice {
    std::uint64_t begin;
    std::uint64_t end;
  };
  static constexpr Slice anywhere{~std::uint64_t{0}, 0};  // an instant overlaps nothing

  [[nodiscard]] std::int64_t lane(const Track& track, Slice slice, std::string& text);
  [[nodiscard]] std::string track_name(const Track& track, std::size_t lane) const;
  void add_one(const Event& event, Slice slice, std::string& text);
  void add_group(std::vector<const Event*>& group, std::string& text);
  void add_grant(const Event& fault, std::int64_t track, std::string& text);
  void add_flow(char phase, std::uint64_t link, std::uint64_t time, std::int64_t track,
                std::string& text) const;
  void add_arguments(const Event& event, std::string& text);
  void add_pattern(const Pattern& pattern, const std::string& range, std::string& text);
  [[nodiscard]] const std::string& code(std::uint64_t address);

  const TraceFacts facts_;
  std::map<Track, std::vector<Lane>> tracks_;
  std::int64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> moved_;  // by link: when its last copy ended
  std::unordered_map<std::uint64_t, std::string> codes_;
  Patterns patterns_;
};

[[nodiscard]] std::string print_chrome(std::span<const Event> events);

}  // namespace sluice::observe
