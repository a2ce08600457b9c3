// Reads the traces that Sluice writes, an event a line, so that a trace of any length fits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "report.hpp"

namespace sluice::tool::report {

// One event, as the document has it. Times in nanoseconds.
struct Entry {
  std::string kind;  // "Migration"; "Pattern", "Counter" and "M" have names beside it
  std::string name;
  std::int64_t process = 0;
  std::uint64_t time = 0;
  std::uint64_t duration = 0;
  Json arguments;

  [[nodiscard]] std::string text(const char* key) const;
  [[nodiscard]] std::uint64_t number(const char* key) const;
  [[nodiscard]] std::uint64_t address(const char* key) const;
};

struct TraceHead {
  Json facts;                    // "otherData"
  std::uint64_t unreadable = 0;  // lines; a process that was killed may leave one
};

// Hands every event to `use`. CannotRun if there is no such file, or if it is no trace of Sluice.
[[nodiscard]] TraceHead read_trace(const std::string& file,
                                   const std::function<void(const Entry&)>& use);

}  // namespace sluice::tool::report
