// The software GPU, plain, retrying faults, and with four copy engines, under the conformance
// suite.
#include "device/conformance.hpp"
#include "device/soft_rig.hpp"

namespace sluice::device::testing {
namespace {

Backend wide() {
  Backend backend = soft_backend([](soft::SoftOptions& options) {
    options.copy_engines = 4;
    options.spin = std::chrono::microseconds(0);
  });
  backend.name = "SoftFourEnginesNoSpin";
  return backend;
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceConformance,
                         ::testing::Values(soft_backend(), retrying_backend(), wide()),
                         name_of_backend);

}  // namespace
}  // namespace sluice::device::testing
