// What the layer decides without a driver: the texts behind a program's binary.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "face/opencl/program_binary.hpp"

namespace sluice::opencl {
namespace {

std::vector<std::byte> bytes(const std::string& text) {
  std::vector<std::byte> made(text.size());
  std::memcpy(made.data(), text.data(), text.size());
  return made;
}

std::vector<ProgramPart> two_parts() {
  return {{.source = "kernel void f() {}", .options = "-DX=1 ", .il = {}},
          {.source = "", .options = "", .il = bytes("module")}};
}

std::vector<std::byte> binary_with(const std::string& of_driver,
                                   const std::vector<ProgramPart>& parts) {
  std::vector<std::byte> binary = bytes(of_driver);
  const std::vector<std::byte> end = end_of_binary(parts);
  binary.insert(binary.end(), end.begin(), end.end());
  return binary;
}

TEST(ProgramBinary, texts_come_back_and_the_driver_has_its_own_bytes) {
  const auto read = read_binary(binary_with("driver", two_parts()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->driver_size, 6U);
  ASSERT_EQ(read->parts.size(), 2U);
  EXPECT_EQ(read->parts[0].source, "kernel void f() {}");
  EXPECT_EQ(read->parts[0].options, "-DX=1 ");
  EXPECT_EQ(read->parts[1].il, bytes("module"));
}

TEST(ProgramBinary, a_program_that_is_not_wholly_known_has_no_end) {
  std::vector<ProgramPart> parts = two_parts();
  parts.emplace_back();
  EXPECT_TRUE(end_of_binary(parts).empty());
  EXPECT_TRUE(end_of_binary({}).empty());
}

TEST(ProgramBinary, binaries_of_others_and_halves_have_no_texts) {
  EXPECT_FALSE(read_binary({}));
  EXPECT_FALSE(read_binary(bytes("a driver's own, longer than the end of one of ours")));
  const std::vector<std::byte> whole = end_of_binary(two_parts());
  for (std::size_t from = 1; from < whole.size(); ++from)
    EXPECT_FALSE(read_binary(std::span(whole).subspan(from))) << from;
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_binary(std::span(whole).first(size))) << size;
}

TEST(ProgramBinary, sizes_that_cannot_be_are_refused) {
  std::vector<std::byte> binary = binary_with("driver", two_parts());
  const std::uint64_t huge = ~std::uint64_t{0};
  for (const std::size_t at : {std::size_t{6}, std::size_t{14}, binary.size() - 24}) {
    std::vector<std::byte> changed = binary;
    std::memcpy(changed.data() + at, &huge, sizeof(huge));
    EXPECT_FALSE(read_binary(changed)) << at;
  }
}

}  // namespace
}  // namespace sluice::opencl
