// Plain text, among all that is not.
#include "base/plain_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

std::string made_plain(std::string text) {
  make_plain(text.data(), text.size());
  return text;
}

TEST(PlainText, keeps_what_people_write) {
  for (const std::string text :
       {"", "x", "kernel 'fill' ~", "\u00c5ngstr\u00f6m", "\u6e29\u5ea6", "\U0001F680",
        "\u0645\u06cc\u200c\u062e", "\ud7ff\ue000\U0010FFFF"}) {
    EXPECT_EQ(plain_prefix(text), text.size()) << text;
    EXPECT_EQ(made_plain(text), text);
  }
}

TEST(PlainText, has_no_characters_that_change_what_is_around) {
  EXPECT_EQ(made_plain("a\nb\x1b[2J\x7f"), "a?b?[2J?");
  EXPECT_EQ(made_plain(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(made_plain("a\u0085b"), "a??b");
  for (const std::string mark : {"\u061c", "\u200b", "\u200e", "\u2028", "\u202a", "\u202e",
                                 "\u2066", "\u2069", "\ufeff", "\U000E0041"}) {
    EXPECT_EQ(plain_prefix("ab" + mark), 2U);
    EXPECT_EQ(made_plain(mark + "cd"), std::string(mark.size(), '?') + "cd");
  }
}

TEST(PlainText, is_utf8) {
  for (const std::string wrong :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x9a"}) {
    EXPECT_EQ(plain_prefix("a" + wrong), 1U);
    EXPECT_EQ(made_plain(wrong), std::string(wrong.size(), '?'));
    EXPECT_EQ(made_plain("\u00e9" + wrong + "\u00e9"),
              "\u00e9" + std::string(wrong.size(), '?') + "\u00e9");
  }
}

}  // namespace
}  // namespace sluice
