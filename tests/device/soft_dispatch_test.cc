// The dispatch call beside the user-mode queue: a request for each launch, which names its memory
// and is refused if the device does not map it so.
#include <csignal>

#include "device/soft_rig.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

class SoftDispatch : public ::testing::Test {
 protected:
  Result<Fence> store(std::size_t offset, std::uint64_t value, std::vector<NamedMemory> named) {
    const sluice_soft_store arguments{pointer<void>(rig.host.at(offset)), value, 4};
    return soft_calls(rig).dispatch(queue, {store_kernel, bytes_of(arguments), 1, {}}, named);
  }

  Rig rig{soft_backend()};
  QueueId queue = GET(rig->create_queue());
  KernelId store_kernel = rig.kernel("store");
};

TEST_F(SoftDispatch, runs_what_names_mapped_memory) {
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
  rig.finish(store(64, 7, {{{rig.host.at(64), 4}, Access::write}}));
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(64), 7u);
}

TEST_F(SoftDispatch, refuses_what_is_not_mapped_so_and_nothing_runs) {
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::read));
  const auto refused = store(64, 7, {{{rig.host.at(64), 4}, Access::write}});
  EXPECT_EQ(code_of(refused), ErrorCode::invalid_argument);
  EXPECT_NE(detail_of(refused).find("is not mapped for writing"), std::string::npos);
  EXPECT_EQ(code_of(store(64, 7, {{{rig.host.at(64), block_size}, Access::read}})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(64), 0u);
  // The queue goes on, by either way.
  rig.finish(rig.launch(queue, rig.kernel("nothing"), 0));
  rig.finish(soft_calls(rig).dispatch(queue, {rig.kernel("nothing"), {}, 1, {}}, {}));
}

TEST_F(SoftDispatch, both_ways_share_a_queue_and_its_order) {
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
  Fence last;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const sluice_soft_store arguments{pointer<void>(rig.host.at(0)), i, 4};
    last = i % 2 == 0 ? GET(store(0, i, {{{rig.host.at(0), 4}, Access::write}}))
                      : GET(rig.launch(queue, store_kernel, arguments));
  }
  rig.finish(last);
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(0), 999u);
}

TEST_F(SoftDispatch, a_device_that_ends_meanwhile_is_lost) {
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
  kill(device_process(), SIGKILL);
  // Either the call finds it lost, or its fence does.
  EXPECT_EQ(code_of(rig.outcome(store(0, 1, {}))), ErrorCode::device_lost);
}

}  // namespace
}  // namespace sluice::device::testing
