// The hostile machine that plans are executed on; see simulator.hpp.
#include <algorithm>
#include <ostream>
#include <sstream>
#include <stdexcept>

#include "plan/simulator.hpp"

namespace sluice::plan {

using directory::DeviceHolding;
using directory::Mapping;
using directory::Violation;

namespace {

std::ostream& operator<<(std::ostream& os, Location location) {
  return location.is_host() ? os << "host" : os << "device " << location.number();
}

// The parts are put together only where the promise is broken: this is asked a million times.
template <typename... Parts>
void require(bool promise, const Parts&... what) {
  if (promise) return;
  std::ostringstream text;
  (text << ... << what);
  throw std::logic_error(text.str());
}

std::size_t index_of(Location location) {
  return location.is_host() ? 0 : static_cast<std::size_t>(location.number()) + 1;
}

bool is_in_canonical_order(const Plan& plan) {
  return std::ranges::is_sorted(plan.steps(), {}, &Step::kind);
}

}  // namespace

Simulator::Simulator(std::uint32_t extent, int devices, const Abilities& abilities)
    : abilities_(abilities),
      block_(extent),
      truth_(extent, 0),
      memory_(static_cast<std::size_t>(devices) + 1, std::vector<Cell>(extent, garbage)),
      table_(static_cast<std::size_t>(devices), std::vector<Rights>(extent, Rights::none)) {
  memory_[0].assign(extent, 0);  // a new memory file is one hole
}

std::vector<Location> Simulator::locations() const {
  std::vector<Location> all{Location::host()};
  for (const DeviceHolding& device : block_.devices())
    all.push_back(Location::device(device.device));
  return all;
}

Rights Simulator::rights(Location location, std::uint32_t page) const {
  if (location.is_host()) return block_.rights(location, page);
  const int device = location.number();
  if (block_.mapping(device) == Mapping::host)
    return block_.lost().contains(page) ? Rights::none : block_.mapped(device);
  if (recoverable(device)) return table_[static_cast<std::size_t>(device)][page];
  return block_.rights(location, page);
}

Simulator::Cell& Simulator::seen(Location location, std::uint32_t page) {
  const bool host_mapped =
      location.is_device() && block_.mapping(location.number()) == Mapping::host;
  return memory_[host_mapped ? 0 : index_of(location)][page];
}

const Simulator::Cell& Simulator::seen(Location location, std::uint32_t page) const {
  return const_cast<Simulator*>(this)->seen(location, page);
}

// --- what happens --------------------------------------------------------------------------------

void Simulator::lose(int device) {
  block_.lose(device);
  std::ranges::fill(memory_[static_cast<std::size_t>(device) + 1], garbage);
  std::ranges::fill(table_[static_cast<std::size_t>(device)], Rights::none);
  look(false);
}

void Simulator::execute(const Plan& plan) {
  try {
    race();
    for (const Step& step : plan.steps()) {
      const std::string before = describe();
      perform(step);
      apply(step, block_);
      const bool moves_bytes = step.kind == StepKind::copy || step.kind == StepKind::fill ||
                               step.kind == StepKind::borrow;
      require(moves_bytes || describe() != before || step.kind == StepKind::map,
              "the step changes nothing");
      look(true);
      race();
    }
    look(false);
    require(is_in_canonical_order(plan),
            "the end is right, but the order is not the canonical one");
  } catch (const std::logic_error& error) {
    throw std::logic_error(std::string(error.what()) + "\nin\n" + to_string(plan) + "leading to\n" +
                           describe());
  }
}

void Simulator::perform(const Step& step) {
  require(step.kind == StepKind::unmap || !step.pages.empty(), "a step without pages");
  for (const Location location : locations()) {
    if (!step.others.contains(location)) continue;
    require(step.kind != StepKind::downgrade || location.is_device() || abilities_.host_can_share,
            "this host cannot be lowered");
    if (step.kind == StepKind::unmap) take(location, PageMask::all(), Rights::none);
    if (step.kind == StepKind::revoke) take(location, step.pages, Rights::none);
    if (step.kind == StepKind::downgrade) take(location, step.pages, Rights::read);
  }
  if (step.kind == StepKind::map && step.mapping == Mapping::own)
    give(step.to, step.pages, step.rights);
  for (std::uint32_t page = 0; page < block_.extent(); ++page) {
    if (!step.pages.contains(page)) continue;
    // Of memory that is borrowed both see the same.
    if (step.kind == StepKind::copy || step.kind == StepKind::borrow)
      memory_[index_of(step.to)][page] = memory_[index_of(step.from)][page];
    if (step.kind == StepKind::fill) memory_[index_of(step.to)][page] = 0;
    if (step.kind == StepKind::drop || step.kind == StepKind::discard) {
      for (const Location location : locations()) {
        if (step.kind == StepKind::discard || step.others.contains(location))
          memory_[index_of(location)][page] = garbage;
      }
    }
    if (step.kind == StepKind::discard) truth_[page] = memory_[0][page] = 0;
  }
}

// What a step gives or takes in a recoverable device's page table.
void Simulator::give(Location device, const PageMask& pages, Rights rights) {
  change_table(device, pages, [rights](Rights) { return rights; });
}

void Simulator::take(Location device, const PageMask& pages, Rights left) {
  change_table(device, pages, [left](Rights entry) { return std::min(entry, left); });
}

void Simulator::race() {
  for (const Location location : locations()) {
    for (std::uint32_t page = 0; page < block_.extent(); ++page) {
      if (rights(location, page) != Rights::write) continue;
      require(seen(location, page) == truth_[page], location, " writes a stale page ", page);
      truth_[page] = ++seen(location, page);
    }
  }
}

void Simulator::store(Location location, std::uint32_t page, Cell value) {
  require(rights(location, page) == Rights::write, location, " may not write page ", page);
  truth_[page] = seen(location, page) = value * races;
  look(false);
}

Simulator::Cell Simulator::load(Location location, std::uint32_t page) const {
  require(rights(location, page) != Rights::none, location, " may not read page ", page);
  return seen(location, page) / races;
}

// --- what must hold ------------------------------------------------------------------------------

void Simulator::look(bool between_steps) const {
  require(block_.check() == Violation::none, directory::to_string(block_.check()));
  for (std::uint32_t page = 0; page < block_.extent(); ++page) look_at_page(page);
  for (const DeviceHolding& holding : block_.devices()) look_at_device(holding, between_steps);
}

void Simulator::look_at_page(std::uint32_t page) const {
  if (block_.lost().contains(page)) return;
  for (const Location location : locations()) {
    const bool resident = block_.holding(location).resident.contains(page);
    require(!resident || memory_[index_of(location)][page] == truth_[page], location,
            " has a stale copy of page ", page);
    require(rights(location, page) == Rights::none || seen(location, page) == truth_[page],
            location, " reads a stale page ", page);
  }
  if (block_.untouched().contains(page))
    require(truth_[page] == 0 && memory_[0][page] == 0, "untouched, but not zero: page ", page);
  const bool shares = block_.rights(Location::host(), page) == Rights::read;
  require(abilities_.host_can_share || !shares, "a host that cannot share only reads page ", page);
}

// Rights are no more than the mapping carries, and after a plan exactly what a recoverable device's
// page table says.
void Simulator::look_at_device(const DeviceHolding& holding, bool between_steps) const {
  const Location location = Location::device(holding.device);
  for (std::uint32_t page = 0; page < block_.extent(); ++page) {
    const Rights claimed = block_.rights(location, page);
    if (claimed == Rights::none && (between_steps || !recoverable(holding.device))) continue;
    require(claimed == Rights::none || holding.mapping == Mapping::own, location,
            " has rights without a mapping to page ", page);
    require(claimed <= holding.mapped, location, " has rights beyond the mapping's to page ", page);
    if (recoverable(holding.device)) {
      const Rights entry = table_[static_cast<std::size_t>(holding.device)][page];
      require(between_steps ? claimed <= entry : claimed == entry, location,
              " has other rights in its page table to page ", page);
    }
  }
}

std::string Simulator::describe() const {
  constexpr const char* rights_letters = "-rw";
  constexpr const char* mapping_letters = "-oh";
  std::string text;
  for (const Location location : locations()) {
    if (location.is_device()) {
      const int device = location.number();
      text += " device " + std::to_string(device) + " (";
      text += mapping_letters[static_cast<int>(block_.mapping(device))];
      text += rights_letters[static_cast<int>(block_.mapped(device))];
      text += ")";
    } else {
      text += "host";
    }
    for (std::uint32_t page = 0; page < block_.extent(); ++page) {
      text += block_.lost().contains(page)                       ? " L"
              : block_.holding(location).resident.contains(page) ? " R"
                                                                 : " .";
      text += rights_letters[static_cast<int>(block_.rights(location, page))];
    }
  }
  return text;
}

}  // namespace sluice::plan
