// sluice kfd conformance: tries the contract of /dev/kfd, rule by rule, on the machine that is
// there: a real one, or that of `sluice run --kfd`.
//
// Each rule makes plain ioctls and leaves nothing behind. No kernel runs, no GPU memory but some
// pages is taken, and no fault is planned, so it may run on a machine that others use.
#include <fmt/core.h>

#include <memory>
#include <vector>

#include "kfd/explain.hpp"
#include "kfd/rules.hpp"
#include "report.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace kfd_contract {

void Trial::note(const char* what, long long answered, long long demanded) {
  wrong_ = fmt::format("{}: {} instead of {}", what, answered, demanded);
}

namespace {

struct Outcome {
  const Rule* rule;
  std::string state;  // held, broken, not tried
  std::string detail;
};

std::vector<Outcome> try_all(Machine& machine) {
  std::vector<Outcome> outcomes;
  for (const auto rules : {rules_of_the_rest(), rules_of_memory(), rules_of_sharing()})
    for (const Rule& rule : rules) {
      if (machine.gpus() < rule.gpus) {
        outcomes.push_back({&rule, "not tried", fmt::format("needs {} GPUs", rule.gpus)});
        continue;
      }
      Trial trial;
      rule.run(machine, trial);
      outcomes.push_back({&rule, trial.wrong().empty() ? "held" : "broken", trial.wrong()});
    }
  return outcomes;
}

void print_table(const std::vector<Outcome>& outcomes, std::uint32_t gpus, int broken) {
  fmt::print("/dev/kfd with {} GPUs\n", gpus);
  for (const Outcome& each : outcomes) {
    fmt::print("  {:<9}  {}\n", each.state, each.rule->name);
    if (!each.detail.empty()) fmt::print("             {} ({})\n", each.detail, each.rule->source);
  }
  fmt::print("conformance: {} of {} rules broken\n", broken, outcomes.size());
}

void print_object(const std::vector<Outcome>& outcomes, std::uint32_t gpus, int broken) {
  Json rules = Json::array();
  for (const Outcome& each : outcomes)
    rules.push_back({{"rule", each.rule->name},
                     {"source", each.rule->source},
                     {"state", each.state},
                     {"detail", each.detail}});
  print_json({{"gpus", gpus}, {"broken", broken}, {"rules", std::move(rules)}});
}

Exit run(bool json) {
  Machine machine;
  const std::vector<Outcome> outcomes = try_all(machine);
  int broken = 0;
  for (const Outcome& each : outcomes) broken += each.state == "broken" ? 1 : 0;
  (json ? print_object : print_table)(outcomes, machine.gpus(), broken);
  return broken == 0 ? Exit::good : Exit::found_wrong;
}

}  // namespace
}  // namespace kfd_contract

namespace {

void add_conformance(CLI::App& group, Run& chosen) {
  CLI::App* verb = group.add_subcommand(
      "conformance", "Try the rules of /dev/kfd on the one that is there, and print a table");
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Print one JSON object instead of the table");
  verb->footer(
      "0: all rules that could be tried are held; 1: some are broken; 3: there is no /dev/kfd.\n"
      "Examples:\n"
      "  sluice kfd conformance\n"
      "  sluice run --kfd=4 -- sluice kfd conformance --json");
  verb->callback([json, &chosen] { chosen = [json] { return kfd_contract::run(*json); }; });
}

void add_explain(CLI::App& group, Run& chosen) {
  CLI::App* verb = group.add_subcommand(
      "explain",
      "Tell where the buffers of a process below `sluice run --kfd` are mapped, and "
      "which ones leak");
  const auto process = std::make_shared<int>(0);
  const auto json = std::make_shared<bool>(false);
  verb->add_option("PID", *process, "The process, which goes on meanwhile")
      ->required()
      ->check(CLI::PositiveNumber);
  verb->add_flag("--json", *json, "Print one JSON object instead of text");
  verb->footer(
      "0: no buffer leaks; 1: some leak, or would if they were released now; 3: the process has no "
      "account, or is another user's.\n"
      "Example:\n"
      "  sluice kfd explain 4242");
  verb->callback([process, json, &chosen] {
    chosen = [process, json] { return kfd_contract::explain(*process, *json); };
  });
}

}  // namespace

void add_kfd(CLI::App& app, Run& chosen) {
  CLI::App* group = app.add_subcommand("kfd", "AMD's kernel driver: its contract (docs/kfd.md)");
  group->require_subcommand(1);
  add_conformance(*group, chosen);
  add_explain(*group, chosen);
}

}  // namespace sluice::tool
