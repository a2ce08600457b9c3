// In a memory group (cgroups(7)) Linux ends a process that takes too much, and refuses nothing
// before: memory that is held for later must not be what ends it.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine_rig.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t limit = 160 * mib;

// A group of the memory controller, version 1 or 2, for a child of the test and its devices.
class MemoryGroup {
 public:
  MemoryGroup() {
    for (const char* root : {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
      path_ = std::string(root) + "/sluice-test-" + std::to_string(::getpid());
      if (::mkdir(path_.c_str(), 0755) != 0) continue;
      for (const char* file : {"/memory.limit_in_bytes", "/memory.max"})
        if (std::filesystem::exists(path_ + file) && write(file, limit)) {
          works_ = true;
          return;
        }
      ::rmdir(path_.c_str());
    }
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  ~MemoryGroup() {
    // Processes leave it some time after their end.
    for (int i = 0; works_ && ::rmdir(path_.c_str()) != 0 && i < 6000; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  [[nodiscard]] bool works() const noexcept { return works_; }
  [[nodiscard]] bool enter() const { return write("/cgroup.procs", ::getpid()); }

 private:
  template <typename Number>
  [[nodiscard]] bool write(const char* file, Number number) const {
    std::ofstream out(path_ + file);
    out << number << std::flush;
    return out.good();
  }

  std::string path_;
  bool works_ = false;
};

class InAMemoryGroup : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the sanitizer's own memory is larger than the group; run the release tree";
#endif
    if (!group_.works())
      GTEST_SKIP() << "no memory group can be made; run it as root where /sys/fs/cgroup may be "
                      "written and has the memory controller";
  }
  // Ends of a child in the group that opens an engine and runs `body`: 0 if that returns true.
  template <typename Body>
  void expect_lives(const SpaceOptions& options, Body&& body) {
    const auto end = os::run_forked([&] {
      if (!group_.enter()) return 3;
      auto opened = Engine::open(options);
      if (!opened) return 2;
      return body(**opened) ? 0 : 1;
    });
    EXPECT_TRUE(end.exited_with(0)) << "status " << end.status;
  }
  static std::uint32_t* allocate(Engine& engine, std::size_t size) {
    auto base = engine.allocate(size, Kind::shared, -1, HostPages::automatic);
    return base ? reinterpret_cast<std::uint32_t*>(base->value) : nullptr;
  }

  MemoryGroup group_;
};

TEST_F(InAMemoryGroup, what_is_left_is_known) {
  expect_lives(small_devices(1), [](Engine&) {
    const std::size_t left = os::memory_headroom();
    return left != 0 && left < limit;
  });
}

// One range at a time, with a copy on a device: each fits beside none of the one before.
TEST_F(InAMemoryGroup, freed_ranges_are_not_in_the_way_of_the_next) {
  expect_lives(small_devices(1, 128 * mib), [](Engine& engine) {
    const auto queue = engine.create_queue(0);
    const auto reduce = engine.find_kernel(0, "", "reduce");
    if (!queue || !reduce) return false;
    for (std::uint32_t round = 1; round <= 8; ++round) {
      constexpr std::size_t size = 64 * mib;
      std::uint32_t* data = allocate(engine, size);
      std::uint32_t* sum = allocate(engine, page_size);
      if (data == nullptr || sum == nullptr) return false;
      for (std::size_t i = 0; i < size / 4; ++i) data[i] = round;
      const sluice_soft_reduce arguments{data, reinterpret_cast<std::uint64_t*>(sum)};
      LaunchRequest request;
      request.device = 0;
      request.queue = *queue;
      request.kernel = *reduce;
      request.arguments = std::as_bytes(std::span(&arguments, 1));
      request.items = size / 4;
      const std::vector<Use> uses{{{Address::of(data), size}, Access::read},
                                  {{Address::of(sum), 8}, Access::write}};
      request.uses = uses;
      const auto fence = engine.launch(request);
      if (!fence || !engine.wait(*fence, {})) return false;
      if (*reinterpret_cast<std::uint64_t*>(sum) != round * (size / 4)) return false;
      if (!engine.free(Address::of(data), FreeMode::wait)) return false;
      if (!engine.free(Address::of(sum), FreeMode::wait)) return false;
    }
    return true;
  });
}

// Sizes that never come again fill a pool that may hold more than the group.
TEST_F(InAMemoryGroup, the_pool_leaves_room_for_the_program) {
  SpaceOptions options = small_devices(1);
  options.host_pool = std::size_t{4} << 30;
  expect_lives(options, [](Engine& engine) {
    for (std::size_t size = 16 * mib; size < 40 * mib; size += mib) {
      std::uint32_t* data = allocate(engine, size);
      if (data == nullptr) return false;
      for (std::size_t i = 0; i < size / 4; ++i) {
        if (data[i] != 0) return false;
        data[i] = 7;
      }
      if (!engine.free(Address::of(data), FreeMode::wait)) return false;
    }
    return true;
  });
}

}  // namespace
}  // namespace sluice::engine
