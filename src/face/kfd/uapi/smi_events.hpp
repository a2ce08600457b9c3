// The lines of SMI_EVENTS: what happens to a process on a GPU, as text (kfd_smi_events.c).
#pragma once

#include <cstdint>
#include <string>

#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd::smi {

inline constexpr std::uint32_t gpu_pre_reset = 3;
inline constexpr std::uint32_t gpu_post_reset = 4;
inline constexpr std::uint32_t migrate_start = 5;
inline constexpr std::uint32_t migrate_end = 6;
inline constexpr std::uint32_t page_fault_start = 7;
inline constexpr std::uint32_t page_fault_end = 8;
inline constexpr std::uint32_t queue_eviction = 9;
inline constexpr std::uint32_t queue_restore = 10;

enum class MigrationCause : std::uint8_t { prefetch, gpu_fault };
inline constexpr int evicted_for_memory = 2;  // KFD_QUEUE_EVICTION_TRIGGER_TTM

struct Migration {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint32_t from = 0;  // ids of GPUs; 0: the host
  std::uint32_t to = 0;
  std::uint32_t prefetch = 0;
  std::uint32_t preferred = 0;
  MigrationCause cause = MigrationCause::prefetch;
};

[[nodiscard]] std::string reset_line(std::uint32_t event, std::uint32_t resets);
[[nodiscard]] std::string eviction_line(Time now, std::uint32_t process, std::uint32_t gpu_id);
[[nodiscard]] std::string restore_line(Time now, std::uint32_t process, std::uint32_t gpu_id);
[[nodiscard]] std::string migration_line(Time now, std::uint32_t process, const Migration& moved,
                                         bool has_ended);
struct PageFault {
  std::uint64_t address = 0;
  std::uint32_t gpu_id = 0;
  bool writes = false;
  bool migrates = false;
};
[[nodiscard]] std::string fault_line(Time now, std::uint32_t process, const PageFault& fault,
                                     bool has_ended);

}  // namespace sluice::kfd::smi
