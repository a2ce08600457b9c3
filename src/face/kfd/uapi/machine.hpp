// Machine: the software GPUs, as all processes see them through ioctls of /dev/kfd.
//
// A state machine: it has no process, no thread, no file and no clock, and asks its Surroundings
// for every effect. Calls come one at a time. A call that has to wait answers a Wait; whoever made
// the call sleeps until that time or until Surroundings::wake(), and then asks resume().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "face/kfd/uapi/limits.hpp"
#include "face/kfd/uapi/process.hpp"
#include "face/kfd/uapi/spec.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

struct Wait {
  WaitNumber number = 0;
  Time until = never;
  bool is_interrupted = false;  // by the fault plan: act as if a signal had come
};

// The answer of a call: an errno, 0 for success, and the wait that comes first, if there is one.
struct Answer {
  int error = 0;
  std::optional<Wait> wait;
};

using ProcessNumber = std::uint64_t;

// The errno of a call that a signal interrupted: ERESTARTSYS, which programs never see.
inline constexpr int restart = 512;

class Machine {
 public:
  Machine(const MachineSpec& spec, std::uint64_t system_bytes, Surroundings& surroundings);

  // `id`: Linux's.
  [[nodiscard]] ProcessNumber add_process(std::uint32_t id = 1);
  // Gives back all that it had.
  void remove_process(ProcessNumber number);

  // `arguments` has as many bytes as the request says. Results are in it also after an error.
  [[nodiscard]] Answer call(ProcessNumber process, std::uint32_t request,
                            std::span<std::byte> arguments);
  // `interrupted`: by a signal. Then the answer is `restart`, and the call may be made again with
  // the arguments as they are.
  [[nodiscard]] Answer resume(ProcessNumber process, WaitNumber wait, bool interrupted,
                              std::span<std::byte> arguments);

  // The process has unmapped memory of its own that has attributes.
  void forget_memory(ProcessNumber number, std::uint64_t address, std::uint64_t size) {
    process(number).svm.forget(address, size);
  }

  // Lets queues run. True: there was work, and there may be more.
  bool run_queues();
  // True if any queue of a kind that runs is there.
  [[nodiscard]] bool has_queues() const;

  // A call's name, if it is one that this machine does not serve.
  [[nodiscard]] static const char* unserved_name(std::uint32_t request) noexcept;

  // How long after a hang the GPU is reset.
  static constexpr Time hang_timeout = std::chrono::seconds(10);

  [[nodiscard]] const MachineSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
  [[nodiscard]] Process& process(ProcessNumber number) { return *processes_.at(number); }
  // Times that page-table updates were started on any GPU, for tests of restarts.
  [[nodiscard]] std::uint64_t dispatches() const noexcept { return dispatches_; }

 private:
  friend class Calls;
  struct OpenWait {
    ProcessNumber process = 0;
    bool is_for_events = false;
    Time deadline = never;
  };

  [[nodiscard]] Answer wait(ProcessNumber process, bool for_events, Time deadline);
  void plan_reset(int gpu, Time when);
  // Resets, evictions and restorations.
  void do_what_is_due();
  void reset(int gpu);
  void evict(Process& process);
  void restore(Process& process, std::uint64_t was_short);
  void tell_ranges(Process& process);
  // The bytes of a buffer, and what it was charged.
  void give_back(const Process& process, const Buffer& buffer);
  void wake(Process& process);
  [[nodiscard]] Time next_reset() const noexcept;

  MachineSpec spec_;
  Limits limits_;
  Surroundings& surroundings_;
  std::map<ProcessNumber, std::unique_ptr<Process>> processes_;
  std::map<WaitNumber, OpenWait> pending_;
  std::vector<Time> resets_;  // by GPU; never: none is due
  ProcessNumber last_process_ = 0;
  WaitNumber last_wait_ = 0;
  std::uint64_t dispatches_ = 0;
  std::uint32_t reset_count_ = 0;
};

}  // namespace sluice::kfd
