// mlock(2) of managed memory, which has Linux touch every page: in grade full it brings pages that
// are elsewhere; below it and without the guard it is refused for those, and a lease or
// MLOCK_ONFAULT is the way.
#include <sys/mman.h>

#include <cerrno>
#include <string>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

class LockedMemory : public testing::TestWithParam<Grade> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's mlock locks nothing; run it in a tree without one";
#endif
  }
};

TEST_P(LockedMemory, is_refused_where_linux_cannot_bring_pages_and_has_two_ways_then) {
  constexpr std::size_t bytes = 65536;
  SpaceOptions options = with_devices(1);
  options.best_grade = GetParam();
  const Space space = take(Space::open(options));
  const auto buffer = take(space.buffer<std::uint32_t>(bytes / 4));
  const Queue queue = take(space.queue(0));
  const Kernel fill = take(queue.kernel("fill"));
  const auto fill_there = [&](std::uint32_t value) {
    const sluice_soft_fill arguments{buffer.data(), value};
    const Fence done =
        take(queue.launch(fill).writes(buffer).arguments(arguments).items(buffer.size()).submit());
    ASSERT_TRUE(ok(done.wait()));
  };

  fill_there(1);
  errno = 0;
  const bool locked = ::mlock(buffer.data(), bytes) == 0;
  EXPECT_EQ(locked, space.status().grade == Grade::full);
  if (!locked) {
    EXPECT_EQ(errno, ENOMEM);
  }
  ::munlock(buffer.data(), bytes);

  fill_there(2);
  {
    const Lease lease = take(space.lease(buffer.data(), bytes, Location::host(), Access::write));
    EXPECT_EQ(::mlock(buffer.data(), bytes), 0);
  }
  fill_there(3);  // rights move also where pages are locked
  EXPECT_EQ(buffer[77], 3u);
  ::munlock(buffer.data(), bytes);

  fill_there(4);
  EXPECT_EQ(::mlock2(buffer.data(), bytes, MLOCK_ONFAULT), 0);
  for (const std::uint32_t word : buffer) ASSERT_EQ(word, 4u);
  fill_there(5);
  for (const std::uint32_t word : buffer) ASSERT_EQ(word, 5u);
}

INSTANTIATE_TEST_SUITE_P(grades, LockedMemory,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::api_test
