// Host accesses beside running kernels, wherever the bytes lie: what a kernel may write is waited
// for, and what it reads is not changed under it. docs/coherence.md, rule 3.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ostream>
#include <thread>
#include <vector>

#include "engine/engine_rig.hpp"
#include "engine/mappings.hpp"

namespace sluice::engine {
namespace {

using namespace std::chrono_literals;

// How bytes come to lie in host memory while a device works on them there.
enum class Because : std::uint8_t { no_room, preferred, accessed_by, mapped, leased, reads_leased };

const char* to_string(Because because) {
  constexpr const char* names[] = {"no_room", "preferred", "accessed_by",
                                   "mapped",  "leased",    "reads_leased"};
  return names[static_cast<int>(because)];
}

struct Way {
  Because because;
  Grade grade;
  friend void PrintTo(const Way& way, std::ostream* out) {
    *out << to_string(way.because) << "_" << sluice::to_string(way.grade);
  }
};

constexpr std::size_t range_size = 8 * mib;  // of the range; the device has room for a quarter

class Beside : public EngineTest, public testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    SpaceOptions options = small_devices(2);
    options.best_grade = std::min(options.best_grade, GetParam().grade);
    options.device_budget = 2 * mib;
    options.overflow = Overflow::map_host;
    open(options);
    if (HasFatalFailure()) return;
    data = words(range_size);
    last = data + range_size / 4 - 7;
    for (std::size_t i = 0; i < range_size / 4; i += page_size / 4) data[i] = 1;
    *last = 1;
    go = words(page_size, Kind::host);
    settle();
  }
  void TearDown() override {
    *static_cast<volatile std::uint32_t*>(go) = 1;
    EXPECT_TRUE(engine->synchronize({}));
    if (lease.value != 0) engine->end_lease(lease);
    if (GetParam().because == Because::mapped) {
      EXPECT_TRUE(engine->free(Address::of(data), FreeMode::unmap));
    }
    EngineTest::TearDown();
  }
  void settle() {
    const AddressSpan all = span(data, range_size);
    switch (GetParam().because) {
      case Because::no_room:
        return;
      case Because::preferred:
        ASSERT_TRUE(engine->advise(all, AdviceKind::prefer, Location::host()));
        return;
      case Because::accessed_by:
        ASSERT_TRUE(engine->advise(all, AdviceKind::accessed_by, Location::device(0)));
        return;
      case Because::mapped: {
        const mapping::Request request{.parts = {all}, .devices = {0, 1}, .access = Access::write};
        auto task = engine->mappings().start(request, device::Clock::time_point::max());
        ASSERT_TRUE(task) << task.error().detail();
        const auto done = engine->mappings().wait(**task, {});
        ASSERT_TRUE(done) << done.error().detail();
        return;
      }
      case Because::leased:
      case Because::reads_leased: {
        const Access access = GetParam().because == Because::leased ? Access::write : Access::read;
        const auto begun = engine->lease(all, Location::host(), access);
        ASSERT_TRUE(begun) << begun.error().detail();
        lease = *begun;
        return;
      }
    }
  }
  // A kernel that names the bytes, and does not begin before `go` is set.
  template <typename Arguments>
  [[nodiscard]] Result<device::Fence> launch_after_go(const char* kernel,
                                                      const Arguments& arguments,
                                                      std::vector<Use> uses,
                                                      bool every_shared_range = false) {
    const auto second = engine->create_queue(0);
    if (!second) return tl::unexpected<Error>(second.error());
    const auto waits =
        launch_in(*second, 0, "spin", sluice_soft_spin{go, 1}, 1, {{span(go, 4), Access::read}});
    if (!waits) return waits;
    LaunchRequest request;
    request.queue = queue(0);
    request.kernel = *engine->find_kernel(0, "", kernel);
    request.arguments = std::as_bytes(std::span(&arguments, 1));
    request.items = range_size / 4;
    request.uses = uses;
    request.every_shared_range = every_shared_range;
    request.wait_for = {&*waits, 1};
    return engine->launch(request);
  }
  // Stores 2 to every word.
  void begin_writing(bool every_shared_range = false) {
    std::vector<Use> uses{{span(data, range_size), Access::write}};
    if (every_shared_range) uses.clear();
    writing = launch_after_go("fill", sluice_soft_fill{data, 2}, uses, every_shared_range);
    expect_accepted(writing);
  }
  // Adds up all words.
  void begin_reading() {
    sum = reinterpret_cast<std::uint64_t*>(words(page_size, Kind::host));
    reading =
        launch_after_go("reduce", sluice_soft_reduce{data, sum},
                        {{span(data, range_size), Access::read}, {span(sum, 8), Access::write}});
    expect_accepted(reading);
  }
  static void expect_accepted(const Result<device::Fence>& fence) {
    ASSERT_TRUE(fence) << fence.error().detail();
  }
  // The bytes are really used where the host has them.
  void expect_host_mapped() const {
    EXPECT_EQ(holders(last), LocationSet(Location::host()));
    EXPECT_TRUE(engine->residency(Address::of(last))->host_mapped_on.contains(Location::device(0)));
  }
  // Lets the kernels go on after a moment in which an access that did not wait would have been
  // made.
  void let_go() const {
    std::this_thread::sleep_for(10ms);
    *static_cast<volatile std::uint32_t*>(go) = 1;
  }

  std::uint32_t* data = nullptr;
  std::uint32_t* last = nullptr;  // of the last block, which finds no room on the device
  std::uint32_t* go = nullptr;
  std::uint64_t* sum = nullptr;
  LeaseId lease;
  Result<device::Fence> writing;
  Result<device::Fence> reading;
};

TEST_P(Beside, a_load_waits_for_the_kernel_that_may_write_the_bytes) {
  begin_writing();
  std::atomic<std::uint32_t> first{0};
  std::atomic<std::uint32_t> second{0};
  std::jthread loads_first([&] { first = *static_cast<volatile std::uint32_t*>(data); });
  std::jthread loads_last([&] { second = *static_cast<volatile std::uint32_t*>(last); });
  let_go();
  loads_first.join();
  loads_last.join();
  EXPECT_EQ(first, 2u);
  EXPECT_EQ(second, 2u);
  expect_host_mapped();
}

TEST_P(Beside, a_store_waits_for_the_kernel_that_may_write_the_bytes) {
  begin_writing();
  std::jthread stores([&] { *static_cast<volatile std::uint32_t*>(last) = 3; });
  let_go();
  stores.join();
  expect_done(writing);
  EXPECT_EQ(*last, 3u) << "the kernel stored after the host, which had begun before it";
  EXPECT_EQ(last[1], 2u);
}

TEST_P(Beside, an_indirect_launch_is_waited_for_as_well) {
  begin_writing(true);
  std::atomic<std::uint32_t> loaded{0};
  std::jthread loads([&] { loaded = *static_cast<volatile std::uint32_t*>(last); });
  let_go();
  loads.join();
  EXPECT_EQ(loaded, 2u);
}

TEST_P(Beside, a_kernel_that_reads_does_not_see_what_is_stored_after_its_launch) {
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < range_size / 4; i += page_size / 4) expected += data[i];
  expected += *last;
  begin_reading();
  std::jthread stores([&] { *static_cast<volatile std::uint32_t*>(last) = 1000; });
  let_go();
  stores.join();
  expect_done(reading);
  EXPECT_EQ(*sum, expected);
  EXPECT_EQ(*last, 1000u);
}

TEST_P(Beside, a_load_does_not_wait_for_kernels_that_only_read) {
  if (!engine->status().shares_reads)
    GTEST_SKIP()
        << "needs Linux 6.4 or later, which can give reads without writes; run on a newer kernel";
  begin_reading();
  EXPECT_EQ(*static_cast<volatile std::uint32_t*>(last), 1u);
  EXPECT_EQ(*static_cast<volatile std::uint32_t*>(data), 1u);
  EXPECT_EQ(engine->poll(*reading), device::FenceState::pending);
}

// What the launch does not name of a block is nobody else's.
TEST_P(Beside, pages_that_the_launch_does_not_name_are_not_waited_for) {
  std::uint32_t* const mine = data + range_size / 4 - page_size / 4;
  std::uint32_t* const other = mine - page_size / 4;
  expect_accepted(occupy(0, mine, page_size, go));
  *static_cast<volatile std::uint32_t*>(other) = 7;
  EXPECT_EQ(*static_cast<volatile std::uint32_t*>(other), 7u);
  let_go();
  EXPECT_EQ(*static_cast<volatile std::uint32_t*>(last), 1u);
}

// Again and again, so that what the host took back is taken from it again.
TEST_P(Beside, host_and_device_take_turns) {
  for (std::uint32_t round = 10; round < 30; ++round) {
    ASSERT_TRUE(launch(0, "fill", sluice_soft_fill{data, round}, range_size / 4,
                       {{span(data, range_size), Access::write}}));
    const std::size_t place = round * 60'007 % (range_size / 4);
    ASSERT_EQ(data[place], round);
    ASSERT_EQ(*last, round);
    data[place] = *last = round + 100;
    sum = reinterpret_cast<std::uint64_t*>(words(page_size));
    ASSERT_TRUE(launch(1, "reduce", sluice_soft_reduce{data, sum}, range_size / 4,
                       {{span(data, range_size), Access::read}, {span(sum, 8), Access::write}}));
    ASSERT_EQ(*sum, std::uint64_t{round} * (range_size / 4) + 200);
  }
}

// Bytes that are leased are for the kernel's own accesses, too, which in lesser grades cannot ask
// for rights.
TEST_P(Beside, who_has_waited_may_give_leased_bytes_to_the_kernel) {
  if (lease.value == 0) GTEST_SKIP() << "for leased bytes";
  begin_writing();
  let_go();
  expect_done(writing);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(write(ends[1], last, 4), 4) << std::strerror(errno);
  std::uint32_t got = 0;
  EXPECT_EQ(read(ends[0], &got, 4), 4);
  EXPECT_EQ(got, 2u);
  if (GetParam().because == Because::leased) {
    got = 5;
    EXPECT_EQ(write(ends[1], &got, 4), 4);
    EXPECT_EQ(read(ends[0], data, 4), 4) << std::strerror(errno);
    EXPECT_EQ(data[0], 5u);
  }
  close(ends[0]);
  close(ends[1]);
}

std::string name_of(const testing::TestParamInfo<Way>& info) {
  return std::string(to_string(info.param.because)) + "_" +
         std::string(sluice::to_string(info.param.grade));
}

std::vector<Way> every_way() {
  std::vector<Way> ways;
  for (const Because because : {Because::no_room, Because::preferred, Because::accessed_by,
                                Because::mapped, Because::leased, Because::reads_leased})
    for (const Grade grade : {Grade::full, Grade::user, Grade::signal})
      ways.push_back({because, grade});
  return ways;
}

INSTANTIATE_TEST_SUITE_P(HostMemory, Beside, testing::ValuesIn(every_way()), name_of);

}  // namespace
}  // namespace sluice::engine
