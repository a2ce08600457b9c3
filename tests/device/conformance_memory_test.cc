// Conformance: memory, copies, fills.
#include <cstring>
#include <numeric>
#include <thread>

#include "device/conformance.hpp"

namespace sluice::device::testing {
namespace {

// Bytes that tell where they are.
void write_pattern(std::uint32_t* words, std::size_t bytes, std::uint32_t seed) {
  for (std::size_t i = 0; i < bytes / 4; ++i)
    words[i] = static_cast<std::uint32_t>(i) * 2654435761U + seed;
}
bool has_pattern(const std::uint32_t* words, std::size_t bytes, std::uint32_t seed) {
  for (std::size_t i = 0; i < bytes / 4; ++i) {
    if (words[i] != static_cast<std::uint32_t>(i) * 2654435761U + seed) return false;
  }
  return true;
}

TEST_P(DeviceConformance, traits_are_sane) {
  Rig rig(GetParam());
  const Traits& traits = rig->traits();
  EXPECT_FALSE(traits.name.empty());
  EXPECT_GT(traits.memory_size, 0U);
  EXPECT_EQ(traits.mapping_granule % page_size, 0U);
  EXPECT_EQ(block_size % traits.mapping_granule, 0U);
  EXPECT_GE(traits.argument_limit, 1024U);
  EXPECT_GE(traits.copy_engines, 2);
  EXPECT_FALSE(rig->lost());
}

TEST_P(DeviceConformance, memory_in_use_is_exact) {
  Rig rig(GetParam());
  std::vector<Allocation> allocations;
  std::size_t sum = 0;
  for (const std::size_t pages : {1UL, 2UL, 3UL, 7UL, 16UL, 129UL, 511UL, 512UL}) {
    allocations.push_back(GET(rig->allocate(pages * page_size)));
    EXPECT_EQ(allocations.back().size, pages * page_size);
    sum += allocations.back().size;
    EXPECT_EQ(rig->memory_in_use(), sum);
  }
  for (const Allocation& allocation : allocations) {
    rig->release(allocation);
    sum -= allocation.size;
    EXPECT_EQ(rig->memory_in_use(), sum);
  }
}

TEST_P(DeviceConformance, memory_runs_out_with_an_error_and_comes_back) {
  Rig rig(GetParam());
  std::vector<Allocation> allocations;
  for (;;) {
    auto allocation = rig->allocate(block_size);
    if (!allocation) {
      EXPECT_EQ(code_of(allocation), ErrorCode::out_of_device_memory);
      break;
    }
    allocations.push_back(*allocation);
  }
  ASSERT_FALSE(allocations.empty());
  EXPECT_LE(allocations.size() * block_size, rig->traits().memory_size);
  rig->release(allocations.back());
  EXPECT_TRUE(rig->allocate(block_size));
}

TEST_P(DeviceConformance, impossible_allocations_are_refused) {
  Rig rig(GetParam());
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, page_size + 1, block_size + page_size}) {
    EXPECT_EQ(code_of(rig->allocate(size)), ErrorCode::invalid_argument) << size;
  }
  EXPECT_EQ(rig->memory_in_use(), 0U);
}

TEST_P(DeviceConformance, copies_there_and_back) {
  Rig rig(GetParam());
  for (const std::size_t size : {page_size, 3 * page_size, 64 * page_size, block_size}) {
    const Allocation allocation = GET(rig->allocate(size));
    write_pattern(rig.host.alias<std::uint32_t>(0), size, static_cast<std::uint32_t>(size));
    rig.finish(rig.copy(rig.on_host(0), rig.on_device(allocation), size));
    rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(block_size), size));
    EXPECT_TRUE(has_pattern(rig.host.alias<std::uint32_t>(block_size), size,
                            static_cast<std::uint32_t>(size)))
        << size;
    rig->release(allocation);
  }
}

TEST_P(DeviceConformance, copies_of_any_size_and_alignment) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(2 * page_size));
  auto* bytes = rig.host.alias<std::uint8_t>(0);
  for (std::size_t i = 0; i < 2 * page_size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  rig.finish(rig.fill(rig.on_device(allocation), 2 * page_size, 0xff));
  rig.finish(rig.copy(rig.on_host(3), rig.on_device(allocation, 4090), 13));
  rig.finish(rig.fill(rig.on_device(allocation, 4092), 1, 0xee));
  rig.finish(rig.copy(rig.on_device(allocation, 4089), rig.on_host(block_size + 1), 15));
  const auto* back = rig.host.alias<std::uint8_t>(block_size + 1);
  EXPECT_EQ(back[0], 0xff);
  EXPECT_EQ(back[14], 0xff);
  for (std::size_t i = 0; i < 13; ++i) EXPECT_EQ(back[i + 1], i == 2 ? 0xee : bytes[i + 3]) << i;
}

TEST_P(DeviceConformance, a_long_list_has_one_fence) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(block_size));
  write_pattern(rig.host.alias<std::uint32_t>(0), block_size, 5);
  std::vector<CopyCommand> in, out;
  for (std::size_t page = 0; page < pages_per_block; ++page) {
    // Backwards on the way in and forwards on the way out, so that a mix-up shows.
    const std::size_t mirrored = pages_per_block - 1 - page;
    in.push_back({rig.on_host(page * page_size), rig.on_device(allocation, mirrored * page_size),
                  page_size});
    out.push_back({rig.on_device(allocation, mirrored * page_size),
                   rig.on_host(block_size + page * page_size), page_size});
  }
  rig.finish(rig->copy(in));
  rig.finish(rig->copy(out));
  EXPECT_TRUE(has_pattern(rig.host.alias<std::uint32_t>(block_size), block_size, 5));
}

TEST_P(DeviceConformance, an_empty_list_is_complete) {
  Rig rig(GetParam());
  EXPECT_EQ(rig->poll(GET(rig->copy({}))), FenceState::complete);
  EXPECT_EQ(rig->poll(GET(rig->fill({}))), FenceState::complete);
  EXPECT_EQ(rig->poll(GET(rig->update_mappings({}))), FenceState::complete);
  EXPECT_TRUE(rig->wait({}, {}));
}

TEST_P(DeviceConformance, copies_inside_the_device) {
  Rig rig(GetParam());
  const Allocation first = GET(rig->allocate(block_size));
  const Allocation second = GET(rig->allocate(block_size));
  write_pattern(rig.host.alias<std::uint32_t>(0), block_size, 6);
  rig.finish(rig.copy(rig.on_host(0), rig.on_device(first), block_size));
  rig.finish(rig.copy(rig.on_device(first), rig.on_device(second), block_size));
  rig.finish(rig.copy(rig.on_device(second), rig.on_host(block_size), block_size));
  EXPECT_TRUE(has_pattern(rig.host.alias<std::uint32_t>(block_size), block_size, 6));
}

TEST_P(DeviceConformance, fills) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(4 * page_size));
  rig.finish(rig.fill(rig.on_device(allocation), 4 * page_size, 0x11));
  rig.finish(rig.fill(rig.on_device(allocation, page_size), 2 * page_size, 0xab));
  rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(0), 4 * page_size));
  const auto* bytes = rig.host.alias<std::uint8_t>(0);
  for (std::size_t i = 0; i < 4 * page_size; ++i) {
    const bool inner = i >= page_size && i < 3 * page_size;
    ASSERT_EQ(bytes[i], inner ? 0xab : 0x11) << i;
  }
}

TEST_P(DeviceConformance, bad_copies_are_refused_by_name) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(2 * page_size));
  const Allocation gone = GET(rig->allocate(page_size));
  rig->release(gone);
  const Place host = rig.on_host(0);
  const Place here = rig.on_device(allocation);
  Place foreign = here;
  foreign.location = Location::device(63);

  EXPECT_EQ(code_of(rig.copy(host, here, 0)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(host, here, 3 * page_size)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(host, rig.on_device(allocation, 2 * page_size), page_size)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(host, rig.on_device(gone), page_size)), ErrorCode::invalid_argument);
  EXPECT_EQ(
      code_of(rig.copy(host, rig.on_device(Allocation{~std::uint64_t{0}, page_size}), page_size)),
      ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(rig.on_host(rig.host.memory().window.size), here, page_size)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(Place::host(Address{page_size}), here, page_size)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.copy(foreign, here, page_size)), ErrorCode::unknown_device);
  EXPECT_EQ(code_of(rig.fill(host, page_size, 0)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.fill(here, 0, 0)), ErrorCode::invalid_argument);
}

TEST_P(DeviceConformance, one_bad_command_refuses_the_whole_list) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(page_size));
  std::memset(rig.host.alias<char>(0), 1, page_size);
  rig.finish(rig.fill(rig.on_device(allocation), page_size, 7));
  const std::vector<CopyCommand> list{{rig.on_host(0), rig.on_device(allocation), page_size},
                                      {rig.on_host(0), rig.on_device(allocation), 0}};
  EXPECT_EQ(code_of(rig->copy(list)), ErrorCode::invalid_argument);
  rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(page_size), page_size));
  EXPECT_EQ(*rig.host.alias<std::uint8_t>(page_size), 7);
}

TEST_P(DeviceConformance, copies_between_peers) {
  Rig rig(GetParam());
  if (!rig->traits().copies_from_peers)
    GTEST_SKIP() << "this kind of device does not copy from peers";
  const auto peer = GET(GetParam().open(1, rig.host.memory(), rig.sink));
  const Allocation here = GET(rig->allocate(block_size));
  const Allocation there = GET(peer->allocate(block_size));
  const Place on_peer{Location::device(1), there.handle, 0};
  write_pattern(rig.host.alias<std::uint32_t>(0), block_size, 9);
  const CopyCommand in{rig.on_host(0), on_peer, block_size};
  GET(peer->wait(GET(peer->copy({&in, 1})), patiently()));
  rig.finish(rig.copy(on_peer, rig.on_device(here), block_size));
  rig.finish(rig.copy(rig.on_device(here), rig.on_host(block_size), block_size));
  EXPECT_TRUE(has_pattern(rig.host.alias<std::uint32_t>(block_size), block_size, 9));
}

TEST_P(DeviceConformance, many_threads_copy_at_once) {
  Rig rig(GetParam());
  constexpr int threads = 4;
  std::vector<std::thread> workers;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      const std::size_t mine = static_cast<std::size_t>(thread) * 2 * block_size;
      for (std::uint32_t round = 0; round < 100; ++round) {
        const std::size_t size = (round % 16 + 1) * page_size;
        const Allocation allocation = GET(rig->allocate(size));
        const std::uint32_t seed = round * 16 + static_cast<std::uint32_t>(thread);
        write_pattern(rig.host.alias<std::uint32_t>(mine), size, seed);
        rig.finish(rig.copy(rig.on_host(mine), rig.on_device(allocation), size));
        rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(mine + block_size), size));
        if (!has_pattern(rig.host.alias<std::uint32_t>(mine + block_size), size, seed)) ++wrong;
        rig->release(allocation);
      }
    });
  }
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(rig->memory_in_use(), 0U);
}

}  // namespace
}  // namespace sluice::device::testing
