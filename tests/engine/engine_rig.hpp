// What the tests of the engine share: one engine over small software devices, and kernels by name.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::engine {

constexpr std::size_t mib = std::size_t{1} << 20;

inline SpaceOptions small_devices(int count, std::size_t memory = 32 * mib) {
  SpaceOptions options;
  options.software.count = count;
  options.software.memory_size = memory;
  options.address_space = std::size_t{1} << 34;
  // The tests run once more with SLUICE_TEST_GRADE=signal.
  const char* const grade = std::getenv("SLUICE_TEST_GRADE");
  if (grade != nullptr && std::string(grade) == "signal") options.best_grade = Grade::signal;
  return options;
}

class EngineTest : public testing::Test {
 protected:
  void open(const SpaceOptions& options) {
    queues_.clear();
    engine = nullptr;
    auto opened = Engine::open(options);
    ASSERT_TRUE(opened) << opened.error().detail();
    engine = *opened;
    for (int device = 0; device < options.software.count; ++device) {
      auto queue = engine->create_queue(device);
      ASSERT_TRUE(queue) << queue.error().detail();
      queues_.push_back(*queue);
    }
  }
  void TearDown() override {
    if (engine) {
      EXPECT_EQ(engine->check(), std::nullopt);
    }
  }

  [[nodiscard]] std::uint32_t* words(std::size_t bytes, Kind kind = Kind::shared,
                                     int device = -1) const {
    auto base = engine->allocate(bytes, kind, device, HostPages::automatic);
    EXPECT_TRUE(base) << base.error().detail();
    return reinterpret_cast<std::uint32_t*>(base->value);
  }
  [[nodiscard]] static AddressSpan span(const void* begin, std::size_t bytes) {
    return {Address::of(begin), bytes};
  }

  template <typename Arguments>
  [[nodiscard]] Result<device::Fence> launch(int device, const char* kernel,
                                             const Arguments& arguments, std::uint64_t items,
                                             std::vector<Use> uses, bool every = false) {
    return launch_in(queue(device), device, kernel, arguments, items, std::move(uses), every);
  }
  template <typename Arguments>
  [[nodiscard]] Result<device::Fence> launch_in(device::QueueId in, int device, const char* kernel,
                                                const Arguments& arguments, std::uint64_t items,
                                                std::vector<Use> uses, bool every = false) {
    auto id = engine->find_kernel(device, "", kernel);
    if (!id) return tl::unexpected<Error>(id.error());
    LaunchRequest request;
    request.device = device;
    request.queue = in;
    request.kernel = *id;
    request.arguments = std::as_bytes(std::span(&arguments, 1));
    request.items = items;
    request.uses = uses;
    request.every_shared_range = every;
    return engine->launch(request);
  }
  [[nodiscard]] Result<device::Fence> fill(int device, std::uint32_t* to, std::size_t bytes,
                                           std::uint32_t value) {
    return launch(device, "fill", sluice_soft_fill{to, value}, bytes / 4,
                  {{span(to, bytes), Access::write}});
  }
  // Runs for ever, and may write the bytes.
  [[nodiscard]] Result<device::Fence> occupy(int device, std::uint32_t* to, std::size_t bytes,
                                             const std::uint32_t* until) {
    std::vector<Use> uses{{span(to, bytes), Access::write}};
    if (until != nullptr) uses.push_back({span(until, 4), Access::read});
    return launch(device, "spin", sluice_soft_spin{until, 1}, 1, uses);
  }
  void expect_done(const Result<device::Fence>& fence) {
    ASSERT_TRUE(fence) << fence.error().detail();
    const auto done =
        engine->wait(*fence, {device::Clock::now() + std::chrono::seconds(60), false});
    EXPECT_TRUE(done) << done.error().detail();
  }
  // Waits for a condition that must come true. Generous: it bounds a failing test, not a passing
  // one.
  static bool eventually(const std::function<bool()>& condition) {
    const auto limit = device::Clock::now() + std::chrono::seconds(60);
    while (device::Clock::now() < limit) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  [[nodiscard]] LocationSet holders(const void* at) const {
    return engine->residency(Address::of(at))->holders;
  }
  [[nodiscard]] device::QueueId queue(int device) const {
    return queues_[static_cast<std::size_t>(device)];
  }

  std::shared_ptr<Engine> engine;

 private:
  std::vector<device::QueueId> queues_;
};

// Whether a load at the address dies of SIGSEGV. In this process: a forked child has no part in
// managed memory.
inline bool load_dies(const volatile std::uint32_t* address) {
  static thread_local sigjmp_buf back;
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) { siglongjmp(back, 1); };
  sigaction(SIGSEGV, &action, &before);
  volatile bool died = true;
  if (sigsetjmp(back, 1) == 0) {
    (void)*address;
    died = false;
  }
  sigaction(SIGSEGV, &before, nullptr);
  return died;
}

MATCHER_P(fails_with, code, std::string("fails with ") + std::string(to_string(code))) {
  if (arg) {
    *result_listener << "it succeeded";
    return false;
  }
  *result_listener << to_string(arg.error().code()) << ": " << arg.error().detail();
  return arg.error().code() == code;
}

}  // namespace sluice::engine
