// Copies, fills and mappings of a GPU.
//
// Copies go between the alias view and the address at which copies reach an allocation: its pool's,
// or the managed one where the device is alone, for which it is mapped anyway. Neighbours in a list
// become one copy: the driver takes 1.4 us for each. Mappings are done by the driver in the call
// itself, so their fence is complete when the call returns. What it does not do: allocate on the
// heap, though the driver may.
#include <algorithm>
#include <array>

#include "device/cuda/gpu_device.hpp"

namespace sluice::device::cuda {

// --- checks --------------------------------------------------------------------------------------

Result<void> CudaDevice::check(const Place& place, std::size_t size) const {
  if (size == 0) return fail(ErrorCode::invalid_argument, "a command of zero bytes");
  if (place.location.is_host()) {
    const AddressSpan& window = platform_->host.window;
    const Address begin{place.offset};
    if (window.contains(begin) && size <= window.end() - begin) return {};
    return fail(ErrorCode::invalid_argument, "%#zx + %zu bytes is not in the window", place.offset,
                size);
  }
  const CudaDevice* owner = platform_->member(place.location.number());
  if (owner == nullptr)
    return fail(ErrorCode::unknown_device, "device %d is not open", place.location.number());
  const AllocationHandle handle = AllocationHandle::of(place.allocation);
  if (!owner->holds(handle))
    return fail(ErrorCode::invalid_argument, "%#llx is no live allocation of device %d",
                static_cast<unsigned long long>(place.allocation), place.location.number());
  if (place.offset > handle.size || size > handle.size - place.offset)
    return fail(ErrorCode::invalid_argument, "%zu + %zu bytes leave an allocation of %zu",
                place.offset, size, handle.size);
  return {};
}

Result<void> CudaDevice::check(const CopyCommand& command) const {
  SLUICE_TRY(check(command.from, command.size));
  return check(command.to, command.size);
}

Result<void> CudaDevice::check(const MappingCommand& command) const {
  const AddressSpan& window = platform_->host.window;
  const bool on_host = command.rights != Rights::none && command.backing.location.is_host();
  const std::size_t granule = on_host ? traits_.host_granule : traits_.mapping_granule;
  if (command.size == 0 || command.size % granule != 0 || command.address.value % granule != 0)
    return fail(ErrorCode::invalid_argument, "mapping %#lx + %zu bytes; the granule is %zu",
                command.address.value, command.size, granule);
  if (!window.contains(command.address) || command.size > window.end() - command.address)
    return fail(ErrorCode::invalid_argument, "%#lx + %zu bytes is not in the window",
                command.address.value, command.size);
  if (command.rights == Rights::none) return {};
  const AddressSpan addresses = Platform::addresses_of(platform_->host);
  if (on_host) {
    if (command.address < addresses.end())
      return fail(ErrorCode::unsupported, "%#lx: a GPU maps host memory in host ranges only",
                  command.address.value);
    return {};
  }
  if (!addresses.contains(command.address))
    return fail(ErrorCode::invalid_argument, "%#lx is an address of host ranges",
                command.address.value);
  SLUICE_TRY(check(command.backing, command.size));
  const AllocationHandle handle = AllocationHandle::of(command.backing.allocation);
  if ((handle.offset + command.backing.offset) % block_size != 0)
    return fail(ErrorCode::invalid_argument,
                "a backing at %zu bytes of its allocation; the granule is %zu",
                command.backing.offset, block_size);
  return {};
}

// --- copies and fills ----------------------------------------------------------------------------

CUdeviceptr CudaDevice::address_of(const Place& place) const noexcept {
  if (place.location.is_host())
    return reinterpret_cast<CUdeviceptr>(platform_->host.alias +
                                         (place.offset - platform_->host.window.begin.value));
  const CudaDevice& owner = *platform_->member(place.location.number());
  const std::size_t offset = AllocationHandle::of(place.allocation).offset + place.offset;
  const std::size_t own = owner.memory_->size();
  return offset < own ? owner.memory_->address_of(offset)
                      : owner.overflow_->address_of(offset - own);
}

Result<void> CudaDevice::reach(const Place& place) const {
  if (place.location.is_host()) return {};
  const CudaDevice& owner = *platform_->member(place.location.number());
  const std::size_t offset = AllocationHandle::of(place.allocation).offset + place.offset;
  const std::size_t own = owner.memory_->size();
  return offset < own ? owner.memory_->reach(offset) : owner.overflow_->reach(offset - own);
}

// Two lanes in each direction, in turn, so that one copy's start overlaps the other's end.
std::uint16_t CudaDevice::lane_for(const CopyCommand& command) noexcept {
  const auto turn = static_cast<std::uint16_t>(turn_.fetch_add(1, std::memory_order_relaxed) & 1);
  if (command.from.location.is_host()) return into_device + turn;
  if (command.to.location.is_host()) return out_of_device + turn;
  return inside;
}

Result<void> CudaDevice::put(const Ends& ends, CUstream stream) {
  if (const CUresult error = driver_.copy(ends.to, ends.from, ends.size, stream); error != success)
    return driver_.failed(error, "cuMemcpyAsync");
  return {};
}

Result<Fence> CudaDevice::copy(std::span<const CopyCommand> commands) {
  SLUICE_TRY(alive());
  if (commands.empty()) return Fence{};
  for (const CopyCommand& command : commands) SLUICE_TRY(check(command));
  const CurrentContext current(driver_, context_);
  SLUICE_TRY(platform_->pinned.pin(commands));
  for (const CopyCommand& command : commands) {
    SLUICE_TRY(reach(command.from));
    SLUICE_TRY(reach(command.to));
  }

  const std::uint16_t number = lane_for(commands.front());
  Lane& lane = lanes_[number];
  const MutexLock lock(lane.mutex);
  Result<void> done;
  for (std::size_t i = 0; i < commands.size() && done;) {
    std::size_t size = commands[i].size;
    std::size_t next = i + 1;
    const auto follows = [&](const CopyCommand& command) {
      return command.from.location == commands[i].from.location &&
             command.to.location == commands[i].to.location &&
             address_of(command.from) == address_of(commands[i].from) + size &&
             address_of(command.to) == address_of(commands[i].to) + size;
    };
    while (next < commands.size() && follows(commands[next])) size += commands[next++].size;
    Ends ends{address_of(commands[i].from), address_of(commands[i].to), size};
    const Place& host = commands[i].from.location.is_host() ? commands[i].from : commands[i].to;
    while (ends.size != 0 && done) {
      // A copy may not cross from one registration to the next.
      const Address at{host.offset + (size - ends.size)};
      const std::size_t part =
          host.location.is_host() ? platform_->pinned.together(at, ends.size) : ends.size;
      done = put({ends.from, ends.to, part}, lane.stream());
      ends = {ends.from + part, ends.to + part, ends.size - part};
    }
    i = next;
  }
  Result<std::uint64_t> value = done ? lane.mark(driver_) : tl::unexpected<Error>(done.error());
  if (!value) return refused(value.error());
  return Fence{static_cast<std::int16_t>(options_.number), number, *value};
}

Result<Fence> CudaDevice::fill(std::span<const FillCommand> commands) {
  SLUICE_TRY(alive());
  if (commands.empty()) return Fence{};
  for (const FillCommand& command : commands) {
    if (command.to.location != Location::device(options_.number))
      return fail(ErrorCode::invalid_argument, "a fill by device %d of memory elsewhere",
                  options_.number);
    SLUICE_TRY(check(command.to, command.size));
  }
  const CurrentContext current(driver_, context_);
  for (const FillCommand& command : commands) SLUICE_TRY(reach(command.to));
  Lane& lane = lanes_[inside];
  const MutexLock lock(lane.mutex);
  for (std::size_t i = 0; i < commands.size();) {
    const FillCommand& first = commands[i];
    std::size_t size = first.size;
    // Pieces that lie side by side are one fill.
    for (++i; i < commands.size() && commands[i].value == first.value &&
              address_of(commands[i].to) == address_of(first.to) + size;
         ++i)
      size += commands[i].size;
    const CUresult error = driver_.fill(address_of(first.to), first.value, size, lane.stream());
    if (error != success) return refused(driver_.failed(error, "cuMemsetD8Async").value());
  }
  Result<std::uint64_t> value = lane.mark(driver_);
  if (!value) return refused(value.error());
  return Fence{static_cast<std::int16_t>(options_.number), inside, *value};
}

// --- mappings ------------------------------------------------------------------------------------

Result<Fence> CudaDevice::update_mappings(std::span<const MappingCommand> commands) {
  SLUICE_TRY(alive());
  for (const MappingCommand& command : commands) SLUICE_TRY(check(command));
  const CurrentContext current(driver_, context_);
  std::array<BlockMapping, PageTable::most_blocks> blocks{};
  std::size_t count = 0;
  const auto flush = [&]() -> Result<void> {
    return platform_->page_table.update(options_.number,
                                        {blocks.data(), std::exchange(count, std::size_t{0})});
  };
  const AddressSpan addresses = Platform::addresses_of(platform_->host);
  for (const MappingCommand& command : commands) {
    const AddressSpan span{command.address, command.size};
    if (!addresses.contains(command.address)) {
      if (command.rights == Rights::none)
        platform_->pinned.leave(span, options_.number);
      else
        SLUICE_TRY(platform_->pinned.map(span, options_.number));
      continue;
    }
    for (std::size_t at = 0; at < command.size; at += block_size) {
      const bool ends = command.rights == Rights::none;
      if (count == blocks.size() || (count != 0 && (blocks[0].memory == nullptr) != ends))
        SLUICE_TRY(flush());
      blocks[count++] = {command.address + at, ends ? nullptr : memory_of(command.backing)};
    }
  }
  SLUICE_TRY(flush());
  return Fence{};
}

// A backing on a peer is the peer's memory.
MemoryBlock* CudaDevice::memory_of(const Place& backing) const noexcept {
  const CudaDevice& owner = *platform_->member(backing.location.number());
  const std::size_t offset = AllocationHandle::of(backing.allocation).offset + backing.offset;
  const std::size_t own = owner.memory_->size();
  return offset < own ? &owner.memory_->block_of(offset) : &owner.overflow_->block_of(offset - own);
}

// After an error the first copy tries again, and tells.
void CudaDevice::expect_copies(AddressSpan span) noexcept {
  const CurrentContext current(driver_, context_);
  (void)platform_->pinned.pin(span);
}

void CudaDevice::expect_use(AddressSpan span) noexcept {
  const AddressSpan addresses = Platform::addresses_of(platform_->host);
  if (lost_ || !addresses.contains(span.begin)) return;
  const CurrentContext current(driver_, context_);
  const Address end{round_down(std::min(span.end(), addresses.end()).value, block_size)};
  for (Address at{round_up(span.begin.value, block_size)}; at < end;) {
    const std::size_t size = std::min(end - at, PageTable::most_blocks * block_size);
    memory_->lay_ready({at, size}, options_.number);
    at = at + size;
  }
}

void CudaDevice::forget_host_memory(AddressSpan span) noexcept {
  const CurrentContext current(driver_, context_);
  platform_->pinned.forget(span);
}

}  // namespace sluice::device::cuda
