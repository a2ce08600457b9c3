// The page that a process publishes, as another reads it.
#include "observe/status_page.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/plain_text.hpp"

namespace sluice::observe {
namespace {

StatusPage whole() {
  StatusPage page{};
  page.magic = StatusPage::magic_word;
  page.version = StatusPage::current;
  return page;
}

TEST(StatusPageTest, of_another_kind_or_version_or_being_written_is_none) {
  EXPECT_TRUE(checked(whole()));
  StatusPage page = whole();
  page.magic = 0;
  EXPECT_FALSE(checked(page));
  page = whole();
  ++page.version;
  EXPECT_FALSE(checked(page));
  page = whole();
  page.sequence = 7;
  EXPECT_FALSE(checked(page));
}

TEST(StatusPageTest, of_any_bytes_has_counts_in_their_limits_and_texts_that_end) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    StatusPage page;
    auto* const bytes = reinterpret_cast<unsigned char*>(&page);
    for (std::size_t i = 0; i < sizeof page; ++i) bytes[i] = static_cast<unsigned char>(random());
    page.magic = StatusPage::magic_word;
    page.version = StatusPage::current;
    page.sequence &= ~1U;
    const auto read = checked(page);
    ASSERT_TRUE(read);
    EXPECT_LE(read->device_count, static_cast<std::uint32_t>(max_devices));
    EXPECT_LE(read->listed_ranges, StatusPage::most_ranges);
    const auto is_plain = [](const char* text, std::size_t size) {
      const std::size_t length = strnlen(text, size);
      return length < size && plain_prefix({text, length}) == length;
    };
    EXPECT_TRUE(is_plain(read->program.data(), read->program.size()));
    EXPECT_TRUE(is_plain(read->grade.data(), read->grade.size()));
    for (const DeviceStatusEntry& device : read->devices)
      EXPECT_TRUE(is_plain(device.name.data(), device.name.size()));
    for (const RangeStatusEntry& range : read->worst)
      EXPECT_TRUE(is_plain(range.name.data(), range.name.size()));
  }
}

}  // namespace
}  // namespace sluice::observe
