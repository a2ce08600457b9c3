// Calls: one ioctl of one process at work. An object of it lives as long as the call.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "face/kfd/uapi/machine.hpp"

namespace sluice::kfd {

class Calls {
 public:
  Calls(Machine& machine, ProcessNumber number, std::span<std::byte> arguments)
      : machine_(machine),
        number_(number),
        process_(machine.process(number)),
        arguments_(arguments) {}

  [[nodiscard]] Answer run(abi::Call call);

  // The rest of a wait for events: copies out what happened.
  [[nodiscard]] Answer finish_wait(WaitNumber wait, std::uint32_t condition);
  [[nodiscard]] Answer interrupt_wait(WaitNumber wait, Time deadline);

  // The cookies that mmap() of /dev/kfd takes. The low 32 bits of a doorbell's are its place.
  static constexpr std::uint64_t event_cookie = std::uint64_t{1} << 52;
  static constexpr std::uint64_t mmio_cookie(int gpu) noexcept {
    return std::uint64_t{1} << 48 | (static_cast<std::uint64_t>(gpu) + 1) << 32;
  }
  static constexpr std::uint64_t doorbell_cookie(int gpu) noexcept {
    return (static_cast<std::uint64_t>(gpu) + 1) << 32;
  }

 private:
  using Function = Answer (Calls::*)();
  [[nodiscard]] static Function function_of(abi::Call call) noexcept;

  // calls_memory.cc
  Answer acquire_vm();
  Answer alloc_memory();
  Answer free_memory();
  Answer map_memory();
  Answer unmap_memory();
  Answer available_memory();
  // calls_sharing.cc
  Answer get_dmabuf_info();
  Answer import_dmabuf();
  // calls_events.cc
  Answer create_event();
  Answer destroy_event();
  Answer set_event();
  Answer reset_event();
  Answer wait_events();
  // calls_queues.cc
  Answer create_queue();
  Answer destroy_queue();
  Answer update_queue();
  Answer set_cu_mask();
  // calls_process.cc
  Answer get_version();
  Answer set_memory_policy();
  Answer get_clock_counters();
  Answer get_process_apertures();
  Answer get_process_apertures_new();
  Answer set_scratch_backing();
  Answer get_tile_config();
  Answer set_trap_handler();
  Answer svm();
  Answer smi_events();
  Answer set_xnack_mode();

  // The arguments as T. They have room for it: the dispatcher pads them.
  template <typename T>
  [[nodiscard]] T get() const noexcept {
    T value;
    std::memcpy(&value, arguments_.data(), sizeof value);
    return value;
  }
  template <typename T>
  void put(const T& value) noexcept {
    std::memcpy(arguments_.data(), &value, sizeof value);
  }

  [[nodiscard]] int gpu_of(std::uint32_t id) const noexcept;
  // 0, EINVAL: no GPU has the id, or ENODEV: the process has not acquired it.
  [[nodiscard]] int bind(std::uint32_t id, int& gpu) const;
  // The ids of a map or an unmap: 0, EINVAL, ENOMEM or EFAULT.
  [[nodiscard]] int read_ids(const abi::MapMemory& asked, std::vector<std::uint32_t>& ids);
  [[nodiscard]] int check_allocation(const abi::AllocMemory& asked, int gpu) const;
  [[nodiscard]] Answer change_mappings(bool maps);
  [[nodiscard]] int map_on(Buffer& buffer, std::uint32_t id);
  [[nodiscard]] int unmap_on(Buffer& buffer, std::uint32_t id);
  [[nodiscard]] Answer settle(const Buffer& buffer);
  [[nodiscard]] int set_event_page(std::uint64_t handle);
  void clear_slots(std::uint32_t first, std::uint32_t count);
  [[nodiscard]] abi::Apertures apertures_of(int gpu) const noexcept;

  Machine& machine_;
  ProcessNumber number_;
  Process& process_;
  std::span<std::byte> arguments_;
};

}  // namespace sluice::kfd
