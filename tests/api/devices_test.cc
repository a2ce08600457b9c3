// Devices that a space names one by one, by back end and options, in C++ and in C.
#include "api_support.hpp"
#include "sluice.h"

namespace sluice::api_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

SpaceOptions with(std::vector<DeviceRequest> devices) {
  SpaceOptions options = with_devices(1);
  options.software = {};
  options.devices = std::move(devices);
  return options;
}

TEST(Devices, each_has_the_options_of_its_own) {
  const Space space =
      take(Space::open(with({{"software", "memory_size=32M"},
                             {"software", "memory_size=8M,recoverable_faults=yes"},
                             {"software", "fault_plan=step=kernel every=1 action=fail"}})));
  ASSERT_EQ(space.device_count(), 3);
  EXPECT_EQ(take(space.device(0)).memory_size, std::size_t{32} << 20);
  EXPECT_EQ(take(space.device(1)).memory_size, std::size_t{8} << 20);
  EXPECT_EQ(take(space.device(2)).memory_size, SoftwareDevices{}.memory_size);
  EXPECT_FALSE(take(space.device(0)).recoverable_faults);
  EXPECT_TRUE(take(space.device(1)).recoverable_faults);
  EXPECT_TRUE(space.kernel(0, "", "nothing"));
  EXPECT_THAT(space.kernel(2, "", "nothing"), refuses(ErrorCode::unknown_kernel, "as planned"));
}

TEST(Devices, a_back_end_that_does_not_exist_is_named_with_those_that_do) {
  EXPECT_THAT(Space::open(with({{"software"}, {"hip", "gpu=1"}})),
              refuses(ErrorCode::invalid_argument,
                      "devices[1]: 'hip' is no back end; there are: software, cuda"));
  EXPECT_THAT(Space::open(with({{""}})), refuses(ErrorCode::invalid_argument, "devices[0]: ''"));
}

TEST(Devices, options_that_are_none_are_named_by_device_key_and_value) {
  EXPECT_THAT(Space::open(with({{"software"}, {"software", "memory=32M"}})),
              refuses(ErrorCode::invalid_argument, "devices[1]: 'memory=32M' has no key"));
  EXPECT_THAT(
      Space::open(with({{"software", "gpu=0"}})),
      refuses(ErrorCode::invalid_argument,
              "memory_size, recoverable_faults, kernel_timeout, transfer_timeout, fault_plan"));
  EXPECT_THAT(Space::open(with({{"software", "memory_size=1000000"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: memory_size is '1000000'"));
  EXPECT_THAT(Space::open(with({{"software", "memory_size=2T"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: memory_size is '2T'"));
  EXPECT_THAT(Space::open(with({{"software", "memory_size=8M,"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: '' is no key=value"));
  EXPECT_THAT(Space::open(with({{"software", "kernel_timeout=1e9s"}})),
              refuses(ErrorCode::invalid_argument, "from 0ms to 9223372036854775807ms"));
  EXPECT_THAT(Space::open(with({{std::string("so\0ft\n\x1b[2J", 10)}})),
              refuses(ErrorCode::invalid_argument, R"('so\x00ft\x0a\x1b[2J' is no back end)"));
  EXPECT_THAT(Space::open(with({{"software"}, {"software", "fault_plan=step=nowhere"}})),
              refuses(ErrorCode::invalid_argument, "devices[1]: fault_plan: "));
  EXPECT_THAT(Space::open(with({{"software", "transfer_timeout=0ms"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: transfer_timeout is '0ms'"));
  EXPECT_THAT(Space::open(with({{"software", "fault_plan=make it so"}})),
              refuses(ErrorCode::invalid_argument, "make"));
  EXPECT_THAT(Space::open(with({{"cuda", "gpu=x"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: gpu is 'x'"));
  EXPECT_THAT(Space::open(with({{"cuda", "memory_size=1"}})),
              refuses(ErrorCode::invalid_argument, "devices[0]: memory_size is '1'"));
  EXPECT_THAT(Space::open(with({{"cuda", "recoverable_faults=yes"}})),
              refuses(ErrorCode::invalid_argument, "gpu, memory_size"));
}

TEST(Devices, a_space_has_devices_of_one_kind_named_in_one_place) {
  EXPECT_THAT(Space::open(with({{"software"}, {"cuda"}})),
              refuses(ErrorCode::invalid_argument,
                      "devices[1] is of the back end cuda and devices[0] of software"));
  EXPECT_THAT(Space::open(with(std::vector<DeviceRequest>(65, {"software"}))),
              refuses(ErrorCode::invalid_argument, "65"));
  SpaceOptions both = with({{"software"}});
  both.software.count = 2;
  EXPECT_THAT(Space::open(both), refuses(ErrorCode::invalid_argument,
                                         "devices names 1 devices, and software is set, too"));
  both = with({{"software"}});
  both.software.memory_size = std::size_t{32} << 20;
  EXPECT_THAT(Space::open(both), refuses(ErrorCode::invalid_argument, "one place"));
  both = with({{"software"}});
  both.cuda.gpus = {0};
  EXPECT_THAT(Space::open(both), refuses(ErrorCode::invalid_argument, "cuda is set"));
  both = with({{"software"}});
  both.software.count = 0;
  EXPECT_EQ(take(Space::open(both)).device_count(), 1);
}

class CDevices : public testing::Test {
 protected:
  CDevices() {
    options.size = sizeof options;
    options.address_space = std::size_t{1} << 34;
    options.devices = devices;
    options.devices_count = 2;
  }
  void expect_refused(const char* why) {
    sluice_space* space = nullptr;
    EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(sluice_last_error(), HasSubstr(why));
    EXPECT_EQ(space, nullptr);
  }

  sluice_device_request devices[2] = {{"software", "memory_size=8M"}, {"software", nullptr}};
  sluice_space_options options{};
};

TEST_F(CDevices, are_named_by_a_list) {
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(sluice_device_count(space), 2);
  sluice_device_info info{};
  info.size = sizeof info;
  EXPECT_EQ(sluice_device_get_info(space, 0, &info), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(info.memory_size, std::size_t{8} << 20);
  sluice_space_close(space);
}

TEST_F(CDevices, a_list_that_is_none_is_refused) {
  devices[1].back_end = nullptr;
  expect_refused("devices[1].back_end is a null pointer");
  devices[1].back_end = "sofware";
  expect_refused("'sofware' is no back end");
  options.devices = nullptr;
  expect_refused("2 devices at a null pointer");
  options.devices = devices;
  options.devices_count = 65;
  expect_refused("65 devices");
}

TEST_F(CDevices, the_shorthands_are_zero_beside_a_list) {
  options.device_count = 2;
  expect_refused("device_count is set");
  options.device_count = 0;
  options.device_memory = std::size_t{8} << 20;
  expect_refused("device_memory is set");
  options.device_memory = 0;
  options.recoverable_fault_devices = 1;
  expect_refused("recoverable_fault_devices is set");
  options.recoverable_fault_devices = 0;
  options.fault_plan = "";
  expect_refused("fault_plan is set");
  options.fault_plan = nullptr;
  options.kernel_timeout = 1;
  expect_refused("kernel_timeout is set");
  options.kernel_timeout = 0;
  options.transfer_timeout = 1;
  expect_refused("transfer_timeout is set");
  options.transfer_timeout = 0;
  options.cuda_gpus = 1;
  expect_refused("cuda_gpus is set");
}

TEST_F(CDevices, options_that_cannot_be_granted_have_their_names_of_c) {
  options.devices = nullptr;
  options.devices_count = 0;
  options.device_count = 65;
  expect_refused("device_count is 65; it must be 0 to 64");
  EXPECT_THAT(sluice_last_error(), Not(HasSubstr("software")));
  options.device_count = 2;
  options.recoverable_fault_devices = 4;
  expect_refused(
      "recoverable_fault_devices is 0x4; it has bits beyond those of the devices, and "
      "device_count");
  options.recoverable_fault_devices = 0;
  options.device_memory = 4097;
  expect_refused("device_memory is 4097");
  options.device_memory = 0;
  options.fault_plan = "step=nowhere";
  expect_refused("fault_plan: ");
  EXPECT_THAT(sluice_last_error(), Not(HasSubstr("software.fault_plan")));
  options.fault_plan = nullptr;
  options.cuda_gpus = 1;
  expect_refused("set device_count = -1, or cuda_gpus = 0");
  options.cuda_gpus = 0;
  options.kernel_timeout = -5;
  expect_refused("kernel_timeout is -5 ns; it must be at least 0, which is the default");
}

// A program that was compiled before there was a list passes a shorter structure.
TEST_F(CDevices, an_older_structure_has_no_list) {
  options.size = offsetof(sluice_space_options, devices);
  options.device_count = 3;
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(sluice_device_count(space), 3);
  sluice_space_close(space);
}

}  // namespace
}  // namespace sluice::api_test
