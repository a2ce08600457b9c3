// The software GPU, plain, with recoverable faults, and with four copy engines, under the
// conformance suite.
#include "device/conformance_abilities.hpp"
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
                         ::testing::Values(soft_backend(), recoverable_backend(), wide()),
                         name_of_backend);
INSTANTIATE_TEST_SUITE_P(Devices, Stopping, ::testing::Values(soft_backend()), name_of_backend);
INSTANTIATE_TEST_SUITE_P(Devices, Recovering, ::testing::Values(recoverable_backend()),
                         name_of_backend);

TEST(SoftAbilities, a_plain_one_has_no_faults_to_answer_and_none_has_work_of_the_program_s) {
  Rig plain(soft_backend());
  EXPECT_EQ(plain->recoverable_faults(), nullptr);
  EXPECT_EQ(plain->external_work(), nullptr);
  EXPECT_EQ(plain->host_overflow(), nullptr);
  EXPECT_EQ(plain->placed_memory(), nullptr);
}

}  // namespace
}  // namespace sluice::device::testing
