// Surroundings: the effects that the state machine of the ioctls needs, so that it has none itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::kfd {

// Since any moment that stays the same.
using Time = std::chrono::nanoseconds;
inline constexpr Time never = Time::max();

// An open file of a GPU's render node, by a number that no other open file has.
struct RenderFile {
  std::uint64_t number = 0;
  int gpu = -1;
};

// Memory that another process, or a render node, has shared by a descriptor.
struct SharedBuffer {
  RenderFile file;  // a number that no render node has
  std::uint64_t size = 0;
  bool is_vram = false;
  bool is_host_accessible = false;
  std::vector<std::byte> metadata;
};

// The steps that a fault plan can hit (docs/kfd.md).
enum class Step : std::uint8_t { acquire, allocate, map, unmap, queue, wait, room, migrate };

struct StepFault {
  bool fails = false;
  bool hangs = false;
  bool interrupts = false;
  Time delay{0};
};

struct Buffer;

// A wait that a call began. Numbers are not used twice.
using WaitNumber = std::uint64_t;

class Surroundings {
 public:
  Surroundings() = default;
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  virtual ~Surroundings() = default;

  [[nodiscard]] virtual Time now() = 0;
  // Memory of the calling process. False if any of it is not there; then some may have been copied.
  [[nodiscard]] virtual bool read(std::uint64_t address, std::span<std::byte> to) = 0;
  [[nodiscard]] virtual bool write(std::uint64_t address, std::span<const std::byte> from) = 0;
  // True if the process has memory at all of these addresses.
  [[nodiscard]] virtual bool is_mapped(std::uint64_t address, std::uint64_t size) = 0;
  // Machine::forget_memory() is to be told when any of these bytes are unmapped.
  virtual void watch(std::uint64_t address, std::uint64_t size) = 0;
  // The file of a descriptor of the calling process.
  [[nodiscard]] virtual std::optional<RenderFile> render_file(std::uint32_t descriptor) = 0;
  // Writes a buffer's bytes; without a file, those of /dev/kfd itself.
  virtual void store(const std::optional<RenderFile>& file, std::uint64_t offset,
                     std::span<const std::byte> bytes) = 0;
  // Bytes of a render file, or of /dev/kfd itself (number 0), in this process; null if they cannot
  // be had. They stay until discard(), or for ever.
  [[nodiscard]] virtual std::byte* bytes(const RenderFile& file, std::uint64_t offset,
                                         std::uint64_t size) = 0;
  // Some bytes of the calling process that it may read; null: there is no memory.
  [[nodiscard]] virtual std::byte* user_bytes(std::uint64_t address, std::uint64_t size) = 0;
  // A queue has come to a packet that is not served, and goes no further.
  virtual void tell_unknown_packet(int gpu, std::uint32_t header) = 0;
  // A buffer's bytes in the render file are not used any more.
  virtual void discard(const RenderFile& file, std::uint64_t offset, std::uint64_t size) = 0;
  // A buffer has changed; null: it is gone.
  virtual void note(std::uint64_t handle, const Buffer* buffer) = 0;
  // Keeps the shared memory of a descriptor open until close_shared(). EBADF, or EINVAL: it is no
  // such memory.
  [[nodiscard]] virtual int open_shared(std::uint32_t descriptor, SharedBuffer& found) = 0;
  virtual void close_shared(const RenderFile& file) = 0;
  // A descriptor for a program that follows the GPU's events, or a negative errno.
  [[nodiscard]] virtual int open_events(int gpu) = 0;
  // A line for those that follow this event of the GPU, by its number (uapi/smi_events.hpp).
  virtual void tell_event(int gpu, std::uint32_t event, std::string_view line) = 0;
  // The wait may go on: Machine::resume() says how.
  virtual void wake(WaitNumber wait) = 0;
  // Counts the step of this GPU; its planned fault.
  [[nodiscard]] virtual StepFault planned(int gpu, Step step) = 0;
};

}  // namespace sluice::kfd
