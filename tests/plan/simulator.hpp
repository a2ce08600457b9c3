// Simulator: one block's bytes at every location, and a directory, on which plans are executed step
// by step.
//
// It is hostile. Before the first step and after every one, everyone who may store to a page does
// so, and everyone who may load one looks at what is there: a plan whose order lets a store slip
// behind a copy, or a load in front of one, is found at that step, although its end would look
// right.
//
// A page's bytes are one number. Each racing store adds 1 to it where the storing location sees it,
// so a store to a stale copy shows as well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "directory/block_directory.hpp"
#include "plan/planner.hpp"

namespace sluice::plan {

class Simulator {
 public:
  using Cell = std::int64_t;
  // Where a copy is not valid. Never a value of a page.
  static constexpr Cell garbage = -1;
  // An explicit store of `value` makes the page value * races; racing stores count up from there.
  static constexpr Cell races = Cell{1} << 32;

  // Devices 0..devices-1 exist; none is admitted.
  Simulator(std::uint32_t extent, int devices, const Abilities& abilities);

  [[nodiscard]] const directory::BlockDirectory& block() const noexcept { return block_; }
  [[nodiscard]] const Abilities& abilities() const noexcept { return abilities_; }

  void admit(int device) { block_.admit(device); }
  void lose(int device);
  // Each of the next throws std::logic_error, naming the step, when a promise is broken.
  void execute(const Plan& plan);
  // By the location's own rights, or through host memory if it reaches it; it must be able to.
  void store(Location location, std::uint32_t page, Cell value);
  // The value last stored explicitly, as `location` sees it.
  [[nodiscard]] Cell load(Location location, std::uint32_t page) const;

  // Everything the directory says, as text: two directories that read the same are the same. By
  // location: how its mapping covers the block (own or host, read or write), then for each page
  // whether it is resident or lost, and the rights.
  [[nodiscard]] std::string describe() const;

 private:
  [[nodiscard]] std::vector<Location> locations() const;
  [[nodiscard]] bool recoverable(int device) const noexcept {
    return abilities_.recoverable_fault_devices.contains(device);
  }
  // What the location can do to the page at this moment, by its page table where that is what
  // counts.
  [[nodiscard]] Rights rights(Location location, std::uint32_t page) const;
  [[nodiscard]] Cell& seen(Location location, std::uint32_t page);
  [[nodiscard]] const Cell& seen(Location location, std::uint32_t page) const;

  void perform(const Step& step);
  template <typename Change>
  void change_table(Location device, const PageMask& pages, Change&& change) {
    if (device.is_host() || !recoverable(device.number())) return;
    std::vector<Rights>& entries = table_[static_cast<std::size_t>(device.number())];
    for (std::uint32_t page = 0; page < block_.extent(); ++page) {
      if (pages.contains(page)) entries[page] = change(entries[page]);
    }
  }
  void give(Location device, const PageMask& pages, Rights rights);
  void take(Location device, const PageMask& pages, Rights left);
  void race();
  void look(bool between_steps) const;
  void look_at_page(std::uint32_t page) const;
  void look_at_device(const directory::DeviceHolding& holding, bool between_steps) const;

  Abilities abilities_;
  directory::BlockDirectory block_;
  std::vector<Cell> truth_;                 // by page: what the last store left
  std::vector<std::vector<Cell>> memory_;   // by location (host first) and page
  std::vector<std::vector<Rights>> table_;  // recoverable devices' page tables, by device and page
};

}  // namespace sluice::plan
