// Host accesses to managed addresses that mean nothing die as any wild access does, in each grade:
// none hangs, and none reads what was there before.
#include <csignal>
#include <cstdlib>

#include <sys/resource.h>
#include <unistd.h>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

class WildAccess : public testing::TestWithParam<Grade> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer has a handler of SIGSEGV itself; run it in a tree without one";
#endif
  }
  [[nodiscard]] static Space open() {
    const rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(60);  // an access that hangs ends by another signal
    SpaceOptions options = with_devices(1);
    options.best_grade = GetParam();
    return take(Space::open(options));
  }
  // Gives `good` if that is what is there, so that only the access after it can be the one that
  // ends the process.
  [[noreturn]] static void read_twice(const volatile std::uint32_t* good, std::uint32_t value,
                                      const volatile std::uint32_t* wild) {
    if (*good != value) std::_Exit(1);
    const std::uint32_t got = *wild;
    std::_Exit(got == value ? 2 : 3);
  }
  [[nodiscard]] static Buffer<std::uint32_t> ones(const Space& space) {
    auto words = take(space.buffer<std::uint32_t>(100));
    words[3] = 1;
    return words;
  }
};

TEST_P(WildAccess, to_a_range_that_was_freed) {
  const auto program = [] {
    const Space space = open();
    auto words = ones(space);
    const auto kept = ones(space);
    const std::uint32_t* const gone = words.data();
    if (!words.free()) std::_Exit(4);
    read_twice(kept.data() + 3, 1, gone + 3);
  };
  EXPECT_EXIT(program(), testing::KilledBySignal(SIGSEGV), "");
}

TEST_P(WildAccess, to_a_space_that_was_closed) {
  const auto program = [] {
    const Space other = open();
    const auto kept = ones(other);
    const std::uint32_t* gone = nullptr;
    {
      const Space space = open();
      const auto words = ones(space);
      gone = words.data();
    }
    read_twice(kept.data() + 3, 1, gone + 3);
  };
  EXPECT_EXIT(program(), testing::KilledBySignal(SIGSEGV), "");
}

TEST_P(WildAccess, beyond_the_pages_of_a_range) {
  const auto program = [] {
    const Space space = open();
    const auto words = ones(space);
    read_twice(words.data() + 3, 1, words.data() + 2000);
  };
  EXPECT_EXIT(program(), testing::KilledBySignal(SIGSEGV), "");
}

TEST_P(WildAccess, to_memory_of_a_device) {
  const auto program = [] {
    const Space space = open();
    const auto words = ones(space);
    const Range range = take(space.allocate_on_device(0, 4096));
    read_twice(words.data() + 3, 1, reinterpret_cast<const std::uint32_t*>(range.data()));
  };
  EXPECT_EXIT(program(), testing::KilledBySignal(SIGSEGV), "");
}

TEST_P(WildAccess, by_a_jump_into_managed_memory) {
  const auto program = [] {
    const Space space = open();
    const auto words = ones(space);
    words[0] = 0xc3c3c3c3;  // returns, if it were executed
    reinterpret_cast<void (*)()>(words.data())();
    std::_Exit(2);
  };
  EXPECT_EXIT(program(), testing::KilledBySignal(SIGSEGV), "");
}

INSTANTIATE_TEST_SUITE_P(grades, WildAccess,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::api_test
