// TraceFile: a space's events, written to a file when the space closes, because somebody outside the program asked for it
// (SLUICE_TRACE=FILE, as `sluice run --trace FILE` sets it).
#pragma once

#include <string>

#include "observe/observe.hpp"

namespace sluice::engine {

class TraceFile {
 public:
  // Starts recording if the environment names a file. A trace that cannot start is reported on stderr and left out.
  void begin(observe::Observer& observer);
  // Writes what the ring holds. The second space of a process writes to FILE.2, and so on.
  void end(observe::Observer& observer) noexcept;

 private:
  std::string path_;
};

}  // namespace sluice::engine
