// The pool of pieces, over memory that may not be touched: whatever reads or writes a piece dies
// here.
#include "pool/piece_pool.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <sys/mman.h>

#include <gtest/gtest.h>

namespace sluice {
namespace {

// Inaccessible memory in ranges aligned to 2 MiB, as an engine gives them.
class UntouchableSource final : public RangeSource {
 public:
  static constexpr std::size_t unit = std::size_t{2} << 20;

  ~UntouchableSource() override { EXPECT_EQ(live, 0) << "ranges that were not given back"; }

  Result<std::byte*> take(std::size_t size) override {
    if (size > limit) return fail(ErrorCode::out_of_host_memory, "%zu bytes", size);
    const std::size_t whole = size + 2 * unit;
    void* const memory =
        mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      return fail(ErrorCode::out_of_host_memory, "mmap of %zu bytes", whole);
    const auto number = reinterpret_cast<std::uintptr_t>(memory);
    auto* const base = reinterpret_cast<std::byte*>((number + unit - 1) & ~(unit - 1));
    const std::lock_guard lock(mutex_);
    mappings_[base] = {memory, whole};
    ++live;
    ++taken;
    return base;
  }
  void give_back(std::byte* base) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto mapping = mappings_.at(base);
    munmap(mapping.first, mapping.second);
    mappings_.erase(base);
    --live;
  }
  std::size_t alignment_of(std::size_t /*size*/) const noexcept override { return unit; }

  std::size_t limit = std::size_t{1} << 32;
  std::atomic<int> live{0};
  std::atomic<int> taken{0};

 private:
  std::mutex mutex_;
  std::map<std::byte*, std::pair<void*, std::size_t>> mappings_;
};

class PiecePoolTest : public testing::Test {
 protected:
  void* allocate(std::size_t size, std::size_t alignment = 16) {
    const auto piece = pool.allocate(size, alignment);
    EXPECT_TRUE(piece);
    return piece ? *piece : nullptr;
  }

  UntouchableSource* const source = new UntouchableSource;  // owned by the pool
  PiecePool pool{std::unique_ptr<RangeSource>(source)};
};

TEST_F(PiecePoolTest, small_pieces_share_one_range) {
  std::vector<void*> pieces;
  for (int i = 0; i < 1000; ++i) pieces.push_back(allocate(100));
  EXPECT_EQ(source->taken, 1);
  EXPECT_EQ(pool.held(), PiecePool::chunk_size);
  for (void* piece : pieces) pool.free(piece, 100, 16);
  EXPECT_EQ(allocate(100), pieces.front());  // the slab is used again
}

TEST_F(PiecePoolTest, pieces_never_overlap_and_are_aligned) {
  struct Piece {
    std::size_t size;
    std::size_t alignment;
  };
  std::map<std::uintptr_t, Piece> live;
  std::mt19937_64 random(7);
  for (int step = 0; step < 20000; ++step) {
    if (live.size() == 500 || (!live.empty() && random() % 5 < 2)) {
      const auto victim =
          std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
      pool.free(reinterpret_cast<void*>(victim->first), victim->second.size,
                victim->second.alignment);
      live.erase(victim);
    }
    const std::size_t size = random() % (std::size_t{1} << (random() % 23));
    const std::size_t alignment = std::size_t{1} << (random() % (step % 100 == 0 ? 24 : 14));
    const auto piece = reinterpret_cast<std::uintptr_t>(allocate(size, alignment));
    ASSERT_EQ(piece % alignment, 0U);
    const auto after = live.upper_bound(piece);
    ASSERT_TRUE(after == live.end() || piece + size <= after->first);
    ASSERT_TRUE(after == live.begin() ||
                std::prev(after)->first + std::prev(after)->second.size <= piece);
    ASSERT_TRUE(live.emplace(piece, Piece{size, alignment}).second);
  }
  for (const auto& [piece, is] : live)
    pool.free(reinterpret_cast<void*>(piece), is.size, is.alignment);
  EXPECT_LE(source->live, 1);  // one empty chunk is kept
}

TEST_F(PiecePoolTest, whole_chunks_are_used_before_another_is_taken) {
  std::vector<void*> runs;
  for (std::size_t i = 0; i < PiecePool::slabs_per_chunk; ++i)
    runs.push_back(allocate(PiecePool::slab_size));
  EXPECT_EQ(source->taken, 1);
  runs.push_back(allocate(PiecePool::slab_size));
  EXPECT_EQ(source->taken, 2);
  for (void* run : runs) pool.free(run, PiecePool::slab_size, 16);
  EXPECT_EQ(source->live, 1);
}

TEST_F(PiecePoolTest, an_empty_chunk_is_kept_for_the_next_piece) {
  for (int i = 0; i < 100; ++i)
    pool.free(allocate(PiecePool::largest_in_slab), PiecePool::largest_in_slab, 16);
  EXPECT_EQ(source->taken, 1);
}

TEST_F(PiecePoolTest, large_and_widely_aligned_pieces_have_ranges_of_their_own) {
  const std::size_t size = PiecePool::largest_in_chunk + 1;
  void* const large = allocate(size);
  EXPECT_EQ(pool.held(), size);
  pool.free(large, size, 16);
  EXPECT_EQ(pool.held(), 0U);

  const std::size_t wide = UntouchableSource::unit * 8;
  void* const aligned = allocate(100, wide);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % wide, 0U);
  pool.free(aligned, 100, wide);
  EXPECT_EQ(source->live, 0);
}

TEST_F(PiecePoolTest, nothing_is_a_piece_too) {
  void* const first = allocate(0, 1);
  void* const second = allocate(0, 1);
  EXPECT_NE(first, second);
  pool.free(first, 0, 1);
  pool.free(second, 0, 1);
}

TEST_F(PiecePoolTest, refusals_are_passed_on_and_change_nothing) {
  source->limit = 4096;
  for (const std::size_t size : {std::size_t{16}, std::size_t{100000}, SIZE_MAX}) {
    const auto piece = pool.allocate(size, 16);
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error().code(), ErrorCode::out_of_host_memory);
  }
  const auto overflowing = pool.allocate(SIZE_MAX, std::size_t{1} << 30);
  ASSERT_FALSE(overflowing);
  EXPECT_EQ(overflowing.error().code(), ErrorCode::out_of_host_memory);
  EXPECT_EQ(pool.held(), 0U);
}

TEST_F(PiecePoolTest, many_threads) {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      std::mt19937 random(seed);
      std::vector<std::pair<void*, std::size_t>> mine;
      for (int step = 0; step < 5000; ++step) {
        const std::size_t size = random() % (1U << (random() % 19));
        mine.emplace_back(allocate(size), size);
        if (mine.size() > 50) {
          std::swap(mine[random() % mine.size()], mine.back());
          pool.free(mine.back().first, mine.back().second, 16);
          mine.pop_back();
        }
      }
      for (const auto& [piece, size] : mine) pool.free(piece, size, 16);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(source->live, 1);
}

}  // namespace
}  // namespace sluice
