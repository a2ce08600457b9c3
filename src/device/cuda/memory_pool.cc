// Allocations, cut from the driver's own of one block each.
//
// What it does not do: give memory back to the driver before it ends. A pool is as large as its
// fullest moment, and most_spare.
#include "device/cuda/memory_pool.hpp"

#include <algorithm>
#include <utility>

namespace sluice::device::cuda {
namespace {

// Bytes beyond the fullest moment. Where a range is made before the last one has quite ended, each
// keeps memory of its own, and its mappings.
constexpr std::size_t most_spare = std::size_t{1} << 30;
// Blocks that are made together once there are as many: opening one alone to the GPUs takes the
// driver 50 us, and one of many 17 us.
constexpr std::size_t most_at_once = 16;

}  // namespace

MemoryPool::MemoryPool(const Driver& driver, PageTable& page_table, CUmemLocation from,
                       std::vector<int> gpus, std::size_t size)
    : driver_(driver),
      page_table_(page_table),
      from_(from),
      gpus_(std::move(gpus)),
      size_(size),
      buddy_(size),
      blocks_(size / block_size) {}

Result<void> MemoryPool::start() {
  if (const CUresult error = driver_.address_reserve(&base_, size_, block_size, 0, 0);
      error != success)
    return driver_.failed(error, "cuMemAddressReserve for device memory");
  return {};
}

MemoryPool::~MemoryPool() {
  for (std::size_t block = 0; block < backed_; ++block) {
    page_table_.let_go(blocks_[block]);
    give_back(block);
  }
  if (base_ != 0) (void)driver_.address_free(base_, size_);
}

Result<void> MemoryPool::back(std::size_t block) {
  const std::size_t end = std::min({blocks_.size(), block + most_at_once, block + 1 + backed_});
  SLUICE_TRY(create(block));
  std::size_t made = block + 1;
  // More only saves time later.
  while (made < end && create(made)) ++made;
  std::vector<CUmemAccessDesc> users;
  users.reserve(gpus_.size());
  for (const int gpu : gpus_) users.push_back({{location_device, gpu}, access_read_write});
  const CUresult error = driver_.memory_set_access(
      base_ + block * block_size, (made - block) * block_size, users.data(), users.size());
  if (error == success) {
    backed_ = made;
    return {};
  }
  for (; made > block; --made) give_back(made - 1);
  return driver_.failed(error, "cuMemSetAccess of device memory");
}

Result<void> MemoryPool::create(std::size_t block) {
  const CUmemAllocationProp properties{.type = allocation_pinned,
                                       .requestedHandleTypes = 0,
                                       .location = from_,
                                       .win32HandleMetaData = nullptr,
                                       .allocFlags = {}};
  CUmemGenericAllocationHandle made = 0;
  CUresult error = driver_.memory_create(&made, block_size, &properties, 0);
  if (error != success) return driver_.failed(error, "cuMemCreate");
  error = driver_.memory_map(base_ + block * block_size, block_size, 0, made, 0);
  if (error != success) {
    (void)driver_.memory_release(made);
    return driver_.failed(error, "cuMemMap of device memory");
  }
  blocks_[block].handle = made;
  return {};
}

void MemoryPool::give_back(std::size_t block) noexcept {
  (void)driver_.memory_unmap(base_ + block * block_size, block_size);
  (void)driver_.memory_release(std::exchange(blocks_[block].handle, 0));
}

Result<std::size_t> MemoryPool::allocate(std::size_t size) {
  SLUICE_ASSIGN(offset, cut(size));
  // Only what begins a block can have been mapped. Locks of one rank do not nest.
  if (offset % block_size == 0) page_table_.let_go(block_of(offset));
  return offset;
}

Result<std::size_t> MemoryPool::cut(std::size_t size) {
  const MutexLock lock(mutex_);
  const auto offset = buddy_.allocate(size);
  if (!offset)
    return fail(ErrorCode::out_of_device_memory, "%zu bytes do not fit: %zu of %zu are in use",
                size, buddy_.in_use(), size_);
  if (auto ready = make_ready(*offset / block_size); !ready) {
    buddy_.release(*offset, size);
    return fail(ErrorCode::out_of_device_memory, "%zu bytes of device memory: %s", size,
                ready.error().detail().data());
  }
  return *offset;
}

Result<void> MemoryPool::make_ready(std::size_t block) {
  if (block >= backed_) SLUICE_TRY(back(block));
  used_ = std::max(used_, block + 1);
  fullest_ = std::max(fullest_, buddy_.in_use());
  return {};
}

Result<std::size_t> MemoryPool::allocate_for(Address block, std::size_t size) {
  if (size != block_size) return allocate(size);
  const MemoryBlock* const idle = page_table_.idle_at(block);
  if (idle != nullptr && idle >= blocks_.data() && idle < blocks_.data() + blocks_.size()) {
    const std::size_t offset = static_cast<std::size_t>(idle - blocks_.data()) * block_size;
    const MutexLock lock(mutex_);
    if (buddy_.take_block(offset)) return offset;
  }
  // Free memory is left to the ranges that come back where it is mapped.
  if (const auto offset = cut_new_block()) return *offset;
  return allocate(size);
}

std::optional<std::size_t> MemoryPool::cut_new_block() {
  const MutexLock lock(mutex_);
  const std::size_t offset = used_ * block_size;
  if (offset + block_size > std::min(size_, fullest_ + most_spare) || !buddy_.take_block(offset))
    return std::nullopt;
  if (make_ready(used_)) return offset;
  buddy_.release(offset, block_size);
  return std::nullopt;
}

void MemoryPool::release(std::size_t offset, std::size_t size) noexcept {
  const MutexLock lock(mutex_);
  buddy_.release(offset, size);
}

bool MemoryPool::holds(std::size_t offset) const noexcept {
  if (offset >= size_) return false;
  const MutexLock lock(mutex_);
  return buddy_.is_allocated(offset);
}

std::size_t MemoryPool::in_use() const noexcept {
  const MutexLock lock(mutex_);
  return buddy_.in_use();
}

void MemoryPool::clear() {
  for (MemoryBlock& block : blocks_) page_table_.let_go(block);
  const MutexLock lock(mutex_);
  buddy_ = Buddy(size_);
}

}  // namespace sluice::device::cuda
