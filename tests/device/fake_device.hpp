// FakeDevice: a device without a process, for tests of the parts that stand on devices.
//
// It moves no bytes. It keeps a journal of the commands that it is given and of their completion,
// and completes work only when somebody waits for it or a test calls complete(): a part that goes
// on without waiting is seen. Kernels run until a test ends them. Failures are injected one by one.
// For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "device/device.hpp"

namespace sluice::device {

// Everything that happened, in order, on all devices of a test (and to the host's rights).
class Journal {
 public:
  // Managed addresses are written as pages from here.
  static constexpr Address origin{std::uint64_t{1} << 40};

  void add(std::string line) {
    lines_.push_back(std::move(line));
    if (watch) watch(lines_.back());
  }
  // The lines since the last call, or since forget().
  [[nodiscard]] std::vector<std::string> take() { return std::exchange(lines_, {}); }
  void forget() { lines_.clear(); }

  // "+2 x3": three pages, from the third on.
  static std::string pages(Address begin, std::size_t size) {
    return page_number(begin - origin) + " x" + std::to_string(size / page_size);
  }
  // "host+2", or "1:4+2" for the third page of allocation 4 of device 1.
  static std::string place(const Place& place) {
    if (place.location.is_host()) return "host" + page_number(place.offset - origin.value);
    return std::to_string(place.location.number()) + ":" + std::to_string(place.allocation) +
           page_number(place.offset);
  }

  std::function<void(const std::string& line)> watch;  // is called at each line

 private:
  static std::string page_number(std::size_t offset) {
    return "+" + std::to_string(offset / page_size);
  }
  std::vector<std::string> lines_;
};

inline Traits fake_traits() {
  Traits traits;
  traits.name = "fake";
  traits.memory_size = 4 * block_size;
  traits.mapping_granule = page_size;
  traits.host_granule = page_size;
  traits.copy_engines = 2;
  traits.copies_from_peers = true;
  return traits;
}

class FakeDevice final : public Device {
 public:
  FakeDevice(int number, Journal& journal, Traits traits = fake_traits())
      : number_(number), journal_(journal), traits_(std::move(traits)) {}
  ~FakeDevice() override = default;

  // --- what tests do ---
  void refuse_next(ErrorCode why) { refusal_ = why; }  // the next submission, or allocation
  void fail_next(ErrorCode why) { failure_ = why; }    // the fence of the next submission
  void lose() { lost_ = true; }
  // Ends the work up to this fence on its timeline.
  void complete(Fence fence) const {
    Timeline& timeline = timelines_[fence.timeline];
    while (timeline.done < fence.value) {
      ++timeline.done;
      if (fence.timeline == work) note("done");
    }
  }
  // A kernel that runs until complete(). Kernels of one queue end in order.
  [[nodiscard]] Fence start_kernel(std::uint16_t queue = 0) { return next(queue); }
  [[nodiscard]] std::size_t live_allocations() const { return allocations_.size(); }

  // --- Device ---
  [[nodiscard]] const Traits& traits() const noexcept override { return traits_; }
  [[nodiscard]] bool lost() const noexcept override { return lost_; }
  [[nodiscard]] Result<Allocation> allocate(std::size_t size) override {
    SLUICE_TRY(may_submit());
    allocations_[++last_allocation_] = size;
    return Allocation{last_allocation_, size};
  }
  void release(Allocation allocation) noexcept override {
    const auto found = allocations_.find(allocation.handle);
    ASSERT_TRUE(found != allocations_.end() && found->second == allocation.size)
        << "device " << number_ << " never gave out allocation " << allocation.handle;
    note("release " + std::to_string(allocation.handle));
    allocations_.erase(found);
  }
  [[nodiscard]] std::size_t memory_in_use() const noexcept override {
    std::size_t bytes = 0;
    for (const auto& [handle, size] : allocations_) bytes += size;
    return bytes;
  }
  [[nodiscard]] Result<Fence> update_mappings(std::span<const MappingCommand> commands) override {
    return submit(commands, [](const MappingCommand& command) {
      const std::string pages = Journal::pages(command.address, command.size);
      if (command.rights == Rights::none) return "unmap " + pages;
      return "map " + pages + (command.rights == Rights::read ? " read " : " write ") +
             Journal::place(command.backing);
    });
  }
  [[nodiscard]] Result<Fence> copy(std::span<const CopyCommand> commands) override {
    return submit(commands, [](const CopyCommand& command) {
      return "copy " + Journal::place(command.from) + " " + Journal::place(command.to) + " x" +
             std::to_string(command.size / page_size);
    });
  }
  [[nodiscard]] Result<Fence> fill(std::span<const FillCommand> commands) override {
    return submit(commands, [](const FillCommand& command) {
      return "fill " + Journal::place(command.to) + " x" + std::to_string(command.size / page_size);
    });
  }
  void expect_copies(AddressSpan span) noexcept override {
    note("expect copies of " + Journal::pages(span.begin, span.size));
  }
  void expect_use(AddressSpan span) noexcept override {
    note("expect use of " + Journal::pages(span.begin, span.size));
  }
  [[nodiscard]] FenceState poll(Fence fence) const noexcept override {
    const Timeline& timeline = timelines_[fence.timeline];
    if (timeline.done < fence.value && !lost_) return FenceState::pending;
    return lost_ || timeline.failed.contains(fence.value) ? FenceState::failed
                                                          : FenceState::complete;
  }
  // As out of date as it may be.
  [[nodiscard]] bool may_be_pending(Fence /*fence*/) const noexcept override { return true; }
  [[nodiscard]] Result<void> wait(Fence fence, const Wait& /*how*/) const override {
    if (lost_) return fail(ErrorCode::device_lost, "device %d is lost", number_);
    if (fence.timeline != work && poll(fence) == FenceState::pending) {
      ADD_FAILURE() << "waits for a kernel, which ends only when the test says so";
      return fail(ErrorCode::timed_out, "a kernel runs");
    }
    complete(fence);
    const auto& failed = timelines_[fence.timeline].failed;
    if (const auto found = failed.find(fence.value); found != failed.end())
      return fail(found->second, "work %llu of device %d fails as the test says",
                  static_cast<unsigned long long>(fence.value), number_);
    return {};
  }

  [[nodiscard]] Result<QueueId> create_queue() override { return QueueId{}; }
  void destroy_queue(QueueId /*queue*/) noexcept override {}
  [[nodiscard]] Result<KernelId> find_kernel(std::string_view /*module*/,
                                             std::string_view /*name*/) override {
    return KernelId{};
  }
  [[nodiscard]] Result<Fence> launch(QueueId queue, const LaunchCommand& /*command*/) override {
    return start_kernel(queue.value);
  }
  [[nodiscard]] Result<void> reset() override {
    lost_ = false;
    return {};
  }

 private:
  static constexpr std::uint16_t work = 100;  // the timeline of copies, fills and mappings
  struct Timeline {
    std::uint64_t issued = 0;
    std::uint64_t done = 0;
    std::map<std::uint64_t, ErrorCode> failed;
  };

  void note(const std::string& what) const { journal_.add(std::to_string(number_) + " " + what); }
  [[nodiscard]] Fence next(std::uint16_t timeline) {
    return {static_cast<std::int16_t>(number_), timeline, ++timelines_[timeline].issued};
  }
  [[nodiscard]] Result<void> may_submit() {
    if (lost_) return fail(ErrorCode::device_lost, "device %d is lost", number_);
    if (const auto why = std::exchange(refusal_, std::nullopt))
      return fail(*why, "device %d refuses as the test says", number_);
    return {};
  }
  template <typename Command, typename Describe>
  [[nodiscard]] Result<Fence> submit(std::span<const Command> commands, Describe&& describe) {
    SLUICE_TRY(may_submit());
    const Fence fence = next(work);
    if (const auto why = std::exchange(failure_, std::nullopt))
      timelines_[work].failed[fence.value] = *why;
    for (const Command& command : commands) note(describe(command));
    note("go");
    return fence;
  }

  const int number_;
  Journal& journal_;
  const Traits traits_;
  bool lost_ = false;
  std::optional<ErrorCode> refusal_;
  std::optional<ErrorCode> failure_;
  std::uint64_t last_allocation_ =
      static_cast<std::uint64_t>(number_) * 100;      // no two devices' agree
  std::map<std::uint64_t, std::size_t> allocations_;  // size by handle
  mutable std::map<std::uint16_t, Timeline> timelines_;
};

}  // namespace sluice::device
