// What the tests of the mapping contract share: a space, and kernels that touch memory which no
// launch names.
//
// A launch that names nothing is what a user-mode queue does behind the engine's back: it reaches
// what is mapped, and a device fault is the proof that something is not.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::mapping_test {

using testing::ElementsAre;
using testing::HasSubstr;
using Word = std::uint32_t;

// A device without progress for so long is taken to hang: far longer than a busy machine keeps a
// process waiting.
constexpr std::chrono::seconds until_hung{1};
constexpr std::size_t mib = std::size_t{1} << 20;
constexpr MappingState not_tried = MappingState::not_tried;
constexpr MappingState mapped = MappingState::mapped;
constexpr MappingState unmapped = MappingState::unmapped;
constexpr MappingState failed = MappingState::failed;
constexpr MappingState undone = MappingState::undone;
constexpr MappingOptions all_or_nothing{.mode = MappingMode::all_or_nothing};
constexpr MappingOptions for_reading{.access = Access::read};

[[nodiscard]] inline testing::AssertionResult ok(const Result<void>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << to_string(result.error().code()) << ": " << result.error().detail();
}

MATCHER_P(fails_with, code, std::string("fails with ") + std::string(to_string(code))) {
  if (arg) {
    *result_listener << "it succeeded";
    return false;
  }
  *result_listener << to_string(arg.error().code()) << ": " << arg.error().detail();
  return arg.error().code() == code;
}

[[nodiscard]] inline std::vector<MappingState> states(const MappingReport& report) {
  std::vector<MappingState> states;
  for (const DeviceMapping& device : report.devices) states.push_back(device.state);
  return states;
}
[[nodiscard]] inline std::vector<unsigned> dispatched(const MappingReport& report) {
  std::vector<unsigned> lists;
  for (const DeviceMapping& device : report.devices) lists.push_back(device.dispatched);
  return lists;
}

inline SpaceOptions small_devices(int count) {
  SpaceOptions options;
  options.software.count = count;
  options.software.memory_size = 32 * mib;
  options.address_space = std::size_t{1} << 34;
  return options;
}

class MappingTest : public testing::Test {
 protected:
  void open(const SpaceOptions& options) {
    results_ = {};
    space.reset();
    auto opened = Space::open(options);
    ASSERT_TRUE(opened) << opened.error().detail();
    space = *opened;
    auto results = space->buffer<std::uint64_t>(max_devices, Kind::host);
    ASSERT_TRUE(results) << results.error().detail();
    results_ = std::move(*results);
  }
  void TearDown() override {
    if (space) {
      EXPECT_EQ(space->check(), std::nullopt);
    }
  }

  [[nodiscard]] Buffer<Word> words(std::size_t bytes) const {
    auto buffer = space->buffer<Word>(bytes / sizeof(Word));
    EXPECT_TRUE(buffer) << buffer.error().detail();
    return std::move(*buffer);
  }
  [[nodiscard]] static std::vector<MappingPart> all_of(const Buffer<Word>& buffer) {
    return {{buffer.data(), buffer.size() * sizeof(Word)}};
  }
  void plan(int device, const std::string& faults) const {
    ASSERT_TRUE(ok(space->plan_faults(device, faults)));
  }

  // Runs a kernel that names `uses` only; queues that it stops are not used again.
  template <typename Arguments>
  [[nodiscard]] Result<Fence> launch(int device, const char* name, const Arguments& arguments,
                                     const Buffer<Word>* named = nullptr) const {
    auto queue = space->queue(device);
    if (!queue) return tl::unexpected<Error>(queue.error());
    auto kernel = queue->kernel(name);
    if (!kernel) return tl::unexpected<Error>(kernel.error());
    Launch launch = queue->launch(*kernel);
    launch.arguments(arguments);
    if (named != nullptr) launch.writes(*named);
    return launch.submit();
  }
  // What the device loads there, if it can.
  [[nodiscard]] std::optional<Word> load(int device, const Word* from) {
    auto& result = results_[static_cast<std::size_t>(device)];
    const auto fence = launch(device, "load", sluice_soft_load{from, &result, sizeof(Word)});
    if (!fence || !fence->wait()) return std::nullopt;
    return static_cast<Word>(result);
  }
  [[nodiscard]] bool store(int device, Word* to, Word value) const {
    const auto fence = launch(device, "store", sluice_soft_store{to, value, sizeof(Word)});
    return fence && fence->wait();
  }
  // Every device of `usable_on`, and no other, reads and writes the word.
  void expect_usable_on(Word* at, const std::vector<int>& usable_on) {
    for (int device = 0; device < space->device_count(); ++device) {
      const bool expected =
          std::find(usable_on.begin(), usable_on.end(), device) != usable_on.end();
      const Word value = 1000 + static_cast<Word>(device);
      EXPECT_EQ(store(device, at, value), expected) << "device " << device;
      EXPECT_EQ(load(device, at).has_value(), expected) << "device " << device;
      if (!expected) continue;
      EXPECT_EQ(*at, value) << "the host does not see what device " << device << " stored";
    }
  }
  // Makes the device the only holder, in its own memory.
  void move_to(int device, const Buffer<Word>& buffer, Word value) const {
    auto queue = space->queue(device);
    ASSERT_TRUE(queue);
    auto fence = queue->launch(*queue->kernel("fill"))
                     .writes(buffer)
                     .arguments(sluice_soft_fill{buffer.data(), value})
                     .items(buffer.size())
                     .submit();
    ASSERT_TRUE(fence) << fence.error().detail();
    ASSERT_TRUE(ok(fence->wait()));
  }
  // Waits for a condition that must come true. Generous: it bounds a failing test, not a passing
  // one.
  static bool eventually(const std::function<bool()>& condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < limit) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  std::optional<Space> space;

 private:
  Buffer<std::uint64_t> results_;
};

// Sends the calling thread a signal every millisecond while it lives. The handler restarts what
// Linux lets it restart.
class Signals {
 public:
  Signals() : target_(pthread_self()) {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &before_);
    sender_ = std::thread([this] {
      while (!stop_) {
        pthread_kill(target_, SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() {
    stop_ = true;
    sender_.join();
    sigaction(SIGUSR1, &before_, nullptr);
  }

 private:
  pthread_t target_;
  std::atomic<bool> stop_{false};
  struct sigaction before_{};
  std::thread sender_;
};

}  // namespace sluice::mapping_test
