// MemoryPool and PageTable: which memory lies at which addresses, and where copies reach it. The
// driver is two tables here, so these run without a GPU.
#include "device/cuda/memory_pool.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <vector>

#include "os/address_window.hpp"

namespace sluice::device::cuda {
namespace {

constexpr std::size_t pool_blocks = 16;
constexpr CUdeviceptr pool_begin = CUdeviceptr{1} << 46;

struct Card {
  std::map<CUdeviceptr, CUmemGenericAllocationHandle> mapped;
  std::map<CUdeviceptr, bool> open;  // to a GPU
  CUmemGenericAllocationHandle made = 0;
  std::size_t live = 0;  // allocations
  std::size_t calls = 0;
  bool opens = true;
};
Card* card = nullptr;  // the driver's calls have no place for it

Driver counting_driver() {
  Driver driver;
  driver.error_name = [](CUresult, const char** name) {
    *name = "CUDA_ERROR_OF_A_TEST";
    return success;
  };
  driver.address_reserve = [](CUdeviceptr* got, std::size_t size, std::size_t, CUdeviceptr wanted,
                              unsigned long long) {
    *got = wanted != 0 ? wanted : pool_begin;
    if (wanted != 0)
      mmap(os::pointer_for_call(Address{wanted}), size, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return success;
  };
  driver.address_free = [](CUdeviceptr begin, std::size_t size) {
    if (begin != pool_begin) munmap(os::pointer_for_call(Address{begin}), size);
    return success;
  };
  driver.memory_create = [](CUmemGenericAllocationHandle* made, std::size_t,
                            const CUmemAllocationProp*, unsigned long long) {
    ++card->calls;
    ++card->live;
    *made = ++card->made;
    return success;
  };
  driver.memory_release = [](CUmemGenericAllocationHandle) {
    --card->live;
    return success;
  };
  driver.memory_map = [](CUdeviceptr at, std::size_t, std::size_t,
                         CUmemGenericAllocationHandle memory, unsigned long long) {
    ++card->calls;
    EXPECT_TRUE(card->mapped.emplace(at, memory).second) << "something is mapped there";
    return success;
  };
  driver.memory_unmap = [](CUdeviceptr at, std::size_t) {
    ++card->calls;
    EXPECT_EQ(card->mapped.erase(at), 1U) << "nothing is mapped there";
    card->open.erase(at);
    return success;
  };
  driver.memory_set_access = [](CUdeviceptr at, std::size_t size, const CUmemAccessDesc*,
                                std::size_t) -> CUresult {
    ++card->calls;
    if (!card->opens) return 1;
    for (std::size_t offset = 0; offset < size; offset += block_size) {
      EXPECT_TRUE(card->mapped.contains(at + offset));
      card->open[at + offset] = true;
    }
    return success;
  };
  return driver;
}

class MemoryPools : public testing::Test {
 protected:
  MemoryPools() : window_(std::move(*os::AddressWindow::reserve(64 * block_size, block_size))) {
    card = &card_;
    table = std::make_unique<PageTable>(driver, window_.span());
    EXPECT_TRUE(table->start());
    table->admit(0, 0);
    pool = make_pool(0);
  }
  ~MemoryPools() override {
    pool.reset();
    EXPECT_EQ(card_.live, 0U) << "memory is left behind";
    EXPECT_TRUE(card_.mapped.empty());
    table.reset();
  }
  std::unique_ptr<MemoryPool> make_pool(int gpu) {
    auto made = std::make_unique<MemoryPool>(driver, *table, CUmemLocation{location_device, gpu},
                                             std::vector<int>{0, 1}, pool_blocks * block_size);
    EXPECT_TRUE(made->start());
    return made;
  }
  [[nodiscard]] Address at(std::size_t block) const {
    return window_.span().begin + block * block_size;
  }
  [[nodiscard]] AddressSpan blocks(std::size_t first, std::size_t count) const {
    return {at(first), count * block_size};
  }
  std::size_t allocate_for(std::size_t block) {
    return pool->allocate_for(at(block), block_size).value();
  }
  void map(std::size_t block, std::size_t offset, int device = 0) {
    const BlockMapping mapping{at(block), &pool->block_of(offset)};
    EXPECT_TRUE(table->update(device, {&mapping, 1}));
  }
  void end_right(std::size_t block) {
    const BlockMapping mapping{at(block)};
    EXPECT_TRUE(table->update(0, {&mapping, 1}));
  }
  [[nodiscard]] CUdeviceptr reached_at(std::size_t offset) const {
    EXPECT_TRUE(pool->reach(offset));
    const CUdeviceptr address = pool->address_of(offset);
    EXPECT_TRUE(card_.open.contains(address - offset % block_size)) << "a copy would fail there";
    return address;
  }

  Card card_;
  os::AddressWindow window_;
  const Driver driver = counting_driver();
  std::unique_ptr<PageTable> table;
  std::unique_ptr<MemoryPool> pool;
};

TEST_F(MemoryPools, copies_reach_mapped_memory_at_its_managed_address) {
  const std::size_t offset = allocate_for(3);
  map(3, offset);
  EXPECT_EQ(reached_at(offset + 5), at(3).value + 5);
  end_right(3);
  EXPECT_EQ(reached_at(offset), at(3).value) << "the mapping stays";
}

TEST_F(MemoryPools, copies_reach_memory_that_is_mapped_nowhere_in_the_pool) {
  const std::size_t offset = pool->allocate(block_size / 2).value();
  const CUdeviceptr before = reached_at(offset);
  EXPECT_GE(before, pool_begin);
  map(3, offset);
  EXPECT_EQ(reached_at(offset), before) << "a copy may be under way there";
}

TEST_F(MemoryPools, memory_that_goes_to_another_use_is_reached_there) {
  const std::size_t first = allocate_for(3);
  map(3, first);
  end_right(3);
  pool->release(first, block_size);
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < pool_blocks; ++i) all.push_back(pool->allocate(block_size).value());
  EXPECT_FALSE(table->is_mapped(at(3)));
  EXPECT_GE(reached_at(first), pool_begin);
  for (const std::size_t offset : all) pool->release(offset, block_size);
}

TEST_F(MemoryPools, of_several_devices_are_reached_in_the_pool) {
  table->admit(1, 1);
  const std::size_t offset = allocate_for(3);
  map(3, offset);
  EXPECT_GE(reached_at(offset), pool_begin);
}

TEST_F(MemoryPools, memory_laid_ready_is_there_without_a_call) {
  pool->lay_ready(blocks(2, 4), 0);
  EXPECT_EQ(pool->in_use(), 0U);
  const std::size_t calls = card_.calls;
  for (std::size_t block = 2; block < 6; ++block) {
    const std::size_t offset = allocate_for(block);
    map(block, offset);
    EXPECT_EQ(reached_at(offset), at(block).value);
  }
  EXPECT_EQ(card_.calls, calls);
  EXPECT_EQ(pool->in_use(), 4 * block_size);
}

TEST_F(MemoryPools, laying_ready_leaves_what_is_mapped_and_half_of_the_pool) {
  const std::size_t offset = allocate_for(1);
  map(1, offset);
  pool->lay_ready(blocks(0, 32), 0);
  EXPECT_EQ(reached_at(offset), at(1).value);
  std::size_t ready = 0;
  for (std::size_t block = 0; block < 32; ++block) ready += table->is_mapped(at(block)) ? 1 : 0;
  EXPECT_EQ(ready, pool_blocks / 2);
  EXPECT_EQ(pool->in_use(), block_size);
}

TEST_F(MemoryPools, memory_laid_ready_goes_to_others_when_there_is_no_other) {
  pool->lay_ready(blocks(0, 8), 0);
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < pool_blocks; ++i) all.push_back(allocate_for(20 + i));
  EXPECT_EQ(pool->in_use(), pool_blocks * block_size);
  for (std::size_t i = 0; i < pool_blocks; ++i) {
    map(20 + i, all[i]);
    EXPECT_EQ(reached_at(all[i]), at(20 + i).value);
  }
  for (std::size_t block = 0; block < 8; ++block) EXPECT_FALSE(table->is_mapped(at(block)));
}

TEST_F(MemoryPools, a_driver_that_opens_nothing_leaves_nothing_ready) {
  card_.opens = false;
  pool->lay_ready(blocks(0, 4), 0);
  EXPECT_FALSE(table->is_mapped(at(0)));
  EXPECT_FALSE(pool->reach(pool->allocate(block_size).value()));
  card_.opens = true;
  const std::size_t offset = allocate_for(0);
  map(0, offset);
  EXPECT_EQ(reached_at(offset), at(0).value);
}

TEST_F(MemoryPools, a_cleared_pool_has_nothing_mapped) {
  pool->lay_ready(blocks(0, 4), 0);
  map(9, allocate_for(9));
  end_right(9);
  pool->clear();
  for (std::size_t block = 0; block < 10; ++block) EXPECT_FALSE(table->is_mapped(at(block)));
  EXPECT_GE(reached_at(pool->allocate(block_size).value()), pool_begin);
}

}  // namespace
}  // namespace sluice::device::cuda
