// Plan: the ordered steps that answer a request on one block. A value: it can be printed, compared,
// and dry-run.
//
// Steps stand in one canonical order, so that the plans of many blocks may be run stage by stage
// (all revokes, then all copies, ...) without changing their meaning:
//   unmap, revoke, downgrade, copy, fill, borrow, publish, drop, discard, map, grant
// That order keeps both promises of the system: rights are taken before bytes are copied out
// (stores are safe), and the directory is published before a page becomes visible (loads are safe).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/fixed_list.hpp"
#include "base/page_mask.hpp"
#include "base/rights.hpp"
#include "directory/block_directory.hpp"
#include "sluice/location.hpp"

namespace sluice::plan {

enum class StepKind : std::uint8_t {
  unmap,      // devices `others` lose their mapping of the block
  revoke,     // `others` lose all rights to the pages
  downgrade,  // `others` keep only the right to read them
  copy,       // bytes from `from` to `to`
  fill,       // zeros at `to`
  // `to` takes over the memory at `from` with the bytes in it; `from` maps it without a right to it
  borrow,
  publish,  // `to` has a valid copy
  drop,     // copies at `others` are no longer valid
  discard,  // no location has the pages: the host's bytes become holes, so that they read as zeros
  map,      // device `to` maps the block: `mapping`, with `rights`
  grant,    // `to` has `rights` to the pages
};
[[nodiscard]] const char* to_string(StepKind kind) noexcept;

// `others` share one set of pages. Each of them loses its own part of that set: applying a
// downgrade to a page table must not make an entry where there was none.
// NOLINTBEGIN(readability-redundant-member-init): GCC warns of designated initializers that leave
// out a member without one.
struct Step {
  StepKind kind = StepKind::grant;
  Location to = Location::host();
  Location from = Location::host();
  LocationSet others{};
  Rights rights = Rights::none;
  directory::Mapping mapping = directory::Mapping::none;
  PageMask pages{};

  friend bool operator==(const Step&, const Step&) noexcept = default;
};
// NOLINTEND(readability-redundant-member-init)

// A bounded list: plans are made on fault-handler threads, which must not allocate.
class Plan {
 public:
  // One copy for each possible source, and at most one step of each other kind.
  static constexpr std::size_t capacity = static_cast<std::size_t>(max_devices) + 10;

  void add(const Step& step) noexcept { steps_.add(step); }
  [[nodiscard]] std::span<const Step> steps() const noexcept { return steps_.values(); }
  [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }
  // Leaves the host without rights to the pages: its next access there faults again.
  void withhold(const PageMask& pages) noexcept;
  // Pages that copies and fills of this plan write at their targets.
  [[nodiscard]] std::uint32_t pages_moved() const noexcept;

 private:
  FixedList<Step, capacity> steps_;
};

// One line a step, as in: copy 0-15,32 device 1 -> host
[[nodiscard]] std::string to_string(const Step& step);
[[nodiscard]] std::string to_string(const Plan& plan);

// The effect of a step on the directory; copies and fills have none.
void apply(const Step& step, directory::BlockDirectory& block) noexcept;

}  // namespace sluice::plan
