// Narrator: reports the demo's progress, as text while it happens or as one JSON document at its
// end. After every step it looks at the memory from three sides: /proc/self/maps, the host's page
// table, and the engine's directory.
#pragma once

#include <cstddef>
#include <string>

#include "report.hpp"
#include "sluice/space.hpp"

namespace sluice::tool {

class Narrator {
 public:
  Narrator(const Space& space, bool json) : space_(space), json_(json) {}

  void opening();
  void scenario(const char* title, const char* meaning);
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

  Space space_;
  bool json_;
  Json scenarios_ = Json::array();
  int device_ = -1;
};

}  // namespace sluice::tool
