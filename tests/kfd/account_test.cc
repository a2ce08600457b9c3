// The account that `sluice kfd explain` reads: each buffer as it is, from any other process, while
// it changes.
#include <thread>

#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

AccountFacts read(const KfdRig& rig) {
  auto reading = read_account(rig.world.account_bytes);
  EXPECT_TRUE(reading);
  return reading.value_or(AccountFacts{});
}

TEST(KfdAccount, a_buffer_is_told_as_long_as_it_is_there) {
  KfdRig rig;
  EXPECT_TRUE(read(rig).buffers.empty());
  const std::uint64_t first = rig.buffer(4096, 1);
  const std::uint64_t second = rig.buffer(8192, 0);
  ASSERT_EQ(read(rig).buffers.size(), 2U);
  EXPECT_EQ(read(rig).buffers[0].handle, second);
  EXPECT_EQ(read(rig).buffers[1].size, 4096U);
  EXPECT_EQ(read(rig).buffers[1].gpu, 1U);
  EXPECT_EQ(rig.free(second), 0);
  ASSERT_EQ(read(rig).buffers.size(), 1U);
  EXPECT_EQ(read(rig).buffers[0].handle, first);
}

TEST(KfdAccount, calls_are_counted) {
  std::vector<std::byte> bytes(sizeof(account::Header) + sizeof(account::Record));
  Account account(bytes, 1);
  for (const bool is_map : {true, false, false}) account.count_call(is_map);
  EXPECT_EQ(read_account(bytes)->calls, 3U);
  EXPECT_EQ(read_account(bytes)->map_calls, 1U);
}

TEST(KfdAccount, a_prefix_and_a_refused_release_are_told_until_they_are_undone) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{2, Step::map}] = {.fails = true};
  EXPECT_EQ(rig.map(handle, {0, 1, 2, 3}).error, ENOMEM);
  BufferFacts facts = read(rig).buffers.at(0);
  EXPECT_EQ(facts.mapped_on, 0b0011U);
  EXPECT_EQ(facts.map_error, std::uint32_t{ENOMEM});
  EXPECT_EQ(facts.n_success, 2U);
  EXPECT_EQ(facts.n_devices, 4U);
  EXPECT_TRUE(facts.would_leak());
  EXPECT_FALSE(facts.leaks());
  EXPECT_EQ(rig.free(handle), EBUSY);
  facts = read(rig).buffers.at(0);
  EXPECT_EQ(facts.refused_frees, 1U);
  EXPECT_TRUE(facts.leaks());
  EXPECT_EQ(rig.unmap(handle, {0, 1}).error, 0);
  EXPECT_EQ(read(rig).buffers.at(0).mapped_on, 0U);
  EXPECT_EQ(rig.free(handle), 0);
  EXPECT_TRUE(read(rig).buffers.empty());
}

TEST(KfdAccount, a_mapping_that_went_on_does_not_leak) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{1, Step::map}] = {.fails = true};
  EXPECT_EQ(rig.map(handle, {0, 1}).error, ENOMEM);
  EXPECT_EQ(rig.map(handle, {0, 1}, 1).error, 0);
  EXPECT_FALSE(read(rig).buffers.at(0).would_leak());
  EXPECT_EQ(read(rig).buffers.at(0).mapped_on, 0b11U);
}

TEST(KfdAccount, buffers_without_room_are_counted_and_take_the_next_place) {
  std::vector<std::byte> bytes(sizeof(account::Header) + 2 * sizeof(account::Record));
  Account account(bytes, 1);
  const Buffer buffer{.size = 4096};
  for (const std::uint64_t handle : {1U, 2U, 3U, 4U}) account.note(handle, &buffer);
  account.note(4, &buffer);  // once more
  EXPECT_EQ(read_account(bytes)->left_out, 2U);
  EXPECT_EQ(read_account(bytes)->buffers.size(), 2U);
  account.note(1, nullptr);
  account.note(4, &buffer);
  EXPECT_EQ(read_account(bytes)->left_out, 1U);
  EXPECT_EQ(read_account(bytes)->buffers.at(1).handle, 4U);
  account.note(3, nullptr);
  EXPECT_EQ(read_account(bytes)->left_out, 0U);
}

// What a process publishes can be anything.
TEST(KfdAccount, bytes_that_are_no_account_are_refused_and_wrong_numbers_are_bounded) {
  std::vector<std::byte> bytes(sizeof(account::Header) + 2 * sizeof(account::Record));
  EXPECT_FALSE(read_account(bytes));
  EXPECT_FALSE(read_account(std::span(bytes).first(8)));
  auto* const header = reinterpret_cast<account::Header*>(bytes.data());
  header->magic = account::magic;
  EXPECT_FALSE(read_account(bytes));
  header->gpus = 65;
  EXPECT_FALSE(read_account(bytes));
  header->gpus = 64;
  header->records = ~std::uint64_t{0};
  auto* const record = reinterpret_cast<account::Record*>(bytes.data() + sizeof(account::Header));
  record->facts[0] = 5;
  record->version = 3;  // for ever being written
  const auto reading = read_account(bytes);
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->left_out, 1U);
  EXPECT_TRUE(reading->buffers.empty());
}

TEST(KfdAccount, a_reader_sees_whole_records) {
  std::vector<std::byte> bytes(sizeof(account::Header) + sizeof(account::Record));
  Account account(bytes, 1);
  Buffer buffer;
  account.note(1, &buffer);
  std::atomic<bool> ends{false};
  std::thread writer([&] {
    while (!ends) {
      ++buffer.size;
      buffer.address = buffer.size;
      account.note(1, &buffer);
    }
  });
  for (int round = 0; round < 20'000; ++round) {
    const auto reading = read_account(bytes);
    ASSERT_TRUE(reading);
    for (const BufferFacts& facts : reading->buffers) ASSERT_EQ(facts.address, facts.size);
  }
  ends = true;
  writer.join();
}

}  // namespace
}  // namespace sluice::kfd
