// The same contract through sluice.h.
#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sluice.h"

namespace {

using testing::HasSubstr;

class CApi : public testing::Test {
 protected:
  void SetUp() override {
    sluice_space_options options{};
    options.size = sizeof options;
    options.device_count = 3;
    options.device_memory = 32U << 20;
    ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
    ASSERT_EQ(sluice_allocate(space, size, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &base),
              SLUICE_OK);
    part = {base, size};
    request.size = sizeof request;
    request.parts = &part;
    request.part_count = 1;
    request.devices = devices.data();
    request.device_count = devices.size();
    request.access = SLUICE_ACCESS_WRITE;
    report.size = sizeof report;
  }
  void TearDown() override { sluice_space_close(space); }

  static constexpr std::size_t size = 1 << 20;
  sluice_space* space = nullptr;
  void* base = nullptr;
  sluice_part part{};
  std::array<std::int32_t, 3> devices{0, 1, 2};
  sluice_mapping_request request{};
  sluice_mapping_report report{};
};

TEST_F(CApi, maps_and_unmaps_in_one_call_each) {
  ASSERT_EQ(sluice_map(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report), SLUICE_OK);
  EXPECT_EQ(report.device_count, 3);
  EXPECT_EQ(report.prefix, 3u);
  EXPECT_EQ(report.done, 1);
  EXPECT_EQ(report.remaining, -1);
  EXPECT_EQ(report.devices[2].state, SLUICE_MAPPING_STATE_MAPPED);
  EXPECT_EQ(sluice_free(space, base), SLUICE_ERROR_BUSY);
  EXPECT_THAT(std::string(sluice_last_error()), HasSubstr("mapped on device 0"));
  ASSERT_EQ(sluice_unmap(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_free(space, base), SLUICE_OK);
}

TEST_F(CApi, tells_each_device_and_resumes) {
  ASSERT_EQ(sluice_device_plan_faults(space, 1, "step=map nth=1 action=fail"), SLUICE_OK);
  sluice_mapping* mapping = nullptr;
  ASSERT_EQ(sluice_map_start(space, &request, -1, &mapping), SLUICE_OK);
  EXPECT_EQ(sluice_mapping_wait(mapping, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_ERROR_SYSTEM);
  ASSERT_EQ(sluice_mapping_get_report(mapping, &report), SLUICE_OK);
  EXPECT_EQ(report.devices[0].state, SLUICE_MAPPING_STATE_MAPPED);
  EXPECT_EQ(report.devices[1].state, SLUICE_MAPPING_STATE_FAILED);
  EXPECT_EQ(report.devices[1].status, SLUICE_ERROR_SYSTEM);
  EXPECT_EQ(report.devices[2].state, SLUICE_MAPPING_STATE_MAPPED);
  std::array<char, 200> why{};
  EXPECT_GT(sluice_mapping_why(mapping, 1, why.data(), why.size()), 0u);
  EXPECT_THAT(std::string(why.data()), HasSubstr("as planned"));
  EXPECT_EQ(sluice_mapping_why(mapping, 0, why.data(), why.size()), 0u);
  ASSERT_EQ(sluice_mapping_resume(mapping, -1), SLUICE_OK);
  EXPECT_EQ(sluice_mapping_wait(mapping, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  sluice_mapping_destroy(mapping);
  ASSERT_EQ(sluice_unmap_start(space, &request, -1, &mapping), SLUICE_OK);
  EXPECT_EQ(sluice_mapping_wait(mapping, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  sluice_mapping_destroy(mapping);
}

TEST_F(CApi, a_call_that_timed_out_and_is_repeated_keeps_its_deadline) {
  ASSERT_EQ(sluice_device_plan_faults(space, 1, "step=map nth=1 action=slow=2000"), SLUICE_OK);
  EXPECT_EQ(sluice_map(space, &request, 1'000'000, SLUICE_ON_SIGNAL_KEEP_WAITING, &report),
            SLUICE_ERROR_TIMED_OUT);
  EXPECT_EQ(report.done, 0);
  EXPECT_EQ(report.remaining, 0);
  EXPECT_EQ(sluice_map(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report), SLUICE_OK);
  EXPECT_LE(report.devices[1].dispatched, 1u);
}

TEST_F(CApi, allocates_mapped_or_not_at_all) {
  void* mapped = nullptr;
  ASSERT_EQ(sluice_allocate_mapped(space, size, SLUICE_HOST, devices.data(), 3, SLUICE_ACCESS_READ,
                                   &mapped),
            SLUICE_OK);
  EXPECT_EQ(sluice_unmap_and_free(space, mapped), SLUICE_OK);
  ASSERT_EQ(sluice_allocate_mapped(space, size, 1, devices.data(), 3, SLUICE_ACCESS_WRITE, &mapped),
            SLUICE_OK);
  EXPECT_EQ(sluice_unmap_and_free(space, mapped), SLUICE_OK);
  ASSERT_EQ(sluice_device_plan_faults(space, 2, "step=map action=fail"), SLUICE_OK);
  EXPECT_EQ(sluice_allocate_mapped(space, size, SLUICE_HOST, devices.data(), 3, SLUICE_ACCESS_WRITE,
                                   &mapped),
            SLUICE_ERROR_SYSTEM);
}

TEST_F(CApi, mapped_ranges_have_names) {
  sluice_range_request wanted{};
  wanted.size = sizeof wanted;
  wanted.bytes = size;
  wanted.name = "halo";
  wanted.mapped_on = devices.data();
  wanted.mapped_on_count = 3;
  wanted.mapped_access = SLUICE_ACCESS_WRITE;
  sluice_range_info info{};
  info.size = sizeof info;
  for (const sluice_kind kind : {SLUICE_KIND_SHARED, SLUICE_KIND_DEVICE}) {
    wanted.kind = kind;
    wanted.device = 1;
    void* mapped = nullptr;
    ASSERT_EQ(sluice_allocate_range(space, &wanted, &mapped), SLUICE_OK) << sluice_last_error();
    ASSERT_EQ(sluice_range_of(space, mapped, &info), SLUICE_OK);
    EXPECT_STREQ(info.name, "halo");
    EXPECT_EQ(info.kind, kind);
    EXPECT_EQ(sluice_free(space, mapped), SLUICE_ERROR_BUSY);  // it is mapped
    EXPECT_EQ(sluice_unmap_and_free(space, mapped), SLUICE_OK);
  }
  wanted.kind = SLUICE_KIND_HOST;
  void* refused = nullptr;
  EXPECT_EQ(sluice_allocate_range(space, &wanted, &refused), SLUICE_ERROR_INVALID_ARGUMENT);
  wanted.kind = SLUICE_KIND_SHARED;
  wanted.mapped_on = nullptr;
  EXPECT_EQ(sluice_allocate_range(space, &wanted, &refused), SLUICE_ERROR_INVALID_ARGUMENT);
}

TEST_F(CApi, relocates_and_tells_how_often_queues_were_stopped) {
  void* mapped = nullptr;
  ASSERT_EQ(sluice_allocate_mapped(space, size, 1, devices.data(), 3, SLUICE_ACCESS_WRITE, &mapped),
            SLUICE_OK);
  ASSERT_EQ(sluice_relocate(space, mapped, size, SLUICE_HOST, &report), SLUICE_OK)
      << sluice_last_error();
  EXPECT_EQ(report.device_count, 3);
  EXPECT_EQ(report.prefix, 3u);
  EXPECT_EQ(report.done, 1);
  sluice_device_info info{};
  info.size = sizeof info;
  ASSERT_EQ(sluice_device_get_info(space, 2, &info), SLUICE_OK);
  EXPECT_EQ(info.queue_stops, 1u);
  EXPECT_GT(info.stopped_for, 0);
  EXPECT_EQ(info.stop_interval, 100'000'000);
  EXPECT_EQ(sluice_relocate(space, mapped, size, 2, nullptr), SLUICE_ERROR_UNSUPPORTED);
  EXPECT_EQ(sluice_relocate(space, mapped, size, 1, nullptr), SLUICE_OK);
  sluice_counters counters{};
  counters.size = sizeof counters;
  ASSERT_EQ(sluice_space_get_counters(space, &counters), SLUICE_OK);
  EXPECT_EQ(counters.queue_stops, 6u);
  EXPECT_EQ(counters.bytes_relocated, 2 * size);
  EXPECT_EQ(sluice_unmap_and_free(space, mapped), SLUICE_OK);
}

TEST_F(CApi, refuses_what_makes_no_sense_by_name) {
  request.device_count = 0;
  EXPECT_EQ(sluice_map(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report),
            SLUICE_ERROR_INVALID_ARGUMENT);
  request.device_count = 3;
  request.parts = nullptr;
  EXPECT_EQ(sluice_map(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_map(space, nullptr, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_map(nullptr, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, &report),
            SLUICE_ERROR_INVALID_ARGUMENT);
  sluice_mapping_destroy(nullptr);
}

}  // namespace
