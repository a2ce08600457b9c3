// Containers in managed memory.
#include <algorithm>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

class MemoryResourceTest : public ApiTest {
 protected:
  const std::shared_ptr<MemoryResource> memory = take(MemoryResource::create(space));
};

TEST_F(MemoryResourceTest, kinds) {
  EXPECT_EQ(memory->kind(), Kind::shared);
  EXPECT_EQ(take(MemoryResource::create(space, Kind::host))->kind(), Kind::host);
  EXPECT_THAT(MemoryResource::create(space, Kind::device),
              refuses(ErrorCode::invalid_argument, "device"));
}

TEST(MemoryResourceGrade, shared_needs_a_fault_source) {
  SpaceOptions options = with_devices(1);
  options.best_grade = Grade::none;
  const Space space = take(Space::open(options));
  EXPECT_THAT(MemoryResource::create(space), refuses(ErrorCode::unsupported, "none"));
  EXPECT_THAT(space.allocate(4096), refuses(ErrorCode::unsupported, ""));
  EXPECT_TRUE(MemoryResource::create(space, Kind::host));
}

TEST_F(MemoryResourceTest, pieces_are_managed_and_share_ranges) {
  std::pmr::vector<std::pmr::string> names(memory.get());
  for (int i = 0; i < 100; ++i)
    names.emplace_back("a name that is too long for the string itself, number " +
                       std::to_string(i));
  EXPECT_EQ(take(space.range_of(names[99].data())).kind, Kind::shared);
  EXPECT_EQ(space.status().ranges, 1U);
  EXPECT_EQ(memory->held(), std::size_t{2} << 20);
}

// Ranges of less than 2 MiB begin anywhere at 64 KiB, so several of each are needed to see it.
TEST_F(MemoryResourceTest, pieces_lie_where_they_were_wanted) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{1200} << 10, std::size_t{3} << 20})
    for (std::size_t alignment = 16; alignment <= std::size_t{4} << 20; alignment *= 2) {
      void* const pieces[] = {memory->allocate(size, alignment), memory->allocate(size, alignment)};
      for (void* const piece : pieces) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % alignment, 0U) << size;
        memory->deallocate(piece, size, alignment);
      }
    }
  EXPECT_LE(space.status().ranges, 1U);
}

TEST_F(MemoryResourceTest, kernels_use_containers) {
  std::pmr::vector<std::uint32_t> values(5000, 1U, memory.get());
  const Kernel kernel = take(queue.kernel("fill"));
  const Fence fence = take(queue.launch(kernel)
                               .writes(values)
                               .arguments(sluice_soft_fill{values.data(), 5})
                               .items(values.size())
                               .submit());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_THAT(values, testing::Each(5U));
}

TEST_F(MemoryResourceTest, freeing_moves_no_page) {
  auto* const values = new (memory->allocate(400, 4)) std::uint32_t[100]();
  EXPECT_TRUE(ok(take(space.prefetch(values, 400, Location::device(0))).wait()));
  const std::uint64_t faults = space.counters().cpu_faults;
  memory->deallocate(values, 400, 4);
  EXPECT_EQ(memory->allocate(400, 4), values);
  memory->deallocate(values, 400, 4);
  EXPECT_EQ(space.counters().cpu_faults, faults);
}

TEST_F(MemoryResourceTest, what_cannot_be_had_is_bad_alloc) {
  EXPECT_THROW(static_cast<void>(memory->allocate(SIZE_MAX / 2, 8)), std::bad_alloc);
  Allocator<std::uint64_t> allocator(memory);
  EXPECT_THROW(static_cast<void>(allocator.allocate(SIZE_MAX / 4)), std::bad_alloc);
  EXPECT_EQ(memory->held(), 0U);
}

TEST_F(MemoryResourceTest, allocators_compare_convert_and_keep_the_resource_alive) {
  auto other = take(MemoryResource::create(space));
  const Allocator<int> first(memory);
  const Allocator<double> same(first);
  EXPECT_TRUE(first == same);
  EXPECT_FALSE(first == Allocator<int>(other));
  EXPECT_FALSE(memory->is_equal(*other));

  std::map<int, int, std::less<>, Allocator<std::pair<const int, int>>> squares{
      Allocator<std::pair<const int, int>>(other)};
  const std::weak_ptr<MemoryResource> observed = other;
  other.reset();
  for (int i = 0; i < 1000; ++i) squares[i] = i * i;
  EXPECT_FALSE(observed.expired());
  EXPECT_EQ(squares.at(30), 900);

  std::vector<int, Allocator<int>> a(10, 1, first);
  std::vector<int, Allocator<int>> b(10, 2, Allocator<int>(observed.lock()));
  std::swap(a, b);
  a = std::move(b);
  EXPECT_TRUE(a.get_allocator() == first);
}

TEST_F(MemoryResourceTest, it_keeps_its_space_open_and_frees_everything_at_its_end) {
  auto own_space = std::make_unique<Space>(take(Space::open(with_devices(1))));
  const Space watching = *own_space;
  {
    const auto resource = take(MemoryResource::create(*own_space));
    own_space.reset();
    auto* const piece = static_cast<int*>(resource->allocate(sizeof(int), alignof(int)));
    *piece = 5;
    static_cast<void>(resource->allocate(std::size_t{5} << 20, 64));
    EXPECT_EQ(watching.status().ranges, 2U);
  }
  EXPECT_EQ(watching.status().ranges, 0U);
}

TEST_F(MemoryResourceTest, threads_build_containers_at_once) {
  std::vector<std::thread> threads;
  for (int seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      for (int round = 0; round < 20; ++round) {
        std::pmr::map<int, std::pmr::vector<int>> rows(memory.get());
        for (int i = 0; i < 50; ++i) rows[i].assign(static_cast<std::size_t>(i + round), seed);
        for (const auto& [i, row] : rows) EXPECT_THAT(row, testing::Each(seed));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice::api_test
