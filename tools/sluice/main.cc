// sluice: the tool. Reads the command line, runs one verb, and ends with an exit status that
// scripts can rely on.
//
// A verb is a file, run.cc, or a folder with a file of the same name, bench/bench.cc. Results go to
// stdout, progress and complaints to stderr, so that `sluice ... --json | jq` always works.

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "help.hpp"
#include "output.hpp"
#include "program/text.hpp"
#include "sluice/version.h"
#include "verb.hpp"

namespace {

using sluice::tool::Exit;
using sluice::tool::help_formatter;

constexpr const char* about =
    "Sluice: one pointer, valid on the host and on every device, and the pages moved behind it.\n"
    "\n"
    "Start with `sluice doctor`: it says what this machine offers, and what to type where "
    "something is missing.\n"
    "Then watch `sluice demo`.";

constexpr const char* exit_statuses =
    "Exit status: 0 all is well; 1 it ran and found something wrong; 2 the command line makes no "
    "sense; "
    "3 the machine refused something that is needed, or the output could not be written.\n"
    "`sluice run` ends with the status of the program that it becomes.\n"
    "`sluice VERB --help` shows examples.";

// CLI11's message names the value that it refuses, but for a verb that does not exist it only says
// that one is required. It also lacks a pointer to the help.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
  std::string name = app->get_name();
  const CLI::App* verb = app;
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    name += " " + verb->get_name();
  }
  std::string what = error.what();
  const bool requires_one =
      error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  const std::vector<std::string> unknown = app->remaining(true);
  if (requires_one && verb->get_require_subcommand_min() > 0 && !unknown.empty())
    what = "there is no subcommand '" + unknown.front() + "'";
  return "sluice: " + what + "\nTry: " + name + " --help\n";
}

Exit run(int argc, char** argv) {
  CLI::App app(about, "sluice");
  app.footer(exit_statuses);
  app.formatter(help_formatter());
  app.set_version_flag("--version", "sluice " SLUICE_VERSION_STRING);
  app.require_subcommand(1);
  app.failure_message(complaint);

  sluice::tool::Run chosen;
  sluice::tool::add_demo(app, chosen);
  sluice::tool::add_doctor(app, chosen);
  sluice::tool::add_stress(app, chosen);
  sluice::tool::add_bench(app, chosen);
  sluice::tool::add_run(app, chosen);
  sluice::tool::add_trace(app, chosen);
  sluice::tool::add_report(app, chosen);
  sluice::tool::add_top(app, chosen);
  sluice::tool::add_kfd(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    // CLI11 shows help whatever else the command line contains, even a verb that does not exist.
    const std::vector<std::string> unknown = app.remaining(true);
    if (unknown.empty()) {
      app.exit(asked);
      return Exit::good;
    }
    app.exit(CLI::ExtrasError(app.get_name(), unknown));
    return Exit::bad_command;
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return Exit::bad_command;
  }
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that closes the output must not end the process by SIGPIPE: the write fails, and the
  // verb ends as usual.
  std::signal(SIGPIPE, SIG_IGN);
  Exit exit = Exit::could_not_run;
  try {
    exit = run(argc, argv);
  } catch (const std::exception& error) {
    // fmt throws when stdout is full, which finish_output() reports better.
    if (std::ferror(stdout) == 0) sluice::program::complain("sluice: {}\n", error.what());
  }
  return static_cast<int>(sluice::tool::finish_output(exit));
}
