// Context: allocation and look-up.
//
// Small allocations are cut from ranges of 2 MiB, so that a list of a thousand nodes does not cost
// 2 GiB of addresses. An allocation belongs to all devices of its context. What it does not do:
// keep small allocations of different use on different pages.
#include "context.hpp"

#include <algorithm>
#include <bit>

#include "layer.hpp"
#include "options.hpp"
#include "os/report.hpp"

namespace sluice::opencl {
namespace {

// A device may report more features than are supported on it here.
void report_mixture(const std::vector<cl_device_id>& devices, Backend backend) {
  for (cl_device_id device : devices) {
    const Backend alone = choose(device).backend;
    if (alone == backend) continue;
    char name[64] = {};
    driver().clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof(name) - 1, name, nullptr);
    os::report("a context of %zu devices is served by %s, which all of them can do; %s alone by %s",
               devices.size(), to_string(backend).data(), name, to_string(alone).data());
    return;
  }
}

std::size_t alignment_in_buffers(const std::vector<cl_device_id>& devices) {
  std::size_t most = 1;
  for (cl_device_id device : devices) {
    cl_uint bits = 0;
    driver().clGetDeviceInfo(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(bits), &bits, nullptr);
    most = std::max<std::size_t>(most, bits / 8);
  }
  return most;
}

// One buffer has one place, on one device, and is rebased for in SPIR-V. As large as an arena over
// SVM.
std::size_t common_size_on(const std::vector<cl_device_id>& devices) {
  if (devices.size() != 1 || !takes_il(devices.front())) return 0;
  cl_ulong most = 0;
  cl_ulong memory = 0;
  driver().clGetDeviceInfo(devices.front(), CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most,
                           nullptr);
  driver().clGetDeviceInfo(devices.front(), CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory,
                           nullptr);
  return std::bit_floor(std::min<std::size_t>({most, memory / 4, options().arena}));
}

}  // namespace

Context::Context(cl_context handle, std::vector<cl_device_id> devices,
                 std::vector<cl_device_id> reported)
    : handle_(handle),
      devices_(std::move(devices)),
      reported_(std::move(reported)),
      backend_(choose_for_all(devices_)) {
  report_mixture(devices_, backend_);
  if (has_buffers()) base_alignment_ = alignment_in_buffers(devices_);
  if (backend_ == Backend::buffers) common_size_ = common_size_on(devices_);
  if (backend_ == Backend::addresses)
    device_memory_ = DeviceMemory::open({&driver(), handle_, devices_.front()});
}

bool Context::has(cl_device_id device) const noexcept {
  const auto is_in = [device](const std::vector<cl_device_id>& list) {
    return std::find(list.begin(), list.end(), device) != list.end();
  };
  return is_in(devices_) || is_in(reported_);
}

std::vector<SvmFeatures> Context::svm_features() const {
  std::vector<SvmFeatures> found;
  for (cl_device_id device : devices_) found.push_back({backend_, svm_of(device)});
  return found;
}

std::vector<Arena*> Context::arenas() const {
  MutexLock lock(arenas_mutex_);
  std::vector<Arena*> found;
  found.reserve(arenas_.size());
  for (const auto& arena : arenas_) found.push_back(arena.get());
  return found;
}

// Some drivers refuse alignments above the largest data type, and some forget them: those get more
// memory to align in.
Allocation Context::driver_allocation(const AllocationRequest& asked) const {
  cl_svm_mem_flags flags = asked.svm_flags;
  if (asked.type != CL_MEM_TYPE_UNKNOWN_INTEL) {
    flags = CL_MEM_READ_WRITE;
    const auto fine = [](cl_device_id device) {
      return (svm_of(device) & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0;
    };
    if (std::all_of(devices_.begin(), devices_.end(), fine)) flags |= CL_MEM_SVM_FINE_GRAIN_BUFFER;
  }
  const auto alignment = static_cast<cl_uint>(asked.alignment);
  void* base = driver().clSVMAlloc(handle_, flags, asked.size, alignment);
  Address begin = Address::of(base);
  if (alignment > sizeof(cl_long16) && begin.value % alignment != 0) {
    driver().clSVMFree(handle_, base);
    base = nullptr;
  }
  if (base == nullptr && alignment > sizeof(cl_long16)) {
    base = driver().clSVMAlloc(handle_, flags, asked.size + alignment, 0);
    begin = Address{round_up(Address::of(base).value, alignment)};
  }
  return {base == nullptr ? Address{} : begin, asked, nullptr, nullptr,
          std::make_shared<Usage>(),           base};
}

void* Context::allocate(const AllocationRequest& asked) {
  if (!moves()) {
    const Allocation own = driver_allocation(asked);
    if (own.base == nullptr) return nullptr;
    remember(own);
    return reinterpret_cast<void*>(own.begin.value);  // NOLINT(performance-no-int-to-ptr)
  }
  const Result<Allocation> placed = place(asked);
  if (!placed) {
    if (placed.error().code() != ErrorCode::out_of_device_memory)
      os::report("%zu bytes of managed memory: %s", asked.size, placed.error().detail().data());
    return nullptr;
  }
  remember(*placed);
  return reinterpret_cast<void*>(placed->begin.value);  // NOLINT(performance-no-int-to-ptr)
}

void Context::remember(const Allocation& allocation) {
  WriteLock lock(mutex_);
  allocations_.emplace(allocation.begin, allocation);
}

Result<Allocation> Context::place(const AllocationRequest& asked) {
  if (device_memory_ != nullptr && asked.type == CL_MEM_TYPE_DEVICE_INTEL) {
    SLUICE_ASSIGN(piece, device_memory_->allocate(asked.size, asked.alignment));
    return Allocation{Address::of(piece), asked, nullptr, &device_memory_->buffers(),
                      std::make_shared<Usage>()};
  }
  for (Arena* arena : arenas()) {
    Result<Allocation> placed = place_in(*arena, asked);
    // A full arena over SVM is no reason to give up.
    if (placed || has_buffers()) return placed;
  }
  SLUICE_ASSIGN(arena, add_arena(asked.size));
  return place_in(*arena, asked);
}

Result<Allocation> Context::place_in(Arena& arena, const AllocationRequest& asked) const {
  AllocationRequest aligned = asked;
  aligned.alignment = std::max(asked.alignment, base_alignment_);
  SLUICE_ASSIGN(piece, arena.allocate(aligned.size, aligned.alignment));
  return Allocation{Address::of(piece), aligned, &arena, arena.buffers(),
                    std::make_shared<Usage>()};
}

Result<Arena*> Context::add_arena(std::size_t size) {
  const device::opencl::Driver below{&driver(), handle_, devices_.front()};
  MutexLock lock(arenas_mutex_);
  if (has_buffers() && !arenas_.empty()) return arenas_.front().get();
  std::size_t wanted = std::max(options().arena, round_up(size, block_size));
  while (true) {
    auto arena =
        has_buffers() ? Arena::beside_buffers(below, common_size_) : Arena::over_svm(below, wanted);
    if (arena) {
      arenas_.push_back(std::move(*arena));
      return arenas_.back().get();
    }
    // Less may be had of a device that is nearly full.
    wanted /= 2;
    if (has_buffers() || wanted < round_up(size, block_size))
      return tl::unexpected<Error>(arena.error());
  }
}

bool Context::free(void* pointer) {
  Allocation allocation;
  {
    WriteLock lock(mutex_);
    const auto found = allocations_.find(Address::of(pointer));
    if (found == allocations_.end()) return false;
    allocation = found->second;
    allocations_.erase(found);
  }
  const auto [size, alignment] = std::pair(allocation.asked.size, allocation.asked.alignment);
  if (allocation.arena != nullptr)
    allocation.arena->free(pointer, size, alignment);
  else if (device_memory_ != nullptr)
    device_memory_->free(pointer, size, alignment);
  else
    driver().clSVMFree(handle_, allocation.base);
  return true;
}

std::optional<Allocation> Context::find(const void* pointer) const {
  const Address address = Address::of(pointer);
  ReadLock lock(mutex_);
  auto above = allocations_.upper_bound(address);
  if (above == allocations_.begin()) return std::nullopt;
  const Allocation& allocation = (--above)->second;
  if (!allocation.span().contains(address)) return std::nullopt;
  return allocation;
}

const device::opencl::CommonBuffer* Context::common_buffer() const {
  if (!rebases()) return nullptr;
  const device::opencl::CommonBuffer* common = nullptr;
  for (const Allocation& allocation : all(all_types)) {
    if (allocation.buffers == nullptr) return nullptr;
    common = &allocation.buffers->common();
    if (!common->has(allocation.span())) return nullptr;
  }
  return common;
}

bool Context::is_empty() const {
  ReadLock lock(mutex_);
  return allocations_.empty();
}

std::vector<Allocation> Context::all(TypeMask types) const {
  std::vector<Allocation> found;
  ReadLock lock(mutex_);
  for (const auto& [begin, allocation] : allocations_)
    if ((types & type_bit(allocation.asked.type)) != 0) found.push_back(allocation);
  return found;
}

}  // namespace sluice::opencl
