// Many processes on one machine: random calls of eight against a model of a few lines. They share
// the GPUs' memory and nothing else, and each may end at any moment.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

constexpr int process_count = 8;
constexpr int gpu_count = 2;
constexpr std::uint64_t vram_of_gpu = 16 * mib;
constexpr std::uint64_t limit = 8 * mib;  // less page tables

struct ModelBuffer {
  std::uint64_t handle = 0;
  int gpu = 0;
  std::uint64_t size = 0;
  std::set<int> mapped;
};

struct ModelProcess {
  ProcessNumber number = 0;
  std::uint64_t next_address = gib;
  std::vector<ModelBuffer> buffers;
};

class Crowd {
 public:
  Crowd() {
    for (int gpu = 0; gpu < gpu_count; ++gpu)
      world_.files[static_cast<std::uint32_t>(gpu)] = {static_cast<std::uint64_t>(gpu) + 1, gpu};
    for (ModelProcess& each : processes_) start(each);
  }

  void step() {
    ModelProcess& mine = processes_[*rc::gen::inRange<std::size_t>(0, process_count)];
    switch (*rc::gen::inRange(0, 9)) {
      case 0:
        end(mine);
        start(mine);
        break;
      case 1:
      case 2:
      case 3:
        allocate(mine);
        break;
      case 4:
      case 5:
        release(mine);
        break;
      default:
        change(mine, *rc::gen::arbitrary<bool>());
    }
    compare();
  }
  void end_all() {
    for (ModelProcess& each : processes_) end(each);
    for (int gpu = 0; gpu < gpu_count; ++gpu) RC_ASSERT(machine_.limits().vram_used(gpu) == 0U);
  }

 private:
  template <typename T>
  int call(const ModelProcess& process, abi::Call number, T& arguments) {
    return machine_
        .call(process.number, KfdRig::request(number, sizeof arguments),
              std::as_writable_bytes(std::span(&arguments, 1)))
        .error;
  }
  void start(ModelProcess& process) {
    process = {.number = machine_.add_process(), .next_address = gib, .buffers = {}};
    for (int gpu = 0; gpu < gpu_count; ++gpu) {
      abi::AcquireVm asked{static_cast<std::uint32_t>(gpu), gpu_id_of(gpu)};
      RC_ASSERT(call(process, abi::Call::acquire_vm, asked) == 0);
    }
  }
  void end(ModelProcess& process) {
    for (const ModelBuffer& each : process.buffers) used_[each.gpu] -= each.size;
    machine_.remove_process(process.number);
  }
  void allocate(ModelProcess& process) {
    ModelBuffer made;
    made.gpu = *rc::gen::inRange(0, gpu_count);
    made.size = *rc::gen::inRange<std::uint64_t>(1, mib);
    abi::AllocMemory asked{.va_addr = process.next_address,
                           .size = made.size,
                           .handle = 0,
                           .mmap_offset = 0,
                           .gpu_id = gpu_id_of(made.gpu),
                           .flags = abi::memory::vram};
    process.next_address += 2 * mib;
    const bool fits = used_[made.gpu] + made.size <= limit;
    RC_ASSERT(call(process, abi::Call::alloc_memory, asked) == (fits ? 0 : ENOMEM));
    if (!fits) return;
    made.handle = asked.handle;
    used_[made.gpu] += made.size;
    process.buffers.push_back(made);
  }
  void release(ModelProcess& process) {
    if (process.buffers.empty()) return;
    const auto chosen =
        process.buffers.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(process.buffers));
    abi::FreeMemory asked{chosen->handle};
    const bool is_free = chosen->mapped.empty();
    RC_ASSERT(call(process, abi::Call::free_memory, asked) == (is_free ? 0 : EBUSY));
    if (!is_free) return;
    used_[chosen->gpu] -= chosen->size;
    process.buffers.erase(chosen);
  }
  void change(ModelProcess& process, bool maps) {
    if (process.buffers.empty()) return;
    ModelBuffer& chosen =
        process.buffers[*rc::gen::inRange<std::size_t>(0, process.buffers.size())];
    const int gpu = *rc::gen::inRange(0, gpu_count);
    const std::uint32_t id = gpu_id_of(gpu);
    RC_ASSERT(world_.write(FakeSurroundings::base, std::as_bytes(std::span(&id, 1))));
    abi::MapMemory asked{chosen.handle, FakeSurroundings::base, 1, 0};
    const bool is_mapped = chosen.mapped.contains(gpu);
    const auto number = maps ? abi::Call::map_memory : abi::Call::unmap_memory;
    RC_ASSERT(call(process, number, asked) == (maps || is_mapped ? 0 : EINVAL));
    if (maps)
      chosen.mapped.insert(gpu);
    else
      chosen.mapped.erase(gpu);
  }
  void compare() {
    for (int gpu = 0; gpu < gpu_count; ++gpu) {
      RC_ASSERT(machine_.limits().vram_used(gpu) == used_[gpu]);
    }
  }

  FakeSurroundings world_;
  Machine machine_{{.gpus = gpu_count, .vram = vram_of_gpu}, gib, world_};
  std::array<ModelProcess, process_count> processes_;
  std::map<int, std::uint64_t> used_;
};

RC_GTEST_PROP(KfdProcesses, eight_at_random_share_the_limits_and_nothing_else, ()) {
  Crowd crowd;
  const int steps = *rc::gen::inRange(1, 300);
  for (int step = 0; step < steps; ++step) crowd.step();
  crowd.end_all();
}

}  // namespace
}  // namespace sluice::kfd
