// Worker: one thread of `sluice stress`. It does random operations on its own slices, does the same
// to their shadow, and compares the two all the time.
//
// A worker is deterministic except for refusals: the same seed gives the same operations on the
// same bytes. The machine decides how they interleave with those of other workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/sluice.hpp"
#include "stress/findings.hpp"
#include "stress/model.hpp"

namespace sluice::stress {

// The properties of the space that a worker must know.
struct Setting {
  // Grade::full: read(2) and write(2) may be given the pointer.
  bool kernel_accesses = false;
  // Not if a device has recoverable faults: its kernels die on memory that is leased elsewhere.
  bool leases = false;
  // Steps of devices fail as planned, and the calls that needed them report it.
  bool steps_fail = false;
  // Overflow::refuse: a launch may be refused because device memory is short.
  bool may_not_fit = false;
  // The leases of all workers together may be as much as a device's budget.
  bool leases_may_fill = false;
  // Operations that are left out.
  std::vector<std::string> without;
};

class Worker {
 public:
  // `queues`: one of each device, which other workers may use too; they must outlive it.
  Worker(int number, const Space& space, std::span<const Queue> queues, const Model& model,
         const Setting& setting, std::uint64_t seed, Progress& progress, Findings& findings);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Runs until told to stop; then waits for its launches and compares every byte that it owns.
  void run(const std::atomic<bool>& stop);

  // Its sum for each counter of the model.
  [[nodiscard]] std::span<const std::uint64_t> added() const noexcept { return added_; }

  // The names of the operations, in the order of Progress::done.
  [[nodiscard]] static std::span<const char* const> operation_names();

 private:
  struct Operation;
  struct Device {
    const Queue& queue;
    bool
        // its launches need not name what they touch, and host accesses do not wait for its kernels
        recoverable;
    Kernel mix;
    Kernel copy;
    Kernel check_sum;
    Kernel list_walk;
    Kernel nothing;
  };
  static constexpr std::size_t scratch_size = 64 << 10;

  static std::span<const Operation> operations();

  // By the host: stress/host_operations.cc
  void host_write();
  void host_read();
  void host_fill();
  void string();
  void file_to_memory();
  void memory_to_file();
  void count();
  void read_constant();

  // By devices: stress/launches.cc
  void launch_mix();
  void launch_copy();
  void launch_check_sum();
  void launch_list_walk();
  void launch_on_everything();
  void launch_count();
  void name_use(Launch& launch, const Device& device, Slice part, Access access);
  [[nodiscard]] bool is_kept_out_by_leases(const Result<Fence>& launched) const;
  bool submit(Launch& launch, const Device& device,
              std::initializer_list<const ModelRange*> touched);
  static void mix(std::uint8_t* bytes, std::uint64_t seed, std::size_t places, std::size_t stride,
                  std::uint32_t width);

  // A program's requests to the space about memory: stress/requests.cc
  void prefetch();
  void advise();
  void lease();
  void discard();
  void copy();
  void own_range();
  void device_range();
  void ask();
  void synchronize();
  void hold_on_device(Slice part, int device, Access access);
  void press(const Device& device, Slice leased);
  void give_up_a_range();

  // Choices
  [[nodiscard]] Slice any_slice();
  [[nodiscard]] Slice any_part(std::size_t limit) {
    return random_part(any_slice(), limit, random_);
  }
  [[nodiscard]] Device& any_device() { return devices_[random_.below(devices_.size())]; }
  [[nodiscard]] Location any_location();
  // An aligned place for a 64-bit result that does not overlap `other`; empty if none was found
  // soon.
  [[nodiscard]] Slice any_result(Slice other);

  // Verdicts
  void check(Slice part);
  void check_against(Slice part, const std::byte* got);
  // True if a call succeeded. An error that is not among `right` is a finding.
  template <typename T>
  bool went(const char* call, const Result<T>& result,
            std::initializer_list<ErrorCode> right = {}) {
    return result.has_value() || refused(call, result.error(), right);
  }
  bool refused(const char* call, const Error& error, std::initializer_list<ErrorCode> right);
  void wait(const Fence& fence);
  void wait_for_all();
  [[nodiscard]] std::string context() const;
  void begin(std::size_t operation);
  void end();
  void show(Slice part);

  int number_;
  Space space_;
  const Model& model_;
  Setting setting_;
  std::uint64_t seed_;
  Random random_;
  Progress& progress_;
  Findings& findings_;

  std::vector<Device> devices_;
  std::deque<Fence> pending_;  // of launches that host accesses wait for by themselves
  std::deque<std::unique_ptr<ModelRange>> own_ranges_;
  std::vector<Slice>
      // drawn again and again for a while, so that copies get a chance to become stale
      favourites_;
  std::vector<std::uint64_t> added_;
  std::unique_ptr<std::byte[]> scratch_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::size_t operation_ = 0;
  const Device* last_launched_ = nullptr;
};

}  // namespace sluice::stress
