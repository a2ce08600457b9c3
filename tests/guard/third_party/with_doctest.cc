// doctest sets a handler of SIGSEGV around its run.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "../stand_in/stand_in.h"

// The driver is there before the framework runs a test.
static int* const data = static_cast<int*>(stand_in_allocate(40960));

TEST_CASE("managed memory comes back") {
  for (int i = 0; i < 1000; ++i) data[i] = i;
  stand_in_add(data, 2);
  for (int i = 0; i < 1000; ++i) REQUIRE(data[i] == i + 2);
}
TEST_CASE("a real crash" * doctest::skip()) {
  volatile int* const nowhere = nullptr;
  REQUIRE(*nowhere == 1);
}
