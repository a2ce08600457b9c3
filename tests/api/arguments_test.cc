// Arguments of kernels one by one, the memory that a launch may name, and the calls that do not
// compile: those below are asked for in requires-expressions.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using testing::Each;

template <typename... Values>
constexpr bool takes =
    requires(Launch& launch, const Values&... values) { launch.arguments(values...); };
template <typename T>
constexpr bool names = requires(Launch& launch, T& memory) { launch.reads(memory).writes(memory); };

// A pointer and a size, where the bytes of a structure or two arguments may be meant.
static_assert(!takes<sluice_soft_fill*, std::size_t>);
static_assert(!takes<const void*, std::uint64_t>);
static_assert(!takes<void*, long>);
static_assert(!takes<std::nullptr_t, std::size_t>);
static_assert(takes<float*, std::uint32_t>);
static_assert(takes<float*, float*, std::size_t>);
static_assert(takes<std::size_t, float*>);
// Containers and views are no arguments; bytes are a structure's.
static_assert(!takes<std::vector<float>, float>);
static_assert(!takes<std::vector<float>>);
static_assert(!takes<std::span<float>>);
static_assert(!takes<std::span<float>, float>);
static_assert(!takes<std::string_view>);
static_assert(!takes<std::string_view, int>);
static_assert(!takes<Range>);
static_assert(!takes<Buffer<float>, float>);
static_assert(!takes<std::initializer_list<float>> && !takes<std::initializer_list<float>, int>);
static_assert(!takes<std::reference_wrapper<float>> && !takes<std::reference_wrapper<float>, int>);
static_assert(!takes<float[4], float> && !takes<float[4]>);
static_assert(takes<std::byte[4]>);  // a structure's bytes
static_assert(takes<std::span<const std::byte>>);
static_assert(takes<std::span<std::byte>>);
static_assert(takes<std::vector<std::byte>>);
static_assert(takes<std::array<float, 4>, float>);
static_assert(takes<sluice_soft_fill>);
static_assert(takes<float*>);

struct NotAsItsBytes {
  std::string text;
};
struct WithoutElements {
  [[nodiscard]] void* data() const { return nullptr; }
  [[nodiscard]] std::size_t size() const { return 0; }
};
struct BackToFront : std::array<int, 4> {
  [[nodiscard]] reverse_iterator begin() { return rbegin(); }
  [[nodiscard]] const_reverse_iterator begin() const { return rbegin(); }
};
static_assert(names<std::vector<float>> && names<std::array<int, 3>> && names<int[3]>);
static_assert(names<std::span<float>> && names<Range> && names<Buffer<double>>);
static_assert(!names<std::vector<std::string>> && !names<std::span<NotAsItsBytes>>);
static_assert(!names<std::vector<bool>> && !names<std::list<int>>);
static_assert(!names<WithoutElements> && !names<BackToFront> && !names<int>);

TEST(ArgumentsTest, are_laid_out_as_the_members_of_a_structure) {
  struct Members {
    char a;
    double b;
    std::uint16_t c;
    void* d;
    char e;
  };
  struct Tight {
    float* y;
    const float* x;
    float a;
  };
  const auto as_members = [](const auto& list) {
    Members members;
    EXPECT_EQ(list.bytes().size(), sizeof members);
    std::memcpy(&members, list.bytes().data(), sizeof members);
    return members;
  };
  int place = 0;
  const Members members =
      as_members(ArgumentList<char, double, std::uint16_t, void*, char>('a', 2.5, 7, &place, 'e'));
  EXPECT_EQ(members.a, 'a');
  EXPECT_EQ(members.b, 2.5);
  EXPECT_EQ(members.c, 7);
  EXPECT_EQ(members.d, &place);
  EXPECT_EQ(members.e, 'e');
  EXPECT_EQ((ArgumentList<float*, const float*, float>(nullptr, nullptr, 2).bytes().size()),
            sizeof(Tight));
}

class ArgumentsOfKernels : public ApiTest {};

TEST_F(ArgumentsOfKernels, reach_a_kernel_in_each_form) {
  const auto x = take(space.buffer<float>(1000));
  const auto y = take(space.buffer<float>(1000));
  std::fill(x.begin(), x.end(), 3.0F);
  const Kernel saxpy = take(queue.kernel("saxpy"));
  const sluice_soft_saxpy structure{y.data(), x.data(), 2};
  const auto run = [&](Launch& launch) {
    EXPECT_TRUE(ok(take(launch.reads(x).writes(y).items(1000).submit()).wait()));
  };
  run(queue.launch(saxpy).arguments(y.data(), x.data(), 2.0F));
  EXPECT_THAT(y.span(), Each(6));
  run(queue.launch(saxpy).arguments(structure));
  EXPECT_THAT(y.span(), Each(12));
  run(queue.launch(saxpy).arguments(std::as_bytes(std::span(&structure, 1))));
  EXPECT_THAT(y.span(), Each(18));

  const auto words = take(space.buffer<std::uint32_t>(10));
  const Kernel fill = take(queue.kernel("fill"));
  EXPECT_TRUE(ok(take(queue.launch(fill)
                          .writes(words)
                          .arguments(words.data(), std::uint32_t{9})
                          .items(10)
                          .submit())
                     .wait()));
  EXPECT_THAT(words.span(), Each(9U));
}

}  // namespace
}  // namespace sluice::api_test
