// KfdRig: a machine of software GPUs with one process, in surroundings that are only numbers.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "face/kfd/account/account.hpp"
#include "face/kfd/uapi/abi.hpp"
#include "face/kfd/uapi/gpu_memory.hpp"
#include "face/kfd/uapi/machine.hpp"

namespace sluice::kfd {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr std::uint64_t mib = std::uint64_t{1} << 20;

// User memory is [base, base + size); all else faults.
class FakeSurroundings : public Surroundings {
 public:
  static constexpr std::uint64_t base = 0x10000;
  static constexpr std::uint64_t size = 0x100000;

  Time now() override { return clock; }
  bool read(std::uint64_t address, std::span<std::byte> to) override {
    if (!is_mapped(address, to.size())) return false;
    if (!to.empty()) std::memcpy(to.data(), user.data() + (address - base), to.size());
    return true;
  }
  bool write(std::uint64_t address, std::span<const std::byte> from) override {
    if (!is_mapped(address, from.size())) return false;
    if (!from.empty()) std::memcpy(user.data() + (address - base), from.data(), from.size());
    return true;
  }
  bool is_mapped(std::uint64_t address, std::uint64_t bytes) override {
    return bytes <= size && address >= base && address - base <= size - bytes;
  }
  void watch(std::uint64_t address, std::uint64_t bytes) override { watched = {address, bytes}; }
  std::optional<RenderFile> render_file(std::uint32_t descriptor) override {
    const auto found = files.find(descriptor);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  }
  void store(const std::optional<RenderFile>& file, std::uint64_t offset,
             std::span<const std::byte> bytes) override {
    stored = {file ? file->number : 0, offset, bytes.size()};
  }
  std::byte* bytes(const RenderFile& file, std::uint64_t offset, std::uint64_t bytes) override {
    auto& found = memory[{file.number, offset}];
    if (found.size() < bytes) found.resize(bytes);
    return found.data();
  }
  std::byte* user_bytes(std::uint64_t address, std::uint64_t bytes) override {
    return is_mapped(address, bytes) ? user.data() + (address - base) : nullptr;
  }
  void tell_unknown_packet(int, std::uint32_t header) override { unknown = header; }
  void discard(const RenderFile&, std::uint64_t, std::uint64_t bytes) override {
    discarded += bytes;
  }
  void note(std::uint64_t handle, const Buffer* buffer) override { account.note(handle, buffer); }
  int open_shared(std::uint32_t descriptor, SharedBuffer& found) override {
    const auto there = shared.find(descriptor);
    if (there == shared.end()) return EBADF;
    found = there->second;
    ++open_shares;
    return 0;
  }
  void close_shared(const RenderFile&) override { --open_shares; }
  int open_events(int gpu) override { return event_files ? 50 + gpu : -EMFILE; }
  void tell_event(int gpu, std::uint32_t event, std::string_view line) override {
    told.push_back({gpu, event, std::string(line)});
  }
  void wake(WaitNumber wait) override { woken.insert(wait); }
  StepFault planned(int gpu, Step step) override {
    const auto found = plan.find({gpu, step});
    if (found == plan.end()) return {};
    const StepFault fault = found->second;
    if (once) plan.erase(found);
    return fault;
  }

  struct Stored {
    std::uint64_t file = 0, offset = 0, bytes = 0;
  };
  struct Told {
    int gpu = 0;
    std::uint32_t event = 0;
    std::string line;
    bool operator==(const Told&) const = default;
  };
  Time clock{std::chrono::seconds(1)};
  bool event_files = true;
  std::pair<std::uint64_t, std::uint64_t> watched;  // the last memory
  std::map<std::uint32_t, SharedBuffer> shared;     // by descriptor
  int open_shares = 0;
  std::vector<Told> told;
  std::vector<std::byte> user = std::vector<std::byte>(size);
  std::map<std::uint32_t, RenderFile> files;
  std::map<std::pair<int, Step>, StepFault> plan;
  bool once = true;  // a planned fault hits one step
  Stored stored;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::byte>> memory;
  std::uint32_t unknown = 0;  // the last packet that was told
  std::uint64_t discarded = 0;
  std::set<WaitNumber> woken;
  std::vector<std::byte> account_bytes = std::vector<std::byte>(64 * 1024);
  Account account{account_bytes, most_gpus};
};

class KfdRig {
 public:
  explicit KfdRig(MachineSpec spec = {.gpus = 4}, bool acquires = true)
      : machine(spec, 64 * gib, world), process(machine.add_process()), gpus(spec.gpus) {
    for (int gpu = 0; gpu < gpus; ++gpu) {
      const auto descriptor = static_cast<std::uint32_t>(100 + gpu);
      world.files[descriptor] = {static_cast<std::uint64_t>(gpu) + 1, gpu};
      if (!acquires) continue;
      abi::AcquireVm asked{descriptor, gpu_id_of(gpu)};
      EXPECT_EQ(call(abi::Call::acquire_vm, asked).error, 0);
    }
  }

  // The call with these arguments, which get the results.
  template <typename T>
  Answer call(abi::Call number, T& arguments) {
    return machine.call(process, request(number, sizeof arguments),
                        std::as_writable_bytes(std::span(&arguments, 1)));
  }
  template <typename T>
  Answer resume(const Answer& before, bool interrupted, T& arguments) {
    return machine.resume(process, before.wait->number, interrupted,
                          std::as_writable_bytes(std::span(&arguments, 1)));
  }
  static std::uint32_t request(abi::Call number, std::size_t bytes) {
    return 3U << 30 | static_cast<std::uint32_t>(bytes) << 16 | abi::group << 8 |
           static_cast<std::uint32_t>(number);
  }

  Answer allocate(std::uint64_t size, std::uint32_t flags, std::uint64_t address, int gpu = 0,
                  std::uint64_t user = 0) {
    allocation = {.va_addr = address,
                  .size = size,
                  .handle = 0,
                  .mmap_offset = user,
                  .gpu_id = gpu_id_of(gpu),
                  .flags = flags};
    return call(abi::Call::alloc_memory, allocation);
  }
  // The handle of a buffer of VRAM at an address of its own.
  std::uint64_t buffer(std::uint64_t size = 4096, int gpu = 0) {
    EXPECT_EQ(allocate(size, abi::memory::vram, next_address, gpu).error, 0);
    next_address += gib;
    return allocation.handle;
  }
  // Maps or unmaps on GPUs, from the n_success-th of them on; `mapping` has the results.
  Answer map(std::uint64_t handle, const std::vector<int>& on, std::uint32_t from = 0,
             abi::Call number = abi::Call::map_memory) {
    std::vector<std::uint32_t> ids;
    for (const int gpu : on) ids.push_back(gpu < 0 ? 0 : gpu_id_of(gpu));
    EXPECT_TRUE(world.write(FakeSurroundings::base, std::as_bytes(std::span(ids))));
    mapping = {.handle = handle,
               .device_ids_array_ptr = FakeSurroundings::base,
               .n_devices = static_cast<std::uint32_t>(on.size()),
               .n_success = from};
    return call(number, mapping);
  }
  Answer unmap(std::uint64_t handle, const std::vector<int>& on, std::uint32_t from = 0) {
    return map(handle, on, from, abi::Call::unmap_memory);
  }
  int free(std::uint64_t handle) {
    abi::FreeMemory asked{handle};
    return call(abi::Call::free_memory, asked).error;
  }
  std::uint64_t mapped_on(std::uint64_t handle) {
    return machine.process(process).memory.find(handle)->mapped_on;
  }

  std::uint32_t event(std::uint32_t type = abi::event::signal, bool auto_reset = true) {
    abi::CreateEvent asked{};
    asked.event_type = type;
    asked.auto_reset = auto_reset ? 1 : 0;
    EXPECT_EQ(call(abi::Call::create_event, asked).error, 0);
    return asked.event_id;
  }
  int one_event(abi::Call number, std::uint32_t id) {
    abi::OneEvent asked{id, 0};
    return call(number, asked).error;
  }
  // Waits for these events; `waiting` has the results.
  Answer wait(const std::vector<std::uint32_t>& ids, bool all, std::uint32_t timeout) {
    std::vector<abi::EventData> events(ids.size());
    for (std::size_t at = 0; at < ids.size(); ++at) events[at].event_id = ids[at];
    EXPECT_TRUE(world.write(FakeSurroundings::base, std::as_bytes(std::span(events))));
    waiting = {.events_ptr = FakeSurroundings::base,
               .num_events = static_cast<std::uint32_t>(ids.size()),
               .wait_for_all = all ? 1U : 0U,
               .timeout = timeout,
               .wait_result = 77};
    return call(abi::Call::wait_events, waiting);
  }

  FakeSurroundings world;
  Machine machine;
  ProcessNumber process;
  int gpus;
  abi::AllocMemory allocation{};
  abi::MapMemory mapping{};
  abi::WaitEvents waiting{};
  std::uint64_t next_address = 16 * gib;
};

}  // namespace sluice::kfd
