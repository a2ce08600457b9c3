// Allocations, cut from the driver's own of one block each.
//
// What it does not do: give memory back to the driver before it ends. A pool is as large as its
// fullest moment, and most_spare.
#include "device/cuda/memory_pool.hpp"

#include <algorithm>
#include <array>
#include <span>
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
                       const std::vector<int>& gpus, std::size_t size)
    : driver_(driver),
      page_table_(page_table),
      from_(from),
      size_(size),
      buddy_(size),
      blocks_(size / block_size) {
  users_.reserve(gpus.size());
  for (const int gpu : gpus) users_.push_back({{location_device, gpu}, access_read_write});
}

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
  backed_ = made;
  return {};
}

Result<void> MemoryPool::create(std::size_t block) {
  const CUmemAllocationProp properties{.type = allocation_pinned,
                                       .requestedHandleTypes = 0,
                                       .location = from_,
                                       .win32HandleMetaData = nullptr,
                                       .allocFlags = {}};
  CUmemGenericAllocationHandle made = 0;
  const CUresult error = driver_.memory_create(&made, block_size, &properties, 0);
  if (error != success) return driver_.failed(error, "cuMemCreate");
  blocks_[block].handle = made;
  return {};
}

void MemoryPool::give_back(std::size_t block) noexcept {
  MemoryBlock& memory = blocks_[block];
  if (memory.copied_at.exchange(0) != 0)
    (void)driver_.memory_unmap(base_ + block * block_size, block_size);
  (void)driver_.memory_release(std::exchange(memory.handle, 0));
}

Result<void> MemoryPool::reach(std::size_t offset) {
  const std::size_t block = offset / block_size;
  if (blocks_[block].copied_at.load(std::memory_order_acquire) != 0) return {};
  const bool alone = !page_table_.is_shared();
  const MutexLock lock(mutex_);
  if (blocks_[block].copied_at.load(std::memory_order_acquire) != 0) return {};
  std::size_t end = block;
  // Blocks that follow will be asked for next. Where a device is alone, each may soon be reached at
  // its managed address.
  do ++end;
  while (!alone && end < backed_ && end < block + most_at_once && blocks_[end].copied_at == 0);
  return map(block, end);
}

Result<void> MemoryPool::map(std::size_t first, std::size_t end) {
  std::size_t mapped = first;
  CUresult error = success;
  for (; mapped < end && error == success; ++mapped)
    error =
        driver_.memory_map(base_ + mapped * block_size, block_size, 0, blocks_[mapped].handle, 0);
  if (error != success) --mapped;
  const char* call = "cuMemMap of device memory";
  if (error == success) {
    error = driver_.memory_set_access(base_ + first * block_size, (end - first) * block_size,
                                      users_.data(), users_.size());
    call = "cuMemSetAccess of device memory";
  }
  if (error != success) {
    while (mapped-- > first) (void)driver_.memory_unmap(base_ + mapped * block_size, block_size);
    return driver_.failed(error, call);
  }
  for (std::size_t i = first; i < end; ++i) blocks_[i].copied_at = base_ + i * block_size;
  return {};
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
  note_fullest();
  return *offset;
}

Result<void> MemoryPool::make_ready(std::size_t block) {
  if (block >= backed_) SLUICE_TRY(back(block));
  used_ = std::max(used_, block + 1);
  return {};
}

Result<std::size_t> MemoryPool::allocate_for(Address block, std::size_t size) {
  if (size != block_size) return allocate(size);
  const MemoryBlock* const idle = page_table_.idle_at(block);
  if (idle != nullptr && idle >= blocks_.data() && idle < blocks_.data() + blocks_.size()) {
    const std::size_t offset = static_cast<std::size_t>(idle - blocks_.data()) * block_size;
    const MutexLock lock(mutex_);
    if (buddy_.take_block(offset)) {
      note_fullest();
      return offset;
    }
  }
  {
    // Free memory is left to the ranges that come back where it is mapped.
    const MutexLock lock(mutex_);
    if (const auto offset = cut_new_block()) {
      note_fullest();
      return *offset;
    }
  }
  return allocate(size);
}

std::optional<std::size_t> MemoryPool::cut_new_block() {
  const std::size_t offset = used_ * block_size;
  if (offset + block_size > std::min(size_, fullest_ + most_spare) || !buddy_.take_block(offset))
    return std::nullopt;
  if (make_ready(used_)) return offset;
  buddy_.release(offset, block_size);
  return std::nullopt;
}

void MemoryPool::lay_ready(AddressSpan blocks, int device) noexcept {
  std::array<BlockMapping, PageTable::most_blocks> wanted{};
  std::size_t count = 0;
  for (Address block = blocks.begin; block < blocks.end(); block = block + block_size)
    if (!page_table_.is_mapped(block)) wanted[count++] = {block};
  std::size_t taken = 0;
  std::uint64_t clears = 0;
  {
    const MutexLock lock(mutex_);
    clears = clears_;
    while (taken < count && used_ < blocks_.size() / 2) {
      const auto offset = cut_new_block();
      if (!offset) break;
      wanted[taken++].memory = &block_of(*offset);
      held_back_ += block_size;
    }
  }
  page_table_.lay_idle(device, std::span(wanted).first(taken));
  const MutexLock lock(mutex_);
  if (clears != clears_) return;
  for (const BlockMapping& each : std::span(wanted).first(taken))
    buddy_.release(static_cast<std::size_t>(each.memory - blocks_.data()) * block_size, block_size);
  held_back_ -= taken * block_size;
}

void MemoryPool::note_fullest() noexcept {
  fullest_ = std::max(fullest_, buddy_.in_use() - held_back_);
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
  return buddy_.in_use() - held_back_;
}

void MemoryPool::clear() {
  for (MemoryBlock& block : blocks_) page_table_.let_go(block);
  const MutexLock lock(mutex_);
  buddy_ = Buddy(size_);
  held_back_ = 0;
  ++clears_;
}

}  // namespace sluice::device::cuda
