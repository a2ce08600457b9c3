// The bare driver. Managed memory is allocated only here, as the peer, and far below the card's
// free memory.
#include "bench/cuda_card.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <string>

#include "device/cuda/kernels/builtin.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

using device::cuda::CUcontext;
using device::cuda::CUdeviceptr;
using device::cuda::CUmemLocation;
using device::cuda::CUresult;
using device::cuda::CurrentContext;
using device::cuda::CUstream;

constexpr unsigned attach_global = 1;      // CU_MEM_ATTACH_GLOBAL
constexpr CUresult peer_is_enabled = 704;  // CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED

// Driver calls that Sluice itself never makes.
struct ManagedCalls {
  CUresult (*allocate_managed)(CUdeviceptr*, std::size_t, unsigned);
  CUresult (*allocate)(CUdeviceptr*, std::size_t);
  CUresult (*release)(CUdeviceptr);
  CUresult (*prefetch)(CUdeviceptr, std::size_t, CUmemLocation, unsigned, CUstream);
  CUresult (*advise)(CUdeviceptr, std::size_t, int, CUmemLocation);
  CUresult (*enable_peer)(CUcontext, unsigned);
};

const ManagedCalls& managed_calls() {
  static const ManagedCalls calls = [] {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW);
    const auto find = [&](const char* name) {
      void* const found = library == nullptr ? nullptr : dlsym(library, name);
      if (found == nullptr) throw CannotRun(std::string("the CUDA driver has no ") + name);
      return found;
    };
    ManagedCalls found{};
    found.allocate_managed =
        reinterpret_cast<decltype(found.allocate_managed)>(find("cuMemAllocManaged"));
    found.allocate = reinterpret_cast<decltype(found.allocate)>(find("cuMemAlloc_v2"));
    found.release = reinterpret_cast<decltype(found.release)>(find("cuMemFree_v2"));
    found.prefetch = reinterpret_cast<decltype(found.prefetch)>(find("cuMemPrefetchAsync_v2"));
    found.advise = reinterpret_cast<decltype(found.advise)>(find("cuMemAdvise_v2"));
    found.enable_peer =
        reinterpret_cast<decltype(found.enable_peer)>(find("cuCtxEnablePeerAccess"));
    return found;
  }();
  return calls;
}

CUdeviceptr number(const void* bytes) { return reinterpret_cast<CUdeviceptr>(bytes); }

const device::cuda::Driver& load_driver() { return *need("CUDA", device::cuda::Driver::load()); }

}  // namespace

#define SLUICE_CARD(call)                                                           \
  do {                                                                              \
    if (const CUresult error = (call); error != device::cuda::success)              \
      program::cannot_run(#call, driver_.failed(error, "the CUDA driver").value()); \
  } while (false)

Card::Card(int gpu) : gpu_(gpu), driver_(load_driver()) {
  SLUICE_CARD(driver_.context_retain(&context_, gpu));
  const CurrentContext current = make_current();
  SLUICE_CARD(driver_.stream_create(&stream_, device::cuda::stream_non_blocking, 0));
  const device::cuda::CUmodule module = load(device::cuda::builtin_kernels());
  fill_ = kernel(module, "fill");
  reduce_ = kernel(module, "reduce");
  nothing_ = kernel(module, "nothing");
}

Card::~Card() {
  {
    const CurrentContext current = make_current();
    for (const device::cuda::CUmodule module : modules_) (void)driver_.module_unload(module);
    (void)driver_.stream_destroy(stream_);
  }
  (void)driver_.context_release(gpu_);
}

CurrentContext Card::make_current() const { return CurrentContext(driver_, context_); }

device::cuda::CUmodule Card::load(std::span<const unsigned char> image) {
  if (image.empty())
    throw CannotRun("this sluice was built without nvcc, so it has no CUDA kernels");
  const CurrentContext current = make_current();
  device::cuda::CUmodule module = nullptr;
  SLUICE_CARD(driver_.module_load_data(&module, image.data()));
  modules_.push_back(module);
  return module;
}

device::cuda::CUfunction Card::kernel(device::cuda::CUmodule module, const char* name) const {
  const CurrentContext current = make_current();
  device::cuda::CUfunction function = nullptr;
  SLUICE_CARD(driver_.module_function(&function, module, name));
  return function;
}

void Card::map_peer(const Card& other) const {
  const CurrentContext current = make_current();
  const CUresult enabled = managed_calls().enable_peer(other.context_, 0);
  if (enabled != peer_is_enabled) SLUICE_CARD(enabled);
}

std::byte* Card::allocate(Memory memory, std::size_t size) const {
  const CurrentContext current = make_current();
  CUdeviceptr bytes = 0;
  void* host = nullptr;
  switch (memory) {
    case Memory::managed:
      SLUICE_CARD(managed_calls().allocate_managed(&bytes, size, attach_global));
      break;
    case Memory::device:
      SLUICE_CARD(managed_calls().allocate(&bytes, size));
      break;
    case Memory::pinned:
      SLUICE_CARD(driver_.host_allocate(&host, size, device::cuda::register_portable));
      return static_cast<std::byte*>(host);
  }
  return reinterpret_cast<std::byte*>(bytes);  // NOLINT(performance-no-int-to-ptr)
}

void Card::release(Memory memory, std::byte* bytes) const {
  const CurrentContext current = make_current();
  if (memory == Memory::pinned)
    (void)driver_.host_free(bytes);
  else
    (void)managed_calls().release(number(bytes));
}

void Card::synchronize() const {
  const CurrentContext current = make_current();
  SLUICE_CARD(driver_.stream_synchronize(stream_));
}

void Card::start_copy(void* to, const void* from, std::size_t size) const {
  const CurrentContext current = make_current();
  SLUICE_CARD(driver_.copy(number(to), number(from), size, stream_));
}

void Card::copy(void* to, const void* from, std::size_t size) const {
  start_copy(to, from, size);
  synchronize();
}

void Card::start_prefetch(std::byte* managed, std::size_t size, bool to_host) const {
  const CurrentContext current = make_current();
  const CUmemLocation to{to_host ? device::cuda::location_host : device::cuda::location_device,
                         to_host ? 0 : gpu_};
  SLUICE_CARD(managed_calls().prefetch(number(managed), size, to, 0, stream_));
}

void Card::prefetch(std::byte* managed, std::size_t size, bool to_host) const {
  start_prefetch(managed, size, to_host);
  synchronize();
}

void Card::advise(std::byte* managed, std::size_t size, Advice advice, bool host) const {
  const CurrentContext current = make_current();
  const CUmemLocation place{host ? device::cuda::location_host : device::cuda::location_device,
                            host ? 0 : gpu_};
  SLUICE_CARD(managed_calls().advise(number(managed), size, static_cast<int>(advice), place));
}

void Card::launch(device::cuda::CUfunction function, void** arguments, std::size_t items) const {
  const CurrentContext current = make_current();
  const auto blocks = static_cast<unsigned>(std::clamp<std::size_t>((items + 255) / 256, 1, 1056));
  SLUICE_CARD(driver_.launch(function, blocks, 1, 1, items == 1 ? 1 : 256, 1, 1, 0, stream_,
                             arguments, nullptr));
}

void Card::fill(std::byte* words, std::size_t size, std::uint32_t value) const {
  sluice_soft_fill of{reinterpret_cast<std::uint32_t*>(words), value};
  std::uint64_t items = size / sizeof value;
  void* arguments[] = {&of, &items};
  launch(fill_, arguments, items);
  synchronize();
}

void Card::reduce(const std::byte* words, std::size_t size, std::byte* sum) const {
  sluice_soft_reduce of{reinterpret_cast<const std::uint32_t*>(words),
                        reinterpret_cast<std::uint64_t*>(sum)};
  std::uint64_t items = size / sizeof(std::uint32_t);
  void* arguments[] = {&of, &items};
  launch(reduce_, arguments, items);
  synchronize();
}

void Card::launch_nothing() const {
  std::uint8_t none = 0;
  std::uint64_t items = 1;
  void* arguments[] = {&none, &items};
  SLUICE_CARD(driver_.launch(nothing_, 1, 1, 1, 1, 1, 1, 0, stream_, arguments, nullptr));
}

}  // namespace sluice::tool::bench
