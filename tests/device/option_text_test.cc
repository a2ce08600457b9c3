// The options of a device as text: what they set, and what is said of those that are none.
#include "device/option_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::device {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class OptionText : public ::testing::Test {
 protected:
  Result<void> read(const char* text) {
    const OptionKey keys[] = {
        size_option("size", size, 4096, 4096, std::size_t{1} << 47),
        number_option("gpu", gpu, 0, 7),
        time_option("limit", limit, 1ms),
        flag_option("retries", retries),
        text_option("plan", plan),
    };
    return read_options(3, {"made_up", text}, keys);
  }
  std::string refusal(const char* text) {
    const auto done = read(text);
    if (done) return "it was accepted";
    EXPECT_EQ(done.error().code(), ErrorCode::invalid_argument);
    return std::string(done.error().detail());
  }

  std::size_t size = 1;
  int gpu = -1;
  std::chrono::milliseconds limit{7};
  bool retries = false;
  std::string plan = "none";
};

TEST_F(OptionText, each_key_is_set_and_the_others_keep_their_defaults) {
  ASSERT_TRUE(read(""));
  EXPECT_EQ(size, 1U);
  ASSERT_TRUE(read("size=8192"));
  EXPECT_EQ(size, 8192U);
  EXPECT_EQ(gpu, -1);
  EXPECT_EQ(plan, "none");
  ASSERT_TRUE(
      read("gpu=7,plan=step=copy nth=1 action=fail; step=map,limit=2s,retries=yes,size=3G"));
  EXPECT_EQ(size, std::size_t{3} << 30);
  EXPECT_EQ(gpu, 7);
  EXPECT_EQ(limit, 2000ms);
  EXPECT_TRUE(retries);
  EXPECT_EQ(plan, "step=copy nth=1 action=fail; step=map");
  ASSERT_TRUE(read("retries=no,limit=1ms,plan=,gpu=0,size=128T"));
  EXPECT_FALSE(retries);
  EXPECT_EQ(limit, 1ms);
  EXPECT_EQ(plan, "");
  EXPECT_EQ(size, std::size_t{1} << 47);
}

TEST_F(OptionText, an_unknown_key_is_named_with_those_that_exist) {
  EXPECT_THAT(refusal("gpu=1,memroy=5"),
              AllOf(HasSubstr("devices[3]"), HasSubstr("'memroy=5' has no key of"),
                    HasSubstr("made_up"), HasSubstr("size, gpu, limit, retries, plan")));
  EXPECT_THAT(refusal("=5"), HasSubstr("'=5' has no key"));
  EXPECT_THAT(refusal("gpu"), AllOf(HasSubstr("'gpu' is no key=value"), HasSubstr("size, gpu")));
  EXPECT_THAT(refusal(",gpu=1"), HasSubstr("'' is no key=value"));
  EXPECT_THAT(refusal((std::string(500, 'x') + "=1").c_str()),
              AllOf(HasSubstr("xxx...'"), HasSubstr("limit, retries, plan")));
}

TEST_F(OptionText, a_key_that_comes_twice_is_refused) {
  EXPECT_THAT(refusal("gpu=1,size=4096,gpu=1"), HasSubstr("gpu is given twice"));
}

TEST_F(OptionText, a_value_that_is_none_is_named_with_what_it_must_be) {
  for (const char* const wrong :
       {"", "0", "4095", "-4096", "4096 ", "4096k", "1KK", "K", "0x1000", "256T", "1.5G",
        "18446744073709551616", "18014398509481984K", "16777216T"})
    EXPECT_THAT(refusal(("size=" + std::string(wrong)).c_str()),
                AllOf(HasSubstr("size is '" + std::string(wrong) + "'"),
                      HasSubstr("from 4096 to 140737488355328, a multiple of 4096")))
        << wrong;
  for (const char* const wrong : {"", "8", "-1", "1K", "two", "99999999999999999999"})
    EXPECT_THAT(refusal(("gpu=" + std::string(wrong)).c_str()),
                AllOf(HasSubstr("gpu is '" + std::string(wrong) + "'"), HasSubstr("0 to 7")))
        << wrong;
  for (const char* const wrong : {"", "0ms", "10", "10m", "-1s", "s", "10 ms",
                                  "18446744073709551615s", "9223372036854775808ms"})
    EXPECT_THAT(refusal(("limit=" + std::string(wrong)).c_str()),
                AllOf(HasSubstr("limit is '" + std::string(wrong) + "'"), HasSubstr("500ms")))
        << wrong;
  for (const char* const wrong : {"", "1", "true", "Yes"})
    EXPECT_THAT(refusal(("retries=" + std::string(wrong)).c_str()), HasSubstr("yes or no"))
        << wrong;
}

}  // namespace
}  // namespace sluice::device
