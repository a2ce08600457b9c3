// The conformance suite of devices: what device.hpp promises, for every back end. A back end
// instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Soft, DeviceConformance, ::testing::Values(soft_backend()), name_of_backend);
#pragma once

#include "device/device_rig.hpp"

namespace sluice::device::testing {

class DeviceConformance : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (!GetParam().missing.empty()) GTEST_SKIP() << GetParam().missing;
  }
};

inline std::string name_of_backend(const ::testing::TestParamInfo<Backend>& info) {
  return info.param.name;
}

}  // namespace sluice::device::testing
