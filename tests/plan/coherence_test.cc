// The state machine: random requests on one block, whose plans are executed on a hostile machine
// (simulator.hpp) and compared with a plain model (reference.hpp) after each command.
#include <memory>
#include <ostream>
#include <set>
#include <string>

#include <rapidcheck.h>
#include <rapidcheck/state.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/reference.hpp"
#include "plan/simulator.hpp"

namespace sluice::plan {
namespace {

Location location_of(int number) {
  return number == Reference::host ? Location::host() : Location::device(number);
}

Rights rights_of(int location, const Reference::Page& page) {
  if (page.writer == location) return Rights::write;
  return page.readers.contains(location) ? Rights::read : Rights::none;
}

PageMask mask_of(const std::set<std::uint32_t>& pages) {
  PageMask mask;
  for (const std::uint32_t page : pages) mask.insert({page, 1});
  return mask;
}

void compare(const Reference& reference, const Simulator& machine) {
  const directory::BlockDirectory& block = machine.block();
  LocationSet host_mapped;
  for (const auto& [device, access] : reference.host_mapped)
    host_mapped.insert(Location::device(device));
  RC_ASSERT((block.host_mapped() == host_mapped));
  for (std::uint32_t at = 0; at < block.extent(); ++at) {
    const Reference::Page& page = reference.pages[at];
    RC_ASSERT((block.state(at) == directory::PageState::lost) == page.lost);
    RC_ASSERT((block.state(at) == directory::PageState::untouched) == page.untouched());
    LocationSet holders;
    for (const int holder : page.holders) holders.insert(location_of(holder));
    RC_ASSERT((block.holders(at) == holders));
    for (int location = Reference::host; location < reference.devices; ++location) {
      RC_ASSERT((block.rights(location_of(location), at) == rights_of(location, page)));
    }
  }
}

// A launch needs a plan exactly when it is not ready.
void check_ready(const Simulator& machine) {
  const directory::BlockDirectory& block = machine.block();
  for (const auto& device : block.devices()) {
    const Means means =
        device.mapping == directory::Mapping::host ? Means::host_mapped : Means::own;
    for (const Access access : {Access::read, Access::write}) {
      const Request launch{Location::device(device.device), PageMask::all(), access, means};
      const bool idle = acquire(block, launch, machine.abilities()).empty();
      RC_ASSERT(ready(block, device.device, access) ==
                (idle && block.lost().empty() && device.mapping != directory::Mapping::none));
    }
  }
}

// What a request asks for, drawn when the command is made.
int any_location(const Reference& reference, bool with_host) {
  std::vector<int> all(reference.admitted.begin(), reference.admitted.end());
  if (with_host) all.push_back(Reference::host);
  RC_PRE(!all.empty());
  return *rc::gen::elementOf(all);
}
Access any_access() { return *rc::gen::element(Access::read, Access::write); }
std::uint32_t any_page(const Reference& reference) {
  return *rc::gen::inRange<std::uint32_t>(0, static_cast<std::uint32_t>(reference.pages.size()));
}
std::set<std::uint32_t> any_pages(const Reference& reference) {
  std::set<std::uint32_t> pages{any_page(reference)};
  while (*rc::gen::inRange(0, 3) != 0) pages.insert(any_page(reference));
  return pages;
}

struct Command : rc::state::Command<Reference, Simulator> {
  void checkPreconditions(const Reference& model) const override { RC_PRE(possible(model)); }
  void run(const Reference& model, Simulator& machine) const override {
    act(machine);
    compare(nextState(model), machine);
    check_ready(machine);
  }
  [[nodiscard]] virtual bool possible(const Reference& model) const = 0;
  virtual void act(Simulator& machine) const = 0;
};

bool is_there(const Reference& model, int location) {
  return location == Reference::host || model.admitted.contains(location);
}

struct Admit : Command {
  int device;
  explicit Admit(const Reference& model) : device(*rc::gen::inRange(0, model.devices)) {}
  bool possible(const Reference& model) const override { return device < model.devices; }
  void apply(Reference& model) const override { model.admitted.insert(device); }
  void act(Simulator& machine) const override { machine.admit(device); }
  void show(std::ostream& os) const override { os << "admit device " << device; }
};

struct Acquire : Command {
  int to;
  std::set<std::uint32_t> pages;
  Access access = any_access();
  explicit Acquire(const Reference& model)
      : to(any_location(model, true)), pages(any_pages(model)) {}
  bool possible(const Reference& model) const override { return is_there(model, to); }
  void apply(Reference& model) const override { model.acquire(to, pages, access); }
  void act(Simulator& machine) const override {
    const Request request{location_of(to), mask_of(pages), access, Means::own};
    machine.execute(acquire(machine.block(), request, machine.abilities()));
    RC_ASSERT(acquire(machine.block(), request, machine.abilities()).empty());
  }
  void show(std::ostream& os) const override {
    os << (access == Access::read ? "read by " : "write by ") << to << " of";
    for (const std::uint32_t page : pages) os << " " << page;
  }
};

struct MapHost : Command {
  int device;
  std::set<std::uint32_t> to_read;
  std::set<std::uint32_t> to_write;
  explicit MapHost(const Reference& model)
      : device(any_location(model, false)), to_read(any_pages(model)) {
    if (any_access() == Access::write) to_write = any_pages(model);
    for (const std::uint32_t page : to_write) to_read.erase(page);
  }
  bool possible(const Reference& model) const override { return is_there(model, device); }
  void apply(Reference& model) const override { model.map_host(device, to_read, to_write); }
  void act(Simulator& machine) const override {
    const PageMask read = mask_of(to_read);
    const PageMask write = mask_of(to_write);
    const Access access = to_write.empty() ? Access::read : Access::write;
    const Request request{Location::device(device), read | write, access, Means::host_mapped, read};
    machine.execute(acquire(machine.block(), request, machine.abilities()));
    RC_ASSERT(acquire(machine.block(), request, machine.abilities()).empty());
    // A kernel may begin: what it writes the host does not see, and what it reads the host does not
    // change.
    const directory::BlockDirectory& block = machine.block();
    const directory::Holding& host = block.holding(Location::host());
    RC_ASSERT(!host.readable.intersects(write));
    RC_ASSERT(!host.writable.intersects(read));
    RC_ASSERT(block.lost().intersects(read) || ready(block, device, read, Access::read));
    RC_ASSERT(block.lost().intersects(write) || ready(block, device, write, access));
  }
  void show(std::ostream& os) const override {
    os << "map host memory on " << device << " to read";
    for (const std::uint32_t page : to_read) os << " " << page;
    os << " and write";
    for (const std::uint32_t page : to_write) os << " " << page;
  }
};

// A write of the whole block, by taking the memory over where somebody can lend it.
struct Borrow : Command {
  int device;
  explicit Borrow(const Reference& model) : device(any_location(model, false)) {}
  bool possible(const Reference& model) const override { return is_there(model, device); }
  void apply(Reference& model) const override {
    std::set<std::uint32_t> all;
    for (std::uint32_t page = 0; page < model.pages.size(); ++page) all.insert(page);
    model.acquire(device, all, Access::write);
  }
  void act(Simulator& machine) const override {
    const int from = lender(machine.block(), device);
    const auto recoverable = [&](int number) {
      return machine.abilities().recoverable_fault_devices.contains(number);
    };
    const bool borrows = from >= 0 && !recoverable(from) && !recoverable(device);
    const Means means = borrows ? Means::borrow : Means::own;
    const PageMask all = machine.block().every_page();
    const Request request{Location::device(device), all, Access::write, means};
    machine.execute(acquire(machine.block(), request, machine.abilities()));
    const Request again{Location::device(device), all, Access::write, Means::own};
    RC_ASSERT(acquire(machine.block(), again, machine.abilities()).empty());
  }
  void show(std::ostream& os) const override { os << "borrow by " << device; }
};

struct Evict : Command {
  int device;
  int to;
  explicit Evict(const Reference& model)
      : device(any_location(model, false)), to(any_location(model, true)) {}
  bool possible(const Reference& model) const override {
    return is_there(model, device) && is_there(model, to) && device != to;
  }
  void apply(Reference& model) const override { model.evict(device, to); }
  void act(Simulator& machine) const override {
    machine.execute(evict(machine.block(), device, location_of(to), machine.abilities()));
    RC_ASSERT(evict(machine.block(), device, location_of(to), machine.abilities()).empty());
  }
  void show(std::ostream& os) const override { os << "evict device " << device << " to " << to; }
};

struct Discard : Command {
  std::set<std::uint32_t> pages;
  explicit Discard(const Reference& model) : pages(any_pages(model)) {}
  bool possible(const Reference&) const override { return true; }
  void apply(Reference& model) const override { model.discard(pages); }
  void act(Simulator& machine) const override {
    machine.execute(discard(machine.block(), mask_of(pages), machine.abilities()));
    RC_ASSERT(discard(machine.block(), mask_of(pages), machine.abilities()).empty());
  }
  void show(std::ostream& os) const override { os << "discard of " << pages.size() << " pages"; }
};

struct Lose : Command {
  int device;
  explicit Lose(const Reference& model) : device(any_location(model, false)) {}
  bool possible(const Reference& model) const override { return is_there(model, device); }
  void apply(Reference& model) const override { model.lose(device); }
  void act(Simulator& machine) const override { machine.lose(device); }
  void show(std::ostream& os) const override { os << "lose device " << device; }
};

// An access to one page: through host memory if the location reaches it, else by a copy of its own.
struct Touch : Command {
  int location;
  std::uint32_t page;
  explicit Touch(const Reference& model)
      : location(any_location(model, true)), page(any_page(model)) {}
  bool possible(const Reference& model) const override {
    return is_there(model, location) && !model.pages[page].lost;
  }
  void get(Reference& model, Access access) const {
    if (!model.maps_host(location, access)) model.acquire(location, {page}, access);
  }
  void get(Simulator& machine, Access access) const {
    const directory::BlockDirectory& block = machine.block();
    const Request host_mapped{location_of(location), {}, access, Means::host_mapped};
    const Request own{location_of(location), mask_of({page}), access, Means::own};
    const bool is_mapped = block.host_mapped().contains(host_mapped.to) &&
                           acquire(block, host_mapped, machine.abilities()).empty();
    if (!is_mapped) machine.execute(acquire(block, own, machine.abilities()));
  }
};

struct Store : Touch {
  int value = *rc::gen::inRange(1, 1000);
  explicit Store(const Reference& model) : Touch(model) {}
  void apply(Reference& model) const override {
    get(model, Access::write);
    model.pages[page].value = value;
  }
  void act(Simulator& machine) const override {
    get(machine, Access::write);
    machine.store(location_of(location), page, value);
  }
  void show(std::ostream& os) const override {
    os << "store " << value << " by " << location << " to " << page;
  }
};

struct Load : Touch {
  explicit Load(const Reference& model) : Touch(model) {}
  void apply(Reference& model) const override { get(model, Access::read); }
  void act(Simulator& machine) const override { get(machine, Access::read); }
  void run(const Reference& model, Simulator& machine) const override {
    Command::run(model, machine);
    RC_ASSERT(machine.load(location_of(location), page) == model.pages[page].value);
  }
  void show(std::ostream& os) const override { os << "load by " << location << " of " << page; }
};

RC_GTEST_PROP(Coherence, every_plan_keeps_every_promise_at_every_step, ()) {
  Reference model;
  model.devices = *rc::gen::inRange(1, 5);
  model.host_can_share = *rc::gen::arbitrary<bool>();
  model.pages.resize(*rc::gen::inRange<std::size_t>(1, 6));
  const auto recoverable = *rc::gen::inRange<std::uint64_t>(0, 16);
  Simulator machine(static_cast<std::uint32_t>(model.pages.size()), model.devices,
                    {model.host_can_share, DeviceSet::of_mask(recoverable)});
  rc::state::check(model, machine,
                   rc::state::gen::execOneOfWithArgs<Admit, Acquire, MapHost, Borrow, Evict,
                                                     Discard, Lose, Store, Store, Load, Load>());
}

}  // namespace
}  // namespace sluice::plan
