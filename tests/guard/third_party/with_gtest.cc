// GoogleTest with death tests of both styles, in a program that reports crashes by a SIGSEGV
// handler of its own, as many mains do.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "../stand_in/stand_in.h"

static int* data;

static void report(int signal_number) {
  static const char text[] = "the program reports a crash\n";
  (void)!write(2, text, sizeof text - 1);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

static void crash() {
  volatile int* volatile const nowhere = nullptr;
  *nowhere = 1;
}

TEST(Managed, comes_back) {
  for (int i = 0; i < 1000; ++i) data[i] = i;
  stand_in_add(data, 2);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(data[i], i + 2);
}
// The child runs this program from its beginning, with a driver of its own.
TEST(ManagedDeathTest, threadsafe_style) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto touch_and_crash = [] {
    data[0] = 40;
    stand_in_add(data, 2);
    fprintf(stderr, "value %d\n", data[0]);
    crash();
  };
  EXPECT_EXIT(touch_and_crash(), testing::KilledBySignal(SIGSEGV),
              "value 42\nthe program reports a crash");
}
// The child is a fork, where drivers do not live on; a crash is still a crash.
TEST(ManagedDeathTest, fast_style) {
  GTEST_FLAG_SET(death_test_style, "fast");
  stand_in_add(data, 2);
  EXPECT_EXIT(crash(), testing::KilledBySignal(SIGSEGV), "the program reports a crash");
}
TEST(Managed, comes_back_after_deaths) {
  data[0] = 5;
  stand_in_add(data, 2);
  EXPECT_EQ(data[0], 7);
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  data = static_cast<int*>(stand_in_allocate(40960));
  signal(SIGSEGV, report);
  return RUN_ALL_TESTS();
}
