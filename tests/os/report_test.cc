// Lines on stderr.
#include "os/report.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::os {
namespace {

TEST(Report, quotes_plain_text) {
  testing::internal::CaptureStderr();
  report("no '%s'", "a\n\x1b[2Jb\xff\u202Ec");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "sluice: no 'a??[2Jb????c'\n");
}

TEST(Report, is_one_line_of_utf8_where_it_is_cut) {
  std::string longer_than_a_line;
  while (longer_than_a_line.size() < 1000) longer_than_a_line += "\u00e9";
  for (const char* const before : {"", "x"}) {
    testing::internal::CaptureStderr();
    report("%s%s", before, longer_than_a_line.c_str());
    const std::string line = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(line.ends_with("\u00e9\n") || line.ends_with("\u00e9?\n")) << line;
  }
}

}  // namespace
}  // namespace sluice::os
