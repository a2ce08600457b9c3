// Children that are forked while other threads are inside the library. A thread of the parent that
// holds a lock at the fork does not exist in the child, so nothing there may wait for such a lock.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "os/process_support.hpp"
#include "sluice.h"
#include "sluice/memory_resource.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice {
namespace {

constexpr std::size_t words = std::size_t{1} << 19;  // two megabytes
constexpr int many = 60;  // forks, of which some meet a lock that is held

std::set<std::string> open_files() {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed_meanwhile;
    files.insert(std::filesystem::read_symlink(entry.path(), closed_meanwhile));
  }
  return files;
}

class ForkBesideThreads : public testing::Test {
 protected:
  void SetUp() override {
    if (os::under_thread_sanitizer || os::under_address_sanitizer)
      GTEST_SKIP() << "a sanitizer's runtime has locks of its own that it does not take at a fork; "
                      "the release tree has this test";
    before = open_files();
    space.emplace(Space::open({.software = {.count = 1}}).value());
    data.emplace(space->buffer<std::uint32_t>(words).value());
    resource = MemoryResource::create(*space).value();
    lease.emplace(space->lease(data->data(), words * 4, Location::host(), Access::read).value());
    start([this] { lease_and_copy(); });
    start([this] { launch_and_trace(); });
    start([this] { open_and_close(); });
    start([this] { use_pool(); });
  }
  void TearDown() override {
    over = true;
    for (std::thread& thread : threads) thread.join();
  }
  void start(const std::function<void()>& once) {
    threads.emplace_back([this, once] {
      while (!over) once();
    });
  }
  void lease_and_copy() const {
    const auto other = space->lease(data->data(), words * 4, Location::host(), Access::read);
    std::vector<std::uint32_t> plain(words);
    (void)space->copy(plain.data(), data->data(), words * 4);
  }
  void launch_and_trace() const {
    const auto queue = space->queue(0).value();
    const auto more = space->buffer<std::uint32_t>(1024).value();
    const sluice_soft_fill arguments{more.data(), 1};
    const auto kernel = queue.kernel("fill").value();
    (void)queue.launch(kernel).writes(more).arguments(arguments).items(1024).submit();
    (void)space->trace().start(1024);
    (void)space->status();
    (void)more[0];
  }
  static void open_and_close() { (void)Space::open({.software = {.count = 1}}); }
  void use_pool() const {
    void* const piece = resource->allocate(64, 16);
    resource->deallocate(piece, 64, 16);
  }
  // The child returns 0 where all is well; run_forked() ends one that hangs by SIGALRM.
  void expect_of_children(const std::function<int()>& body, int forks = many) {
    for (int i = 0; i < forks && !HasFailure(); ++i) {
      const os::ChildEnd end = os::run_forked(body);
      EXPECT_TRUE(end.exited_with(0))
          << "fork " << i << ", status " << end.status << ": " << end.output;
    }
  }

  std::set<std::string> before;
  std::optional<Space> space;
  std::optional<Buffer<std::uint32_t>> data;
  std::shared_ptr<MemoryResource> resource;
  std::optional<Lease> lease;
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
};

TEST_F(ForkBesideThreads, may_open_a_space_of_its_own) {
  expect_of_children([] {
    const auto own = Space::open({.software = {.count = 1}});
    if (!own) return 1;
    const auto memory = own->buffer<std::uint32_t>(1024);
    if (!memory) return 2;
    (*memory)[3] = 7;
    return (*memory)[3] == 7 ? 0 : 3;
  });
}

TEST_F(ForkBesideThreads, is_refused_whatever_it_asks_of_its_parents_space) {
  const void* const inside = data->data();
  const auto refused = [](const auto& result) {
    return !result && result.error().code() == ErrorCode::unsupported;
  };
  expect_of_children([this, inside, refused] {
    if (!refused(space->range_of(inside)) || !refused(space->residency(inside))) return 1;
    if (!refused(space->residency(inside, 4096)) || !refused(space->attributes(inside))) return 2;
    if (!refused(space->device(0)) || !refused(space->trace().start(10))) return 3;
    if (space->explain(inside).find("forked child") == std::string::npos) return 4;
    if (space->status().grade_reason.find("forked child") == std::string::npos) return 5;
    (void)space->counters();
    return space->check() || !space->findings().empty() || !space->trace().events().empty() ? 6 : 0;
  });
}

TEST_F(ForkBesideThreads, may_end_leases_and_leave_pools) {
  expect_of_children([this] {
    lease.reset();
    resource->deallocate(data->data(), 64, 16);  // of no pool, and left alone
    if (resource->held() != 0) return 1;
    try {
      (void)resource->allocate(64, 16);
      return 2;
    } catch (const std::bad_alloc&) {
      return 0;
    }
  });
}

// Closed in the child are the descriptors that were noted for it, so none may be in the making.
TEST_F(ForkBesideThreads, inherits_no_descriptor) {
  expect_of_children(
      [this] {
        int strangers = 0;
        const std::string output = std::filesystem::read_symlink("/proc/self/fd/2");
        for (const std::string& file : open_files()) {
          const bool is_this_list = file.starts_with("/proc/") && file.ends_with("/fd");
          if (before.contains(file) || file == output || is_this_list) continue;
          std::fprintf(stderr, "%s ", file.c_str());
          ++strangers;
        }
        return strangers == 0 ? 0 : 1;
      },
      2 * many);
}

TEST_F(ForkBesideThreads, has_handles_of_its_own) {
  sluice_space* parents = nullptr;
  ASSERT_EQ(sluice_space_open(nullptr, &parents), SLUICE_OK);
  start([parents] {
    sluice_pool* pool = nullptr;
    if (sluice_pool_create(parents, SLUICE_KIND_SHARED, &pool) == SLUICE_OK)
      sluice_pool_destroy(pool);
  });
  expect_of_children(
      [parents] {
        sluice_space* own = nullptr;
        if (sluice_space_open(nullptr, &own) != SLUICE_OK) return 1;
        void* memory = nullptr;
        if (sluice_allocate(own, 4096, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &memory) !=
            SLUICE_OK)
          return 2;
        if (sluice_allocate(parents, 4096, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &memory) !=
            SLUICE_ERROR_UNSUPPORTED)
          return 3;
        sluice_space_close(parents);
        sluice_space_close(own);
        return 0;
      },
      many / 2);
  over = true;
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  sluice_space_close(parents);
}

}  // namespace
}  // namespace sluice
