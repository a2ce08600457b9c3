// IntervalMap against a std::map with an entry for each index.
#include "base/interval_map.hpp"

#include <map>
#include <optional>
#include <string>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace sluice {
namespace {

using Model = std::map<std::uint32_t, int>;

PageSpan any_span(std::uint32_t size) {
  const auto first = *rc::gen::inRange<std::uint32_t>(0, size);
  return {first, *rc::gen::inRange<std::uint32_t>(0, size - first + 1)};
}

std::size_t runs_in(const Model& model) {
  std::size_t runs = 0;
  std::optional<int> previous;
  for (const auto& [index, value] : model) {
    runs += value != previous;
    previous = value;
  }
  return runs;
}

RC_GTEST_PROP(IntervalMap, is_a_value_for_each_index_in_as_few_runs_as_can_be, ()) {
  const auto size = *rc::gen::inRange<std::uint32_t>(1, 40);
  IntervalMap<int> map(size, 7);
  Model model;
  for (std::uint32_t index = 0; index < size; ++index) model[index] = 7;

  for (int i = *rc::gen::inRange(0, 30); i > 0; --i) {
    const PageSpan span = any_span(size);
    const int value = *rc::gen::inRange(0, 3);
    map.assign(span, value);
    for (std::uint32_t index = span.first; index < span.end(); ++index) model[index] = value;
    for (const auto& [index, expected] : model) RC_ASSERT(map.at(index) == expected);
    RC_ASSERT(map.run_count() == runs_in(model));
  }
}

RC_GTEST_PROP(IntervalMap, for_each_cuts_maximal_runs_to_the_span, ()) {
  const auto size = *rc::gen::inRange<std::uint32_t>(1, 40);
  IntervalMap<int> map(size);
  for (int i = *rc::gen::inRange(0, 10); i > 0; --i)
    map.assign(any_span(size), *rc::gen::inRange(0, 3));

  const PageSpan asked = any_span(size);
  std::uint32_t at = asked.first;
  std::optional<int> previous;
  map.for_each(asked, [&](PageSpan run, int value) {
    RC_ASSERT(run.first == at);
    RC_ASSERT(run.count > 0u);
    RC_ASSERT(value != previous);
    for (std::uint32_t index = run.first; index < run.end(); ++index)
      RC_ASSERT(map.at(index) == value);
    at = run.end();
    previous = value;
  });
  RC_ASSERT(at == asked.end());
}

TEST(IntervalMap, assigns_a_value_that_lives_in_the_map_itself) {
  IntervalMap<std::string> map(10, std::string(40, 'a'));
  map.assign({4, 2}, std::string(40, 'b'));
  map.assign({0, 9}, map.at(5));
  EXPECT_EQ(map.at(0), std::string(40, 'b'));
  EXPECT_EQ(map.at(9), std::string(40, 'a'));
  EXPECT_EQ(map.run_count(), 2u);
}

TEST(IntervalMap, reaches_the_last_page_of_the_largest_range) {
  constexpr std::uint32_t size = 0xffff'ffff;
  IntervalMap<int> map(size);
  map.assign({size - 1, 1}, 1);
  EXPECT_EQ(map.at(size - 1), 1);
  EXPECT_EQ(map.at(size - 2), 0);
}

}  // namespace
}  // namespace sluice
