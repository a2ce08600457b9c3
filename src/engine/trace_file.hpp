// TraceFile: a space's events, written to a file when the space closes, at the request of the
// environment (SLUICE_TRACE=FILE, as `sluice run --trace FILE` sets it).
//
// Processes that a program starts inherit the request, so several may be asked for the same file.
// None overwrites an existing file: `%p` in FILE is the process id; a second space of a process
// writes to FILE.2; a file that exists already leads to FILE.PID. A name that differs from the
// requested one is reported on stderr.
#pragma once

#include <string>

#include "observe/observe.hpp"

namespace sluice::engine {

class TraceFile {
 public:
  // Starts recording if the environment names a file. A trace that cannot start is reported on
  // stderr and skipped.
  void begin(observe::Observer& observer);
  // Writes the events in the ring.
  void end(observe::Observer& observer) noexcept;

  // Traces of this process that were asked for and could not be written.
  [[nodiscard]] static int failed() noexcept;

 private:
  std::string path_;  // absolute
  int space_ = 0;     // of this process; the first is 1
};

}  // namespace sluice::engine
