// Results: value() and its exception with the whole error as its text, also when nothing catches
// it; and Result<void>, which has the members of every other result.
#include <array>
#include <cstdlib>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

using BadAccess = tl::bad_expected_access<Error>;

Result<void> refused() { return fail(ErrorCode::unknown_device, "device %d: there are %d", 7, 2); }

// The text of the exception that the call throws.
template <typename Call>
std::string thrown_by(Call call) {
  try {
    call();
  } catch (const std::exception& exception) {
    return exception.what();
  }
  return "nothing";
}

TEST(ResultTest, value_throws_the_whole_error) {
  const std::string whole = "unknown device: device 7: there are 2";
  EXPECT_EQ(thrown_by([] { refused().value(); }), whole);
  const Result<int> none = tl::unexpected(refused().error());
  EXPECT_EQ(thrown_by([&] { (void)none.value(); }), whole);
  EXPECT_EQ(thrown_by([&] { (void)Result<int>(none).value(); }), whole);
  const auto kind = Space::open(with_devices(1)).value().allocate(4096, Kind::device);
  EXPECT_THAT(thrown_by([&] { (void)kind.value(); }),
              AllOf(StartsWith("invalid argument: "), HasSubstr("allocate_on_device")));

  try {
    refused().value();
  } catch (const BadAccess& exception) {
    EXPECT_EQ(exception.error().code(), ErrorCode::unknown_device);
    EXPECT_EQ(exception.error().detail(), "device 7: there are 2");
    const BadAccess copy = exception;
    EXPECT_EQ(copy.what(), whole);
  }
}

TEST(ResultTest, the_longest_error_fits_and_an_empty_one_is_its_code) {
  const std::string longest(Error::detail_capacity - 1, 'x');
  for (int code = 0; code <= static_cast<int>(ErrorCode::system); ++code) {
    const Error error(static_cast<ErrorCode>(code), "%s", longest.c_str());
    EXPECT_EQ(BadAccess(error).what(), std::string(to_string(error.code())) + ": " + longest);
  }
  EXPECT_STREQ(BadAccess(Error(ErrorCode::busy, "%s", "")).what(), "busy");
}

TEST(ResultDeathTest, an_error_that_is_not_caught_ends_the_program_with_its_text) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto uncaught = []() noexcept { refused().value(); };
  EXPECT_DEATH(uncaught(), "unknown device: device 7: there are 2");
}

TEST(ResultTest, values_of_the_environment_that_are_refused_are_named) {
  constexpr std::array<const char*, 3> variables = {"SLUICE_STRICT", "SLUICE_FAULT_PLAN",
                                                    "SLUICE_SOFT_DEVICE"};
  for (const char* variable : variables) {
    const char* const before = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
    const std::string restored = before == nullptr ? "" : before;
    ::setenv(variable, "bogus", 1);  // NOLINT(concurrency-mt-unsafe)
    EXPECT_THAT(thrown_by([] { (void)Space::open(with_devices(1)).value(); }),
                AllOf(HasSubstr(": "), HasSubstr(variable), HasSubstr("bogus")));
    ::setenv(variable, restored.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
}

TEST(ResultTest, a_result_of_nothing_has_every_member_of_a_result) {
  static_assert(std::is_same_v<decltype(Result<int>(1).map([](int) {})), Result<void>>);
  static_assert(std::is_trivially_copy_constructible_v<Result<void>>);
  static_assert(!std::is_convertible_v<Result<void>, bool>);

  const Result<void> done;
  done.value();
  *done;
  EXPECT_EQ(done.map([] { return 3; }).value(), 3);
  EXPECT_EQ(done.and_then([] { return Result<int>(4); }).value(), 4);
  EXPECT_TRUE(done.map([] {}));
  EXPECT_TRUE(done.map_error([](const Error& error) { return error.code(); }));
  EXPECT_TRUE(done.or_else([](const Error&) { return refused(); }));

  const Result<void> failed = refused();
  EXPECT_FALSE(failed.has_value());
  EXPECT_FALSE(failed.transform([] { return 3; }));
  EXPECT_FALSE(failed.and_then([] { return Result<int>(4); }));
  EXPECT_EQ(failed.map_error([](const Error& error) { return error.code(); }).error(),
            ErrorCode::unknown_device);
  ErrorCode seen = ErrorCode::system;
  EXPECT_FALSE(failed.or_else([&](const Error& error) { seen = error.code(); }));
  EXPECT_EQ(seen, ErrorCode::unknown_device);
  EXPECT_TRUE(failed.or_else([](const Error&) { return Result<void>(); }));
  EXPECT_EQ(Result<int>(1).and_then([&](int) { return failed; }).error().code(), seen);

  Result<void> one;
  Result<void> other = refused();
  one.swap(other);
  EXPECT_TRUE(other);
  EXPECT_EQ(std::move(one).error().code(), ErrorCode::unknown_device);
  one.emplace();
  EXPECT_TRUE(one);
  one = refused();
  EXPECT_FALSE(one);
}

// This covers every text of the program that a message quotes.
TEST(ResultTest, the_text_of_an_error_is_one_line) {
  const auto space = Space::open({.software = {.count = 1}}).value();
  const auto queue = space.queue(0).value();
  const auto found = queue.kernel("a\nb\x1b[2J");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().detail().find("a?b?[2J"), std::string_view::npos)
      << found.error().detail();
  EXPECT_EQ(found.error().detail().find('\n'), std::string_view::npos);
}

TEST(ResultTest, the_text_of_an_error_is_utf_8_in_one_direction) {
  const Error quoting(ErrorCode::system, "no '%s'",
                      "a\u202Eb\xff"
                      "c");
  EXPECT_EQ(quoting.detail(), "no 'a???b?c'");
  const Error cut(ErrorCode::system, "%s",
                  [] {
                    std::string text;
                    while (text.size() < 4096) text += "\u00e9";
                    return text;
                  }()
                      .c_str());
  EXPECT_FALSE(cut.detail().ends_with("\u00e9")) << "its last character was cut";
  EXPECT_TRUE(cut.detail().ends_with("\u00e9?")) << cut.detail();
}

}  // namespace
}  // namespace sluice::api_test
