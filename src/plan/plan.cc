// Plans as values: builds, prints and applies them to a directory.
//
// Why text: `explain`, the event trace and failing tests show plans as they are, so each step is
// one complete line. Cost: add() and apply() do not allocate; a Plan is 7 KiB and meant for a
// handler thread's stack, and of those only its steps are ever written or copied. to_string
// allocates. What it does not do: move bytes or change page tables; that is the engine's part of
// each step.
#include "plan/plan.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace sluice::plan {

namespace {

template <typename Visitor>
void for_each(const LocationSet& locations, Visitor&& visit) {
  if (locations.has_host()) visit(Location::host());
  for (std::uint64_t rest = locations.devices(); rest != 0; rest &= rest - 1) {
    visit(Location::device(std::countr_zero(rest)));
  }
}

std::string names(const LocationSet& locations) {
  std::string text;
  for_each(locations, [&text](Location location) {
    text += (text.empty() ? "" : ", ") + to_string(location);
  });
  return text;
}

// "0-15,32"
std::string runs(const PageMask& pages) {
  std::string text;
  pages.for_each_run([&text](PageSpan run) {
    text += (text.empty() ? "" : ",") + std::to_string(run.first);
    if (run.count > 1) text += "-" + std::to_string(run.end() - 1);
  });
  return text.empty() ? "no pages" : text;
}

const char* to_string(Rights rights) noexcept {
  switch (rights) {
    case Rights::none:
      return "none";
    case Rights::read:
      return "read";
    case Rights::write:
      return "write";
  }
  return "?";
}

const char* to_string(directory::Mapping mapping) noexcept {
  switch (mapping) {
    case directory::Mapping::none:
      return "none";
    case directory::Mapping::own:
      return "own";
    case directory::Mapping::host:
      return "host";
    case directory::Mapping::peer:
      return "peer";
  }
  return "?";
}

}  // namespace

const char* to_string(StepKind kind) noexcept {
  switch (kind) {
    case StepKind::unmap:
      return "unmap";
    case StepKind::revoke:
      return "revoke";
    case StepKind::downgrade:
      return "downgrade";
    case StepKind::borrow:
      return "borrow";
    case StepKind::copy:
      return "copy";
    case StepKind::fill:
      return "fill";
    case StepKind::publish:
      return "publish";
    case StepKind::drop:
      return "drop";
    case StepKind::discard:
      return "discard";
    case StepKind::map:
      return "map";
    case StepKind::grant:
      return "grant";
  }
  return "?";
}

void Plan::withhold(const PageMask& pages) noexcept {
  FixedList<Step, capacity> kept;
  for (Step step : steps()) {
    const bool grants = step.kind == StepKind::grant && step.to.is_host();
    if (grants) step.pages -= pages;
    if (!grants || !step.pages.empty()) kept.add(step);
  }
  steps_ = kept;
}

std::uint32_t Plan::pages_moved() const noexcept {
  std::uint32_t total = 0;
  for (const Step& step : steps()) {
    if (step.kind == StepKind::copy || step.kind == StepKind::fill) total += step.pages.count();
  }
  return total;
}

std::string to_string(const Step& step) {
  std::string kind = to_string(step.kind);
  std::string pages = kind + " " + runs(step.pages);
  switch (step.kind) {
    case StepKind::unmap:
      return kind + " " + names(step.others);
    case StepKind::revoke:
    case StepKind::downgrade:
    case StepKind::drop:
      return pages + " " + names(step.others);
    case StepKind::borrow:
    case StepKind::copy:
      return pages + " " + to_string(step.from) + " -> " + to_string(step.to);
    case StepKind::fill:
    case StepKind::publish:
      return pages + " " + to_string(step.to);
    case StepKind::discard:
      return pages;
    case StepKind::map:
      return pages + " " + to_string(step.to) + " " + to_string(step.mapping) + " " +
             to_string(step.rights);
    case StepKind::grant:
      return pages + " " + to_string(step.to) + " " + to_string(step.rights);
  }
  return kind;
}

std::string to_string(const Plan& plan) {
  std::string text;
  for (const Step& step : plan.steps()) text += to_string(step) + "\n";
  return text;
}

void apply(const Step& step, directory::BlockDirectory& block) noexcept {
  switch (step.kind) {
    case StepKind::unmap:
      for_each(step.others, [&](Location other) {
        block.map(other.number(), directory::Mapping::none, Rights::none);
      });
      break;
    case StepKind::revoke:
      for_each(step.others, [&](Location other) { block.revoke(other, step.pages); });
      break;
    case StepKind::downgrade:
      for_each(step.others, [&](Location other) { block.downgrade(other, step.pages); });
      break;
    case StepKind::copy:
    case StepKind::fill:
      break;
    case StepKind::borrow:
      block.map(step.from.number(), directory::Mapping::none, Rights::none);
      block.map(step.to.number(), directory::Mapping::own, Rights::none);
      break;
    case StepKind::publish:
      block.publish(step.to, step.pages);
      break;
    case StepKind::drop:
      for_each(step.others, [&](Location other) { block.drop(other, step.pages); });
      break;
    case StepKind::discard:
      block.discard(step.pages);
      break;
    case StepKind::map: {
      // A device with recoverable faults maps some pages at a time; those that it has mapped with
      // more keep what they have.
      const int device = step.to.number();
      const bool goes_on = block.mapping(device) == step.mapping;
      block.map(device, step.mapping,
                goes_on ? std::max(block.mapped(device), step.rights) : step.rights);
      break;
    }
    case StepKind::grant:
      block.grant(step.to, step.pages, step.rights);
      break;
  }
}

}  // namespace sluice::plan
