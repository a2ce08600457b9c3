// The conformance suites of abilities that only some kinds of device have. A back end instantiates
// those of its own, as it does DeviceConformance. conformance_external.hpp has that of
// ExternalWork.
#pragma once

#include <optional>

#include "device/conformance.hpp"
#include "device/host_overflow.hpp"
#include "device/recoverable_faults.hpp"
#include "device/stoppable_queues.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {

class Stopping : public DeviceConformance {
 protected:
  void SetUp() override {
    DeviceConformance::SetUp();
    if (IsSkipped()) return;
    rig.emplace(GetParam());
    queues = (*rig)->stoppable_queues();
    ASSERT_NE(queues, nullptr);
    queue = GET((*rig)->create_queue());
  }

  std::optional<Rig> rig;
  StoppableQueues* queues = nullptr;
  QueueId queue;
};

class Overflowing : public DeviceConformance {
 protected:
  void SetUp() override {
    DeviceConformance::SetUp();
    if (IsSkipped()) return;
    rig.emplace(GetParam());
    overflow = (*rig)->host_overflow();
    // The driver says whether a GPU has it.
    if (overflow == nullptr) GTEST_SKIP() << "this device has no memory on the host";
  }

  std::optional<Rig> rig;
  HostOverflow* overflow = nullptr;
};

class Recovering : public DeviceConformance {
 protected:
  void SetUp() override {
    DeviceConformance::SetUp();
    if (IsSkipped()) return;
    rig.emplace(GetParam());
    faults = (*rig)->recoverable_faults();
    ASSERT_NE(faults, nullptr);
    queue = GET((*rig)->create_queue());
  }
  Fence store() {
    const sluice_soft_fill arguments{pointer<std::uint32_t>(rig->host.at(0)), 7};
    return GET(rig->launch(queue, rig->kernel("fill"), arguments, 1));
  }
  void give_memory() {
    rig->finish(rig->map(0, block_size, rig->on_device(allocation), Rights::write));
  }

  std::optional<Rig> rig;
  RecoverableFaults* faults = nullptr;
  QueueId queue;
  Allocation allocation;
};

}  // namespace sluice::device::testing
