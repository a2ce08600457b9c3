// sluice: the tool. Reads the command line, runs one verb, and ends with an exit status that scripts can rely on.
//
// Each verb lives in a file of its own: demo.cc, doctor.cc, stress.cc, bench.cc, run.cc. Results go to stdout, progress and complaints
// to stderr, so that `sluice ... --json | jq` always works.

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "verb.hpp"

namespace {

using sluice::tool::Exit;

constexpr const char* about =
    "Sluice: one pointer, valid on the host and on every device, and the pages moved behind it.\n"
    "\n"
    "Start with `sluice doctor`: it says what this machine offers, and what to type where "
    "something is missing.\n"
    "Then watch `sluice demo`.";

constexpr const char* exit_statuses =
    "Exit status: 0 all is well; 1 it ran and found something wrong; 2 the command line makes no "
    "sense;\n"
    "3 the machine refused something that is needed.\n"
    "`sluice VERB --help` shows examples.";

// CLI11's message names the value that it refuses, but of a verb that does not exist it only says that one is required. What it
// lacks besides is where to look.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
  std::string name = app->get_name();
  for (const CLI::App* verb = app; !verb->get_subcommands().empty();) {
    verb = verb->get_subcommands().front();
    name += " " + verb->get_name();
  }
  const std::vector<std::string> unknown = app->remaining(true);
  const bool no_verb = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  const std::string what = no_verb && !unknown.empty()
                               ? "there is no subcommand '" + unknown.front() + "'"
                               : error.what();
  return "sluice: " + what + "\nTry: " + name + " --help\n";
}

Exit run(int argc, char** argv) {
  CLI::App app(about, "sluice");
  app.footer(exit_statuses);
  app.set_version_flag("--version", "sluice " SLUICE_VERSION);
  app.require_subcommand(1);
  app.failure_message(complaint);

  sluice::tool::Run chosen;
  sluice::tool::add_demo(app, chosen);
  sluice::tool::add_doctor(app, chosen);
  sluice::tool::add_stress(app, chosen);
  sluice::tool::add_bench(app, chosen);
  sluice::tool::add_run(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) {
    // --help and --version also come this way, with the status 0.
    return app.exit(end) == 0 ? Exit::good : Exit::bad_command;
  }
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  // A reader of the output that goes away is no crash: the write fails, and the verb ends as it would have.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(run(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sluice: %s\n", error.what());
    return static_cast<int>(Exit::could_not_run);
  }
}
