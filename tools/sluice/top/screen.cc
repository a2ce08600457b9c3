// Draws with ncurses, in the terminal's own colours and any size.
//
// Takes a look each time the delay has passed; keys are answered meanwhile. What it does not do:
// sort or filter; `--pid` and `--json` do.
#include "top/screen.hpp"

// Or its functions would be macros with everyday names.
#define NCURSES_NOMACROS
#include <curses.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <string>

#include "program/need.hpp"
#include "top/view.hpp"

namespace sluice::tool::top {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t is_over = 0;

// The terminal is put back however the program ends.
class Terminal {
 public:
  Terminal() {
    std::setlocale(LC_ALL, "");  // NOLINT(concurrency-mt-unsafe): no other thread is there
    if (::initscr() == nullptr) throw program::CannotRun("the terminal cannot be used");
    ::cbreak();
    ::noecho();
    ::keypad(stdscr, TRUE);
    ::curs_set(0);
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
      std::signal(number, [](int) { is_over = 1; });
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { ::endwin(); }
};

attr_t attributes_of(Style style) {
  switch (style) {
    case Style::title:
      return A_BOLD;
    case Style::dim:
      return A_DIM;
    case Style::alarm:
      return A_REVERSE;
    case Style::plain:
      break;
  }
  return A_NORMAL;
}

void draw(const std::vector<Line>& lines, int first) {
  ::erase();
  ::attrset(A_REVERSE);
  const std::string head = "sluice top   q: quit   up, down: scroll";
  ::mvaddnstr(0, 0, (head + std::string(static_cast<std::size_t>(std::max(COLS, 0)), ' ')).c_str(),
              COLS);
  for (int row = 1; row < LINES; ++row) {
    const auto at = static_cast<std::size_t>(first + row - 1);
    if (at >= lines.size()) break;
    ::attrset(attributes_of(lines[at].style));
    ::mvaddnstr(row, 0, lines[at].text.c_str(), COLS);
  }
  if (lines.empty()) {
    ::attrset(A_NORMAL);
    ::mvaddnstr(2, 2, "No process of yours has a space open.", std::max(COLS - 2, 0));
  }
  ::refresh();
}

}  // namespace

void show_on_screen(SpaceFinder& finder, std::chrono::milliseconds delay) {
  const Terminal terminal;
  std::vector<Space> before = finder.look();
  std::vector<Line> lines = lines_of(changes({}, before));
  Clock::time_point next = Clock::now() + delay;
  int first = 0;
  while (is_over == 0) {
    first = std::clamp(first, 0, std::max(0, static_cast<int>(lines.size()) - LINES + 1));
    draw(lines, first);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now());
    ::timeout(std::max(static_cast<int>(left.count()), 0));
    switch (::getch()) {
      case 'q':
        return;
      case KEY_UP:
        --first;
        break;
      case KEY_DOWN:
        ++first;
        break;
      case KEY_PPAGE:
        first -= LINES - 2;
        break;
      case KEY_NPAGE:
        first += LINES - 2;
        break;
      default:
        break;
    }
    if (Clock::now() < next) continue;
    std::vector<Space> now = finder.look();
    lines = lines_of(changes(before, now));
    before = std::move(now);
    next = Clock::now() + delay;
  }
}

}  // namespace sluice::tool::top
