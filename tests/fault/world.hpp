// World: host memory, a fault source over one view of it, and a resolver that stands in for the
// engine.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>

#include "fault/open_fault_source.hpp"
#include "os/host_memory.hpp"

namespace sluice::fault {

constexpr std::size_t window_size = std::size_t{4} << 30;

// Tests of any source run once more with SLUICE_TEST_GRADE=signal.
inline Grade grade_under_test() {
  const char* const name = std::getenv("SLUICE_TEST_GRADE");
  return name != nullptr && std::string(name) == "signal" ? Grade::signal : Grade::full;
}

// The value of a word that "lives on a device" until somebody touches its page.
constexpr std::uint64_t device_word(Address address) noexcept {
  return address.value * 0x9e3779b97f4a7c15U | 1;
}

class World final : public Resolver {
 public:
  struct Options {
    std::size_t size = 16 * block_size;
    HostPages pages = HostPages::small;
    FaultSourceOptions source{.best = grade_under_test()};
    bool on_device = false;  // words are device_word() until touched, else zero
  };

  explicit World(const Options& options) : on_device_(options.on_device) {
    auto window = os::AddressWindow::reserve(window_size, window_size);
    require(window);
    auto made = os::HostMemory::create(std::move(*window));
    require(made);
    memory = std::move(*made);
    view = {memory->window().begin, options.size};
    require(memory->map_view(view, options.pages));
    auto opened = open_fault_source(options.source, *memory, *this);
    require(opened);
    source = std::move(*opened);
    if (source->grade() != Grade::none) require(source->watch(view));
  }
  World() : World(Options{}) {}
  ~World() override {
    if (source) source->unwatch(view);
  }

  // The engine's part: brings the bytes, then gives the rights to `granule` bytes around the fault.
  AddressSpan resolve(const AccessFault& fault) noexcept override {
    (fault.access == Access::write ? writes : reads).fetch_add(1);
    last_thread = fault.thread_id();
    if (park) {
      parked.release();
      return {};
    }
    const std::size_t size = std::max(granule.load(), memory->granule_at(fault.address));
    const AddressSpan span{{round_down(fault.address.value, size)}, size};
    if (on_device_) bring(span);
    if (const auto granted = source->grant(span, fault.access); !granted) grant_errors.fetch_add(1);
    return span;
  }

  [[nodiscard]] AddressSpan pages(std::size_t first, std::size_t count) const noexcept {
    return {view.begin + first * page_size, count * page_size};
  }
  [[nodiscard]] volatile std::uint64_t& word(std::size_t page) const noexcept {
    return *reinterpret_cast<volatile std::uint64_t*>(view.begin.value + page * page_size);
  }
  [[nodiscard]] volatile std::uint64_t& alias_word(std::size_t page) const noexcept {
    return *reinterpret_cast<volatile std::uint64_t*>(memory->alias(view.begin) + page * page_size);
  }
  void touch(std::size_t page) const noexcept {
    [[maybe_unused]] const std::uint64_t seen = word(page);
  }
  [[nodiscard]] void* pointer(std::size_t page) const noexcept {
    return os::pointer_for_call(pages(page, 1).begin);
  }
  [[nodiscard]] int faults() const noexcept { return reads + writes; }
  void forget_faults() noexcept { reads = writes = 0; }

  std::unique_ptr<os::HostMemory> memory;
  std::unique_ptr<FaultSource> source;
  AddressSpan view;

  std::atomic<std::size_t> granule{page_size};
  std::atomic<bool> park{false};  // leave accesses waiting
  std::counting_semaphore<> parked{0};
  std::atomic<int> reads{0};
  std::atomic<int> writes{0};
  std::atomic<int> grant_errors{0};
  std::atomic<std::int32_t> last_thread{0};

 private:
  template <typename T>
  static void require(const Result<T>& result) {
    if (!result) throw std::runtime_error(std::string(result.error().detail()));
  }

  void bring(AddressSpan span) noexcept {
    for (Address page = span.begin; page < span.end(); page = page + page_size) {
      if (arrived_[(page - view.begin) / page_size].exchange(true)) continue;
      auto* const words = reinterpret_cast<std::uint64_t*>(memory->alias(page));
      for (std::size_t i = 0; i < page_size / 8; ++i) words[i] = device_word(page + 8 * i);
    }
  }

  bool on_device_;
  std::array<std::atomic<bool>, 16 * pages_per_block> arrived_{};
};

// After a watch that failed: it left nothing behind, and the next one works.
inline void expect_unwatched_and_watchable(World& world) {
  world.word(0) = 1;
  EXPECT_EQ(world.faults(), 0);
  EXPECT_TRUE(world.source->watch(world.view));
  world.word(0) = 2;
  EXPECT_EQ(world.faults(), 1);
}

// Where userfaultfd is missing there is nothing to test; the message says what is.
#define SLUICE_NEEDS_FAULTS(world)                                                        \
  do {                                                                                    \
    if ((world).source->grade() == Grade::none) GTEST_SKIP() << (world).source->reason(); \
  } while (false)

}  // namespace sluice::fault
