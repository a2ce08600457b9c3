// Rules of memory: allocation, mapping on several GPUs, unmapping, release, limits. Each leaves the
// machine as it was.
#include <array>
#include <cerrno>

#include "kfd/rules.hpp"

namespace sluice::tool::kfd_contract {
namespace {

using abi::memory::userptr;
using abi::memory::vram;

constexpr std::uint32_t no_gpu = 0;  // nothing has this id

void allocation_checks(Machine& machine, Trial& trial) {
  std::uint64_t handle = 0;
  trial.expect("size 0", machine.allocate(0, vram, handle), EINVAL);
  trial.expect("no kind of memory", machine.allocate(4096, 0, handle), EINVAL);
  trial.expect("user memory without an address", machine.allocate(4096, userptr, handle), EINVAL);
  abi::AllocMemory asked{std::uint64_t{1} << 35, 4096, 0, 0, no_gpu, vram};
  trial.expect("no such GPU", machine.call(abi::Call::alloc_memory, asked), EINVAL);
}

void limit(Machine& machine, Trial& trial) {
  const std::uint64_t before = machine.available();
  std::uint64_t handle = 0;
  trial.expect("64 TiB", machine.allocate(std::uint64_t{1} << 46, vram, handle), ENOMEM);
  trial.expect("available afterwards", machine.available(), before);
}

void chunks(Machine& machine, Trial& trial) {
  constexpr std::uint64_t chunk = std::uint64_t{2} << 20;
  const std::uint64_t before = machine.available();
  trial.expect("available, modulo 2 MiB", before % chunk, std::uint64_t{0});
  const std::uint64_t handle = machine.page();
  trial.expect("a page takes", before - machine.available(), chunk);
  trial.expect("free", machine.release(handle), 0);
  trial.expect("available afterwards", machine.available(), before);
}

void map_checks(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  const std::array ids{machine.id(0)};
  std::uint32_t done = 0;
  trial.expect("on no GPU", machine.map(handle, {}, done), EINVAL);
  done = 2;
  trial.expect("n_success 2 of 1", machine.map(handle, ids, done), EINVAL);
  done = 0;
  trial.expect("no such buffer", machine.map(handle + 0x7000, ids, done), ENOMEM);
  abi::MapMemory unreadable{handle, 8, 1, 0};
  trial.expect("ids that cannot be read", machine.call(abi::Call::map_memory, unreadable), EFAULT);
  trial.expect("free", machine.release(handle), 0);
}

void map_twice(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  trial.expect("first", machine.map(handle), 0);
  trial.expect("second", machine.map(handle), 0);
  trial.expect("unmap", machine.unmap(handle), 0);
  trial.expect("unmap again", machine.unmap(handle), EINVAL);
  trial.expect("free", machine.release(handle), 0);
}

void map_prefix(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  const std::array ids{machine.id(0), no_gpu, machine.id(1)};
  std::uint32_t done = 0;
  trial.expect("a list with a bad id", machine.map(handle, ids, done), EINVAL);
  trial.expect("n_success", done, 1U);
  std::uint32_t undone = 0;
  const auto unmap = abi::Call::unmap_memory;
  trial.expect("the GPU behind it is mapped",
               machine.map(handle, std::span(ids).last(1), undone, unmap), EINVAL);
  trial.expect("the GPU before it is mapped",
               machine.map(handle, std::span(ids).first(1), undone, unmap), 0);
  trial.expect("free", machine.release(handle), 0);
}

void map_goes_on(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  const std::array ids{no_gpu, machine.id(1)};
  std::uint32_t done = 1;
  trial.expect("from the second on", machine.map(handle, ids, done), 0);
  trial.expect("n_success", done, 2U);
  done = 2;
  trial.expect("with nothing left", machine.map(handle, ids, done), 0);
  done = 1;
  trial.expect("unmap from the second on", machine.map(handle, ids, done, abi::Call::unmap_memory),
               0);
  trial.expect("free", machine.release(handle), 0);
}

void unmap_prefix(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  const std::array ids{machine.id(0), machine.id(1)};
  std::uint32_t done = 0;
  trial.expect("map on the first", machine.map(handle, std::span(ids).first(1), done), 0);
  done = 0;
  trial.expect("unmap both", machine.map(handle, ids, done, abi::Call::unmap_memory), EINVAL);
  trial.expect("n_success", done, 1U);
  trial.expect("free", machine.release(handle), 0);
}

void free_while_mapped(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  trial.expect("map", machine.map(handle), 0);
  trial.expect("free", machine.release(handle), EBUSY);
  trial.expect("unmap afterwards", machine.unmap(handle), 0);
  trial.expect("free afterwards", machine.release(handle), 0);
}

void free_unknown(Machine& machine, Trial& trial) {
  const std::uint64_t handle = machine.page();
  trial.expect("free", machine.release(handle), 0);
  trial.expect("free twice", machine.release(handle), EINVAL);
  trial.expect("no such GPU", machine.release(1), EINVAL);
}

void acquire(Machine& machine, Trial& trial) {
  abi::AcquireVm same{static_cast<std::uint32_t>(machine.node()), machine.id(0)};
  trial.expect("the same file", machine.call(abi::Call::acquire_vm, same), 0);
  abi::AcquireVm none{~0U, machine.id(0)};
  trial.expect("no file", machine.call(abi::Call::acquire_vm, none), EINVAL);
}

constexpr std::array all = std::to_array<Rule>({
    {"acquiring a VM again is right with the same file", "kfd_chardev.c, kfd_ioctl_acquire_vm", 1,
     acquire},
    {"an allocation with a mistake is refused", "kfd_chardev.c, kfd_ioctl_alloc_memory_of_gpu", 1,
     allocation_checks},
    {"an allocation over the limit is refused and charges nothing",
     "amdgpu_amdkfd_gpuvm.c, amdgpu_amdkfd_reserve_mem_limit", 1, limit},
    {"available memory counts each buffer as whole 2 MiB",
     "amdgpu_amdkfd_gpuvm.c, amdgpu_amdkfd_get_available_memory", 1, chunks},
    {"a mapping with a mistake is refused", "kfd_chardev.c, kfd_ioctl_map_memory_to_gpu", 1,
     map_checks},
    {"mapping twice succeeds, unmapping twice does not",
     "amdgpu_amdkfd_gpuvm.c, amdgpu_amdkfd_gpuvm_map_memory_to_gpu", 1, map_twice},
    {"a mapping that fails keeps its prefix, tells it, and leaves later GPUs",
     "kfd_chardev.c, kfd_ioctl_map_memory_to_gpu", 2, map_prefix},
    {"a mapping goes on from n_success", "kfd_chardev.c, kfd_ioctl_map_memory_to_gpu", 2,
     map_goes_on},
    {"unmapping stops at the first GPU that has no mapping",
     "kfd_chardev.c, kfd_ioctl_unmap_memory_from_gpu", 2, unmap_prefix},
    {"a mapped buffer is not freed, and its handle stays",
     "amdgpu_amdkfd_gpuvm.c, amdgpu_amdkfd_gpuvm_free_memory_of_gpu", 1, free_while_mapped},
    {"freeing the unknown is invalid", "kfd_chardev.c, kfd_ioctl_free_memory_of_gpu", 1,
     free_unknown},
});

}  // namespace

std::span<const Rule> rules_of_memory() noexcept { return all; }

}  // namespace sluice::tool::kfd_contract
