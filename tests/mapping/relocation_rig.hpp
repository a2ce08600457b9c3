// What the tests of relocation share: ranges in the memory of device 0, mapped on others, whose
// bytes are known.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>

#include "mapping_rig.hpp"

namespace sluice::mapping_test {

// Stops may follow each other quickly. Queues are waited for no longer than that either, which a
// busy machine must be able to keep.
inline SpaceOptions quick() {
  SpaceOptions options = small_devices(4);
  options.stop_interval = std::chrono::milliseconds(100);
  return options;
}
// Kernels are waited for as long as a test may take.
inline SpaceOptions patient() {
  SpaceOptions options = small_devices(4);
  options.stop_interval = std::chrono::seconds(60);
  return options;
}

// A call on a thread of its own.
class Background {
 public:
  explicit Background(std::function<Result<void>()> call)
      : thread_([this, call = std::move(call)] {
          result_ = call();
          done_ = true;
        }) {}
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() { join(); }
  [[nodiscard]] bool done() const noexcept { return done_; }
  [[nodiscard]] Result<void> result() {
    join();
    return result_;
  }

 private:
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  std::atomic<bool> done_{false};
  Result<void> result_;
  std::thread thread_;  // last: it uses the others
};

// A thread that waits for something, as Linux tells it. 0: one that has not begun.
inline bool is_asleep(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto name_end = text.rfind(") ");
  return name_end != std::string::npos && text[name_end + 2] == 'S';
}

class RelocationTest : public MappingTest {
 protected:
  [[nodiscard]] Range mapped_on_device_0(std::size_t size, const std::vector<int>& peers,
                                         Access access = Access::write) const {
    auto range = space->allocate_mapped_on_device(0, size, peers, access);
    EXPECT_TRUE(range) << range.error().detail();
    return std::move(*range);
  }
  using MappingTest::all_of;
  [[nodiscard]] static std::vector<MappingPart> all_of(const Range& range) {
    return {{range.data(), range.size()}};
  }
  [[nodiscard]] static Word* word(const Range& range) {
    return reinterpret_cast<Word*>(range.data());
  }
  [[nodiscard]] Result<void> relocate(const Range& range, Location to,
                                      MappingReport* report = nullptr) const {
    return space->relocate(range.data(), range.size(), to, report);
  }
  [[nodiscard]] bool is_away(const Range& range) const {
    return space->residency(range.data())->holders == LocationSet(Location::host());
  }

  [[nodiscard]] static std::vector<Word> pattern(const Range& range, Word first) {
    std::vector<Word> words(range.size() / sizeof(Word));
    std::iota(words.begin(), words.end(), first);
    return words;
  }
  void write_pattern(const Range& range, Word first) const {
    const std::vector<Word> words = pattern(range, first);
    ASSERT_TRUE(ok(space->copy(range.data(), words.data(), range.size())));
  }
  [[nodiscard]] std::vector<Word> bytes_of(const Range& range) const {
    std::vector<Word> words(range.size() / sizeof(Word));
    EXPECT_TRUE(ok(space->copy(words.data(), range.data(), range.size())));
    return words;
  }
  void expect_pattern(const Range& range, Word first) const {
    EXPECT_TRUE(bytes_of(range) == pattern(range, first));
  }
  // Each of the devices stores to the first and the last word, and the next one reads what it
  // stored; no other device reaches it.
  void expect_used_by(const Range& range, const std::vector<int>& devices, Word value) {
    Word* const words[] = {word(range), word(range) + range.size() / sizeof(Word) - 1};
    for (Word* at : words) {
      for (const int device : devices) {
        EXPECT_TRUE(store(device, at, ++value)) << "device " << device;
        for (const int other : devices) EXPECT_EQ(load(other, at), value) << "device " << other;
      }
      for (int device = 0; device < space->device_count(); ++device)
        if (std::find(devices.begin(), devices.end(), device) == devices.end() &&
            !space->device(device)->lost) {
          EXPECT_EQ(load(device, at), std::nullopt) << "device " << device;
        }
    }
  }
  // A kernel that no launch names the word for, and that runs already: it ends when the word is 1.
  [[nodiscard]] std::optional<Fence> run_until_one(int device, const Word* word) const {
    const auto here = space->buffer<Word>(1, Kind::host);
    if (!here) return std::nullopt;
    Word* const flag = here->data();
    const auto fence = launch(device, "meet", sluice_soft_meet{flag, word, 1});
    if (!fence || !eventually([&] { return __atomic_load_n(flag, __ATOMIC_ACQUIRE) == 1; }))
      return std::nullopt;
    return *fence;
  }
  [[nodiscard]] static sluice_soft_mix mix_of(const Range& range, std::size_t offset,
                                              std::uint64_t seed) {
    sluice_soft_mix mix{};
    mix.bytes = reinterpret_cast<std::uint8_t*>(range.data()) + offset;
    mix.stride = sizeof(Word);
    mix.width = sizeof(Word);
    mix.seed = seed;
    return mix;
  }
};

}  // namespace sluice::mapping_test
