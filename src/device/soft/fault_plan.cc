// Parses and counts fault plans. Strict on purpose: a plan with a typing error that injects nothing
// would make a test pass that tests nothing, so unknown words, missing words and impossible pairs
// of step and action are errors.
#include "device/soft/fault_plan.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>

#include "sluice/location.hpp"

namespace sluice::device::soft {
namespace {

struct StepName {
  std::string_view name;
  Step step;
  std::string_view actions;  // the possible actions on it
};
constexpr std::array steps = std::to_array<StepName>({
    {"open", Step::open, "fail slow"},
    {"allocate", Step::allocate, "fail slow kill"},
    {"map", Step::map, "fail hang slow kill"},
    {"unmap", Step::unmap, "hang slow kill"},  // unmapping cannot fail
    {"copy", Step::copy, "fail hang slow kill"},
    {"fill", Step::fill, "fail hang slow kill"},
    {"launch", Step::launch, "fail hang slow kill"},
    {"kernel", Step::kernel, "fail slow kill"},
    {"queue", Step::queue, "fail slow kill"},
    {"fence", Step::fence, "slow interrupt kill"},
    {"reset", Step::reset, "fail slow"},
    {"peer", Step::peer, "fail slow kill"},
    {"room", Step::room, "fail slow kill"},
    {"stop", Step::stop, "fail hang slow kill"},
});

struct ActionName {
  std::string_view name;
  PlannedAction action;
};
constexpr std::array actions = std::to_array<ActionName>({
    {"fail", PlannedAction::fail},
    {"hang", PlannedAction::hang},
    {"slow", PlannedAction::slow},
    {"kill", PlannedAction::kill},
    {"interrupt", PlannedAction::interrupt},
});

std::optional<std::uint32_t> number(std::string_view text) noexcept {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes the next word off `text`; empty at the end.
std::string_view next_word(std::string_view& text) noexcept {
  constexpr std::string_view blanks = " \t\n";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  return word;
}

bool lists(std::string_view words, std::string_view wanted) noexcept {
  while (!words.empty()) {
    if (next_word(words) == wanted) return true;
  }
  return false;
}

tl::unexpected<Error> bad_word(std::string_view word, const char* why) noexcept {
  return fail(ErrorCode::invalid_argument, "fault plan: '%.*s': %s (docs/fault-plan.md)",
              static_cast<int>(word.size()), word.data(), why);
}

template <typename Table>
auto find_named(const Table& table, std::string_view name) noexcept {
  const auto* found = std::find_if(table.begin(), table.end(),
                                   [&](const auto& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : found;
}

// slow=MILLISECONDS, the only action with a number.
Result<void> parse_delay(std::string_view word, const ActionName& action, std::string_view value,
                         PlannedFault& fault) {
  const auto delay = number(value.substr(std::min(action.name.size() + 1, value.size())));
  const bool has_number = value.size() > action.name.size();
  if (action.action == PlannedAction::slow && !delay)
    return bad_word(word, "expected slow=MILLISECONDS");
  if (action.action != PlannedAction::slow && has_number)
    return bad_word(word, "only slow takes a number");
  fault.milliseconds = delay.value_or(0);
  return {};
}

}  // namespace

Result<void> FaultPlan::replace(std::string_view plan) {
  std::vector<Rule> rules;
  SLUICE_TRY(parse(plan, rules));
  const MutexLock lock(mutex_);
  rules_ = std::move(rules);
  in_force_.store(!rules_.empty(), std::memory_order_relaxed);
  return {};
}

Result<void> FaultPlan::parse(std::string_view plan, std::vector<Rule>& rules) const {
  while (!plan.empty()) {
    const std::string_view text = plan.substr(0, plan.find(';'));
    plan.remove_prefix(std::min(text.size() + 1, plan.size()));
    std::string_view rest = text;
    if (next_word(rest).empty()) continue;
    Rule rule;
    SLUICE_ASSIGN(applies, parse_rule(text, rule));
    if (applies) rules.push_back(rule);
  }
  return {};
}

// True if the rule is about this device.
Result<bool> FaultPlan::parse_rule(std::string_view text, Rule& rule) const {
  const std::string_view whole = text;
  const StepName* step = nullptr;
  const ActionName* action = nullptr;
  bool applies = true;
  for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
    const std::string_view key = word.substr(0, word.find('='));
    const std::string_view value = word.substr(std::min(key.size() + 1, word.size()));
    const auto count = number(value);
    if (key == "device") {
      if (!count || *count >= max_devices)
        return bad_word(word, "expected a device's number, 0 to 63");
      applies = static_cast<int>(*count) == device_;
    } else if (key == "step") {
      step = find_named(steps, value);
      if (step == nullptr) return bad_word(word, "no such step");
    } else if (key == "action") {
      action = find_named(actions, value.substr(0, value.find('=')));
      if (action == nullptr) return bad_word(word, "no such action");
      SLUICE_TRY(parse_delay(word, *action, value, rule.fault));
    } else if (key == "nth" || key == "every") {
      if (!count || *count == 0) return bad_word(word, "expected a number from 1 on");
      (key == "nth" ? rule.nth : rule.every) = *count;
    } else {
      return bad_word(word, "expected device=, step=, action=, nth= or every=");
    }
  }
  if (step == nullptr) return bad_word(whole, "the rule has no step=");
  if (action == nullptr) return bad_word(whole, "the rule has no action=");
  if (!lists(step->actions, action->name)) return bad_word(whole, "this step has no such action");
  rule.step = step->step;
  rule.fault.what = action->action;
  return applies;
}

PlannedFault FaultPlan::choose(Step step, bool interruptible) noexcept {
  const MutexLock lock(mutex_);
  PlannedFault chosen;
  for (Rule& rule : rules_) {
    if (rule.step != step || (rule.fault.what == PlannedAction::interrupt && !interruptible))
      continue;
    ++rule.seen;
    const bool now = rule.nth != 0 ? rule.seen == rule.nth : rule.seen % rule.every == 0;
    if (now && chosen.what == PlannedAction::nothing) chosen = rule.fault;
  }
  return chosen;
}

}  // namespace sluice::device::soft
