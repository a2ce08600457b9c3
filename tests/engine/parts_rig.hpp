// What the tests of single parts of the engine share: devices and host rights without processes,
// and ranges that no program has.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/fake_device.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/residency_manager.hpp"
#include "engine/stages.hpp"
#include "fault/fault_source.hpp"

namespace sluice::engine {

using device::FakeDevice;
using device::Journal;

// The host's rights: a journal of what is given and taken.
class FakeSource final : public fault::FaultSource {
 public:
  explicit FakeSource(Journal& journal) : journal_(journal) {}

  void refuse_next() { refuses_ = true; }

  [[nodiscard]] Grade grade() const noexcept override { return Grade::full; }
  [[nodiscard]] const std::string& reason() const noexcept override { return reason_; }
  [[nodiscard]] bool can_share() const noexcept override { return true; }
  [[nodiscard]] Result<void> watch(AddressSpan /*view*/) override { return {}; }
  void unwatch(AddressSpan /*view*/) noexcept override {}
  [[nodiscard]] Result<void> grant(AddressSpan span, Access access) noexcept override {
    return note(access == Access::read ? "host reads " : "host writes ", span);
  }
  [[nodiscard]] Result<void> restore(AddressSpan page, AddressSpan /*around*/,
                                     Access access) noexcept override {
    return grant(page, access);
  }
  [[nodiscard]] Result<void> downgrade(AddressSpan span) noexcept override {
    return note("host lowered ", span);
  }
  [[nodiscard]] Result<void> revoke(AddressSpan span) noexcept override {
    return note("host revoked ", span);
  }
  void wake(AddressSpan /*span*/) noexcept override {}
  [[nodiscard]] Result<void> deny(AddressSpan /*span*/) noexcept override { return {}; }
  [[nodiscard]] Result<void> allow(AddressSpan /*span*/) noexcept override { return {}; }
  void deny_everything() noexcept override {}

 private:
  [[nodiscard]] Result<void> note(const char* what, AddressSpan span) {
    if (std::exchange(refuses_, false)) return fail(ErrorCode::system, "the test says so");
    journal_.add(what + Journal::pages(span.begin, span.size));
    return {};
  }

  Journal& journal_;
  const std::string reason_;
  bool refuses_ = false;
};

// Three devices, of which the last takes page faults.
class PartsTest : public testing::Test {
 protected:
  static constexpr int recoverable = 2;

  PartsTest() {
    for (int number = 0; number <= recoverable; ++number) {
      device::Traits traits = device::fake_traits();
      traits.recoverable_faults = number == recoverable;
      traits.mapping_granule = number == recoverable ? 4 * page_size : page_size;
      devices.add(std::make_unique<FakeDevice>(number, journal, traits));
    }
    abilities.host_can_share = true;
    abilities.recoverable_fault_devices.insert(recoverable);
    stages.use(source);
  }

  [[nodiscard]] FakeDevice& fake(int number) { return static_cast<FakeDevice&>(devices[number]); }
  // The next whole blocks of the window.
  Range& make_range(std::size_t count = 1, Kind kind = Kind::shared) {
    const auto begin = ranges.take_addresses(count * block_size, ranges.window());
    EXPECT_TRUE(begin);
    auto range = std::make_unique<Range>(AddressSpan{*begin, count * block_size},
                                         count * block_size, kind, -1, HostPages::small);
    Range& made = *range;
    readiness.enter(made);
    ranges.insert(std::move(range));
    return made;
  }
  // Changes the directory as if a plan had done so, and tells the tracker.
  template <typename Changer>
  void arrange(Range& range, Block& block, Changer&& changer) SLUICE_REQUIRES(block.claim) {
    {
      const MutexLock lock(block.mutex);
      changer(block.change());
    }
    readiness.refresh(range, block);
  }
  // The whole block is on the device, with an allocation there, mapped, and may be written.
  void put_on(int device, Range& range, Block& block) SLUICE_REQUIRES(block.claim) {
    block.admit(device);
    const std::array<AllocationRequest, 1> wanted{{{&range, &block}}};
    const auto provision = residency.provide(device, wanted);
    ASSERT_TRUE(provision);
    ASSERT_EQ(provision->count, 1U);
    arrange(range, block, [&](BlockState& state) {
      directory::BlockDirectory& directory = state.directory;
      directory.publish(Location::device(device), directory.every_page());
      directory.map(device, directory::Mapping::own, Rights::write);
      directory.grant(Location::device(device), directory.every_page(), Rights::write);
    });
    journal.forget();
  }
  // A plan for these pages of the block.
  [[nodiscard]] Task task_for(Range& range, Block& block, const plan::Request& request)
      SLUICE_REQUIRES(block.claim) {
    if (request.to.is_device()) block.admit(request.to.number());
    return {&range, &block, plan::acquire(block.state().directory, request, abilities)};
  }
  [[nodiscard]] bool is_ready(Range& range, AddressSpan span, int device, Access access) {
    bool ready = true;
    readiness.for_each_unready(range, span, device, access, [&](Block&) { ready = false; });
    return ready;
  }
  // A kernel of the device runs, and uses the span.
  device::Fence run_kernel(int device, Range& range, AddressSpan span, Access access,
                           std::uint16_t queue = 0) {
    const device::Fence fence = fake(device).start_kernel(queue);
    readiness.note_use(range, {span, fence, access == Access::write, device == recoverable});
    return fence;
  }

  Journal journal;
  transfer::Devices devices;
  transfer::Timelines timelines{devices};
  observe::Observer observer;
  FakeSource source{journal};
  plan::Abilities abilities;
  RangeTable ranges{{Journal::origin, 64 * block_size}};
  ReadinessTracker readiness{timelines};
  Stages stages{devices, timelines, observer};
  std::atomic<std::uint64_t> launches{0};
  ByDevice<std::size_t> budgets = [] {
    ByDevice<std::size_t> all;
    all.fill(2 * block_size);
    return all;
  }();
  ResidencyManager residency{devices, budgets,  ranges,    readiness,
                             stages,  observer, abilities, launches};
};

}  // namespace sluice::engine
