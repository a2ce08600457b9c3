// sluice top: the spaces of running processes, what they hold where, and what moves.
//
// Nothing has to be asked for when a program starts, and a program does nothing for it while nobody
// looks. What it does not do: show spaces of programs with another library than this one's version
// of the page, of other users but to root, or of processes that hide from their user
// (PR_SET_DUMPABLE).
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>

#include "report.hpp"
#include "top/screen.hpp"
#include "top/space_finder.hpp"
#include "top/view.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace {

struct Options {
  bool once = false;
  bool json = false;
  double delay = 1;
  pid_t process = 0;
};

Exit run_top(const Options& options) {
  const auto delay = std::chrono::milliseconds(std::lround(options.delay * 1000));
  top::SpaceFinder finder(options.process);
  if (!options.once) {
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)
      throw CannotRun("`sluice top` needs a terminal; `sluice top --once` prints to anything");
    top::show_on_screen(finder, delay);
    return Exit::good;
  }
  std::vector<top::Space> before;
  if (delay.count() > 0) {
    before = finder.look();
    std::this_thread::sleep_for(delay);
  }
  const std::vector<top::Change> spaces = top::changes(before, finder.look());
  if (options.json) {
    print_json(top::json_of(spaces));
    return Exit::good;
  }
  for (const top::Line& line : top::lines_of(spaces)) fmt::print("{}\n", line.text);
  if (spaces.empty()) fmt::print("No process of yours has a space open.\n");
  return Exit::good;
}

}  // namespace

void add_top(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "top",
      "Watch the spaces of running processes: bytes by location, devices and their budgets, "
      "faults and copies a second, and the ranges for which most is done.");
  CLI::Option* once =
      verb->add_flag("--once", options->once, "Print one look, with rates over the delay, and end");
  verb->add_flag("--json", options->json, "With --once: print one JSON document instead")
      ->needs(once);
  verb->add_option("--delay", options->delay,
                   "Seconds between two looks; with --once, 0 takes one look, without rates")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  verb->add_option("--pid", options->process, "Watch this process alone")
      ->check(CLI::PositiveNumber);
  verb->footer(
      "Shows programs of the same user; root sees those of everybody. Programs need no "
      "preparation, "
      "and do nothing for it while nobody looks.\n"
      "Examples:\n"
      "  sluice top\n"
      "  sluice top --once --json --delay 0 | jq '.spaces[].counters.bytes_to_host'");
  verb->callback([options, &chosen] { chosen = [options] { return run_top(*options); }; });
}

}  // namespace sluice::tool
