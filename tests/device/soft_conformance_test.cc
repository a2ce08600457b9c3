// The software GPU, plain, retrying faults, and with four copy engines, under the conformance suite.
#include "device/conformance.hpp"
#include "device/soft_rig.hpp"

namespace sluice::device::testing {
namespace {

Backend retrying() {
  Backend backend = soft_backend([](soft::SoftOptions& options) { options.retries_faults = true; });
  backend.name = "SoftRetrying";
  return backend;
}

Backend wide() {
  Backend backend = soft_backend([](soft::SoftOptions& options) {
    options.copy_engines = 4;
    options.spin = std::chrono::microseconds(0);
  });
  backend.name = "SoftFourEnginesNoSpin";
  return backend;
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceConformance,
                         ::testing::Values(soft_backend(), retrying(), wide()), name_of_backend);

}  // namespace
}  // namespace sluice::device::testing
