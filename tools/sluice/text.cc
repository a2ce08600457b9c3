// Breaks text into lines. See text.hpp. A line that fits is left exactly as it is, so that columns
// inside it survive.

#include "text.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace sluice::tool {
namespace {

constexpr std::size_t usual_width = 80;
constexpr std::size_t least_width = 40;

// Where a line of at most `room` characters may end: before a blank, else after a comma, else
// anywhere.
std::size_t end_of_line(std::string_view rest, std::size_t room) {
  const std::size_t blank = rest.rfind(' ', room);
  if (blank != std::string_view::npos && blank != 0 && rest.find_first_not_of(' ') < blank)
    return blank;
  const std::size_t comma = rest.rfind(',', room - 1);
  if (comma != std::string_view::npos && comma != 0) return comma + 1;
  return room;
}

}  // namespace

std::size_t terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
      size.ws_col == 0)
    return usual_width;
  return std::max<std::size_t>(size.ws_col, least_width);
}

std::string wrapped(std::string_view text, std::size_t column, std::size_t indent,
                    std::size_t width) {
  // Words get some room, however deep the indent is.
  width = std::max(width, indent + least_width / 2);
  std::string result;
  const auto new_line = [&] {
    result += '\n';
    result.append(indent, ' ');
    column = indent;
  };
  while (true) {
    const std::size_t end = text.find('\n');
    std::string_view rest = text.substr(0, end);
    while (column + rest.size() > width) {
      const std::size_t room = width > column ? width - column : 0;
      const std::size_t length = room == 0 ? 0 : end_of_line(rest, room);
      result += rest.substr(0, length);
      rest.remove_prefix(length);
      rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
      if (rest.empty()) break;
      new_line();
    }
    result += rest;
    if (end == std::string_view::npos) return result;
    text.remove_prefix(end + 1);
    new_line();
  }
}

std::string entry(std::string_view name, std::string_view meaning, std::size_t indent,
                  std::size_t width) {
  std::string result = "  " + wrapped(name, 2, 6, width);
  const std::size_t last_line =
      result.rfind('\n') == std::string::npos ? 0 : result.rfind('\n') + 1;
  const std::size_t column = result.size() - last_line;
  if (meaning.empty()) return result + '\n';
  if (column < indent)
    result.append(indent - column, ' ');
  else
    result += '\n' + std::string(indent, ' ');
  return result + wrapped(meaning, indent, indent, width) + '\n';
}

}  // namespace sluice::tool
