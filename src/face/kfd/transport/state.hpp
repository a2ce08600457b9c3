// State: the machine of this process, and its calls in the order in which they come.
//
// Each process has a machine of its own; a forked child gets another when it opens /dev/kfd.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "base/ranked_mutex.hpp"
#include "base/thread_annotations.hpp"
#include "face/kfd/plan/step_plan.hpp"
#include "face/kfd/transport/account_file.hpp"
#include "face/kfd/transport/event_files.hpp"
#include "face/kfd/transport/gem_objects.hpp"
#include "face/kfd/transport/open_files.hpp"
#include "face/kfd/transport/unmap_watch.hpp"
#include "face/kfd/uapi/machine.hpp"
#include "os/threads.hpp"

namespace sluice::kfd {

class State : public Surroundings {
 public:
  // That of this process; null, and a line on stderr, if the environment describes none.
  static State* get() noexcept;
  // Null: none has been made in this process.
  static State* get_if_made() noexcept;

  // As ioctl(): 0, or -1 and errno.
  int call(const OpenFile& file, unsigned long request, void* arguments) noexcept;

  [[nodiscard]] const MachineSpec& spec() const noexcept { return spec_; }

  // Surroundings
  Time now() override;
  bool read(std::uint64_t address, std::span<std::byte> to) override;
  bool write(std::uint64_t address, std::span<const std::byte> from) override;
  bool is_mapped(std::uint64_t address, std::uint64_t size) override;
  void watch(std::uint64_t address, std::uint64_t size) override SLUICE_REQUIRES(mutex_) {
    unmap_watch_.add(address, size);
  }
  std::optional<RenderFile> render_file(std::uint32_t descriptor) override;
  void store(const std::optional<RenderFile>& file, std::uint64_t offset,
             std::span<const std::byte> bytes) override;
  // The machine asks for these in its own calls, under the lock.
  std::byte* bytes(const RenderFile& file, std::uint64_t offset, std::uint64_t size) override
      SLUICE_REQUIRES(mutex_);
  std::byte* user_bytes(std::uint64_t address, std::uint64_t size) override;
  void tell_unknown_packet(int gpu, std::uint32_t header) override;
  void discard(const RenderFile& file, std::uint64_t offset, std::uint64_t size) override
      SLUICE_REQUIRES(mutex_);
  void note(std::uint64_t handle, const Buffer* buffer) override SLUICE_REQUIRES(mutex_) {
    account_.note(handle, buffer);
  }
  int open_shared(std::uint32_t descriptor, SharedBuffer& found) override SLUICE_REQUIRES(mutex_);
  void close_shared(const RenderFile& file) override SLUICE_REQUIRES(mutex_);
  int open_events(int gpu) override SLUICE_REQUIRES(mutex_) { return events_.open(gpu); }
  void tell_event(int gpu, std::uint32_t event, std::string_view line) override
      SLUICE_REQUIRES(mutex_) {
    events_.tell(gpu, event, line);
  }
  void wake(WaitNumber wait) override SLUICE_REQUIRES(mutex_);
  StepFault planned(int gpu, Step step) override SLUICE_REQUIRES(mutex_);

 private:
  State(const MachineSpec& spec, StepPlan plan);
  static State* make() noexcept;

  // An errno, or 0.
  int call_kfd(std::uint32_t request, std::span<std::byte> arguments, void* user)
      SLUICE_EXCLUDES(mutex_);
  int call_drm(const OpenFile& file, std::uint32_t request, std::span<std::byte> arguments,
               void* user) SLUICE_EXCLUDES(mutex_);
  int wait_for(const Wait& wait, std::span<std::byte> arguments) SLUICE_EXCLUDES(mutex_);
  bool copy_out(std::uint32_t request, std::span<const std::byte> arguments, void* user);
  // Of a render file, of shared memory, or of /dev/kfd; negative: it is gone.
  [[nodiscard]] int descriptor_of(const RenderFile& file) SLUICE_REQUIRES(mutex_);
  void drop_view(const RenderFile& file, std::uint64_t offset) SLUICE_REQUIRES(mutex_);
  // Lets queues run on a thread, until there are none.
  void start_running() SLUICE_REQUIRES(mutex_);
  void run_until_idle() SLUICE_EXCLUDES(mutex_);
  void tell_unserved(std::uint32_t request, bool is_drm) SLUICE_REQUIRES(mutex_);

  MachineSpec spec_;
  pid_t process_id_;
  RankedMutex mutex_{LockRank::objects, "kfd"};
  StepPlan plan_ SLUICE_GUARDED_BY(mutex_);
  Machine machine_ SLUICE_GUARDED_BY(mutex_);
  ProcessNumber process_;
  AccountFile account_ SLUICE_GUARDED_BY(mutex_);
  EventFiles events_ SLUICE_GUARDED_BY(mutex_);
  GemObjects gem_ SLUICE_GUARDED_BY(mutex_);
  std::map<std::uint64_t, os::OwnedFd> shared_ SLUICE_GUARDED_BY(mutex_);  // by number
  std::uint64_t last_shared_ SLUICE_GUARDED_BY(mutex_) = std::uint64_t{1} << 32;
  std::map<WaitNumber, int> timers_ SLUICE_GUARDED_BY(mutex_);  // of waits under way
  std::set<std::uint32_t> told_ SLUICE_GUARDED_BY(mutex_);      // calls that are not served
  struct View {
    std::byte* address = nullptr;
    std::uint64_t size = 0;
  };
  // By file and offset.
  std::map<std::pair<std::uint64_t, std::uint64_t>, View> views_ SLUICE_GUARDED_BY(mutex_);
  void forget_unmapped() SLUICE_EXCLUDES(mutex_);
  UnmapWatch unmap_watch_ SLUICE_GUARDED_BY(mutex_){[this] { forget_unmapped(); }};
  os::Thread runner_ SLUICE_GUARDED_BY(mutex_);
  bool is_running_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::kfd
