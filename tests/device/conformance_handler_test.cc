// Conformance: what fault-handler threads call never allocates.
#include "allocations.hpp"
#include "device/conformance.hpp"

namespace sluice::device::testing {
namespace {

TEST_P(DeviceConformance, nothing_that_fault_handlers_call_allocates) {
  Rig rig(GetParam());
  const auto peer = GET(GetParam().open(1, rig.host.memory(), rig.sink));
  const Allocation here = GET(rig->allocate(block_size));
  const Allocation there = GET(peer->allocate(block_size));
  const Place on_peer{Location::device(1), there.handle, 0};
  const std::vector<CopyCommand> long_list(1000, {rig.on_host(0), rig.on_device(here), page_size});
  const CopyCommand from_peer{on_peer, rig.on_device(here), page_size};
  const CopyCommand refused{rig.on_host(0), rig.on_device(here), 2 * block_size};

  const std::size_t before = allocations_of_this_thread();
  const Fence copied = GET(rig->copy(long_list));
  const Fence crossed = rig->traits().copies_from_peers ? GET(rig->copy({&from_peer, 1})) : Fence{};
  const Fence filled = GET(rig.fill(rig.on_device(here), block_size, 1));
  const Fence mapped = GET(rig.map(0, block_size, rig.on_device(here), Rights::write));
  const bool was_refused = !rig->copy({&refused, 1});
  for (const Fence fence : {copied, crossed, filled, mapped}) {
    GET(rig->wait(fence, patiently()));
    if (rig->poll(fence) != FenceState::complete) ADD_FAILURE();
  }
  const auto late = rig->wait(
      mapped, {.deadline = Clock::now() - std::chrono::seconds(1), .interruptible = true});
  EXPECT_EQ(allocations_of_this_thread(), before);
  EXPECT_TRUE(was_refused);
  EXPECT_TRUE(late) << "a complete fence is complete whatever the deadline";
}

}  // namespace
}  // namespace sluice::device::testing
