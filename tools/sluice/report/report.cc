// sluice report: one HTML file that shows what a trace has to say, and needs nothing else.
//
// The page draws the same document that --json prints, which stands in it as it is.
//
// Takes some 4 us an event. What it does not do: show single events; https://ui.perfetto.dev does.

#include <fmt/core.h>
#include <fmt/os.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "report.hpp"
#include "report/account.hpp"
#include "report/findings.hpp"
#include "report/page.hpp"
#include "report/trace_reader.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace {

struct Options {
  std::string trace;
  std::string output;
  bool json = false;
};

std::string default_output(const std::string& trace) {
  const std::string end = ".json";
  return (trace.ends_with(end) ? trace.substr(0, trace.size() - end.size()) : trace) + ".html";
}

Exit run_report(const Options& options) {
  report::Account account;
  const report::TraceHead head =
      report::read_trace(options.trace, [&](const report::Entry& entry) { account.add(entry); });
  Json document = account.summary(head);
  document["findings"] = report::findings(account.ranges());
  if (options.json) {
    print_json(document);
    return Exit::good;
  }
  const std::string output =
      options.output.empty() ? default_output(options.trace) : options.output;
  std::ofstream file(output);
  file << report::page(document);
  file.close();
  if (!file)
    throw CannotRun(fmt::format("{} cannot be written: {}", output,
                                std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  fmt::print("{}\n", output);
  for (const Json& each : document["findings"])
    fmt::print("{}: {}\n", each["kind"].get<std::string>(), each["text"].get<std::string>());
  return Exit::good;
}

}  // namespace

void add_report(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("report",
                                      "Make one HTML file of a trace: which bytes went where and "
                                      "why, what it cost, and what to write instead.");
  verb->add_option("trace", options->trace, "A file that `sluice trace` wrote")->required();
  verb->add_option("--output", options->output, "The file to write, instead of TRACE.html")
      ->type_name("FILE");
  verb->add_flag("--json", options->json, "Print the figures as one JSON document instead");
  verb->footer(
      "Prints the name of the file and what was found. The file needs no network. Lines of source "
      "are shown for programs with debug information (-g), if addr2line is there.\n"
      "Examples:\n"
      "  sluice trace -- ./program && sluice report sluice.*.json\n"
      "  sluice report --json trace.json | jq '.findings[].advice'");
  verb->callback([options, &chosen] { chosen = [options] { return run_report(*options); }; });
}

}  // namespace sluice::tool
