// What is told of a copy that a driver does not end, and of which copy.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "device/opencl/copy_watch.hpp"

namespace sluice::device::opencl {
namespace {

using namespace std::chrono_literals;

std::string report_of_a_wait(const char* advice) {
  testing::internal::CaptureStderr();
  {
    CopyWatch watch(1ms, advice);
    EXPECT_TRUE(watch.start());
    const CopyWatch::Waiter waiting(watch, {"a copy", Address{0x1000}, 4096});
    std::this_thread::sleep_for(1500ms);  // it looks once a second
  }
  return testing::internal::GetCapturedStderr();
}

TEST(CopyWatch, tells_of_each_wait_once_and_advises_what_helps) {
  const std::string told = report_of_a_wait(" Use another one");
  EXPECT_NE(told.find("has not ended a copy, of 4096 bytes at 0x1000, for "), told.npos) << told;
  EXPECT_NE(told.find(" s. Use another one\n"), told.npos) << told;
  EXPECT_EQ(told.find("has not"), told.rfind("has not")) << told;
}

TEST(CopyWatch, advises_nothing_where_nothing_helps) {
  const std::string told = report_of_a_wait("");
  EXPECT_NE(told.find(" s.\n"), told.npos) << told;
}

TEST(RecentCopies, are_never_half_of_one_and_half_of_another) {
  RecentCopies copies;
  constexpr std::uint64_t rounds = 200000;
  for (std::uint64_t i = 0; i < 64; ++i) copies.set(i, {"a copy", Address{i}, i});
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) copies.set(i, {"a copy", Address{i}, i});
  });
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const CopyWatch::Copy copy = copies.get(i);
    ASSERT_EQ(copy.address.value, copy.size);
    ASSERT_EQ(copy.size % 64, i % 64) << "another number's";
  }
  writer.join();
}

}  // namespace
}  // namespace sluice::device::opencl
