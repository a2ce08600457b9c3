// Narrator: reports the demo's progress: in a few lines, at length while it happens, or as one JSON
// document at its end. After every step it looks at the memory from three sides: /proc/self/maps,
// the host's page table, and the engine's directory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "demo/hosts.hpp"
#include "report.hpp"
#include "sluice/space.hpp"

namespace sluice::tool {

enum class Story : std::uint8_t { brief, verbose, json };

class Narrator {
 public:
  Narrator(const Space& space, Story story) : space_(space), story_(story) {}

  void opening();
  void scenario(const Host& host);
  void device(int number);
  // A step is done; `input` and `output` are shown as they are now.
  void step(int number, const std::string& what, const Range& input, const Range& output);
  // The scenario cannot run here, because that is missing.
  void lacking(const std::string& what);
  // The verdict on a scenario: an empty problem means that every value was right.
  void verdict(const std::string& problem);
  // "PASS", or the problem. The last line of the report.
  void conclusion(const std::string& result);

 private:
  [[nodiscard]] Json look_at(const Range& range) const;
  [[nodiscard]] std::string grade_in_words() const;

  Space space_;
  Story story_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  const Host* host_ = nullptr;  // of the scenario
  Json scenarios_ = Json::array();
  int device_ = -1;
};

}  // namespace sluice::tool
