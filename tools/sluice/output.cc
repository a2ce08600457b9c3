// The end of the tool's output. See output.hpp. stdio keeps the fact that a write failed, but not
// why; so the last write is made again.

#include "output.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "engine/trace_file.hpp"
#include "program/text.hpp"

namespace sluice::tool {
namespace {

// 0: all of it arrived.
int error_of_stdout() noexcept {
  std::cout.flush();
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0 && std::cout.good()) return 0;
  if (flushed || errno == 0) {  // an earlier write failed: one more says why
    if (write(STDOUT_FILENO, "\n", 1) == 1) return EIO;
  }
  return errno;
}

}  // namespace

Exit finish_output(Exit exit) noexcept {
  const int error = error_of_stdout();
  if (error != 0 && error != EPIPE) {
    program::complain(
        "sluice: the output is incomplete: {}\n",
        std::strerror(error));  // NOLINT(concurrency-mt-unsafe): the other threads are gone
  }
  const bool incomplete = (error != 0 && error != EPIPE) || engine::TraceFile::failed() != 0;
  return incomplete && exit == Exit::good ? Exit::could_not_run : exit;
}

}  // namespace sluice::tool
