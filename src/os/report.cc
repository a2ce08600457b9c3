// report: vsnprintf on the stack, write(2) once. A line that stderr does not take is dropped: there
// is no other place to report it.
#include "os/report.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/plain_text.hpp"

namespace sluice::os {

void report(const char* format, ...) noexcept {
  constexpr char prefix[] = "sluice: ";
  char line[512];
  std::memcpy(line, prefix, sizeof prefix);
  constexpr std::size_t begin = sizeof prefix - 1;
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line + begin, sizeof line - begin - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  std::size_t end = begin + std::min(static_cast<std::size_t>(length), sizeof line - begin - 2);
  make_plain(line, end);
  line[end++] = '\n';
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, end);
}

}  // namespace sluice::os
