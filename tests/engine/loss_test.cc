// Failing: kernels that die, devices that die, memory and descriptors that run out. What could be
// kept is kept, the rest is named.
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "engine_rig.hpp"
#include "os/failing_calls.hpp"
#include "os/process_support.hpp"

namespace sluice::engine {
namespace {

using testing::HasSubstr;

class Loss : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(2)); }
  void kill_device(int device) {
    ASSERT_TRUE(engine->plan_faults(device, "step=launch nth=1 action=kill"));
  }
};

TEST_F(Loss, a_wild_kernel_stops_its_queue_and_nothing_else) {
  std::uint32_t* data = words(4096);
  std::uint32_t* foreign = words(4096);
  foreign[0] = 5;
  const auto wild =
      launch(0, "store", sluice_soft_store{foreign, 1, 4}, 1, {{span(data, 4096), Access::write}});
  ASSERT_TRUE(wild);
  const auto failed = engine->wait(*wild, {});
  ASSERT_THAT(failed, fails_with(ErrorCode::device_fault));
  EXPECT_THAT(std::string(failed.error().detail()), HasSubstr("store"));
  EXPECT_EQ(foreign[0], 5u);
  expect_done(fill(1, data, 4096, 3));
  EXPECT_EQ(data[0], 3u);
  EXPECT_THAT(engine->find_kernel(0, "", "no_such_kernel"), fails_with(ErrorCode::unknown_kernel));
}

TEST_F(Loss, bytes_with_a_copy_on_the_host_outlive_a_killed_device) {
  std::uint32_t* kept = words(4 * mib);
  std::uint32_t* gone = words(4 * mib);
  for (std::size_t i = 0; i < mib; ++i) kept[i] = static_cast<std::uint32_t>(i);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096, Kind::host));
  expect_done(launch(0, "reduce", sluice_soft_reduce{kept, sum}, mib,
                     {{span(kept, 4 * mib), Access::read}, {span(sum, 8), Access::write}}));
  expect_done(fill(0, gone, 4 * mib, 7));
  kill_device(0);
  const auto last = fill(0, gone, 4 * mib, 8);
  if (last) {
    EXPECT_THAT(engine->wait(*last, {}), fails_with(ErrorCode::device_lost));
  }
  ASSERT_TRUE(eventually(
      [&] { return engine->residency(span(gone, 4 * mib))->lost == 4 * mib / page_size; }));
  for (std::size_t i = 0; i < mib; i += 997) ASSERT_EQ(kept[i], i);
  EXPECT_THAT(fill(1, gone, 4 * mib, 1), fails_with(ErrorCode::data_lost));
  EXPECT_THAT(fill(0, kept, 4096, 1), fails_with(ErrorCode::device_lost));
  std::uint32_t word = 0;
  EXPECT_THAT(engine->copy(&word, gone, 4), fails_with(ErrorCode::data_lost));
  EXPECT_TRUE(load_dies(gone));
  EXPECT_TRUE(load_dies(gone + mib / 2));

  // FaultOutcome up, the bytes are zeros and usable again; so is the device after a reset.
  ASSERT_TRUE(engine->discard(span(gone, 4 * mib)));
  EXPECT_EQ(gone[0], 0u);
  ASSERT_TRUE(engine->reset_device(0));
  expect_done(fill(0, kept, 4 * mib, 2));
  EXPECT_EQ(kept[1], 2u);
  *sum = 0;
  expect_done(launch(0, "reduce", sluice_soft_reduce{kept, sum}, 10,
                     {{span(kept, 4 * mib), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 20u);
}

TEST_F(Loss, a_device_killed_in_the_middle_of_a_copy_fails_the_access_by_name) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 1));
  ASSERT_TRUE(engine->plan_faults(0, "step=copy nth=1 action=kill"));
  testing::internal::CaptureStderr();
  EXPECT_TRUE(load_dies(data + 5));
  EXPECT_TRUE(eventually([&] { return engine->residency(span(data, 2 * mib))->lost != 0; }));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("existed only there and are lost"));
}

TEST_F(Loss, a_hung_copy_ends_in_a_lost_device) {
  SpaceOptions options = small_devices(1);
  options.software.transfer_timeout = std::chrono::seconds(2);
  open(options);
  std::uint32_t* data = words(mib);
  data[0] = 3;
  ASSERT_TRUE(engine->plan_faults(0, "step=copy nth=1 action=hang"));
  EXPECT_THAT(fill(0, data, mib, 1), fails_with(ErrorCode::device_lost));
  EXPECT_EQ(data[0], 3u) << "the host's copy is still the only one";
  ASSERT_TRUE(engine->reset_device(0));
  expect_done(fill(0, data, mib, 4));
  EXPECT_EQ(data[0], 4u);
}

TEST_F(Loss, what_a_failed_launch_mapped_is_not_reached_by_the_next_range_there) {
  SpaceOptions options = small_devices(1, 128 * mib);
  options.strict = Strict::off;  // what is mapped is what counts here
  open(options);
  constexpr std::size_t size = 80 * mib;  // more blocks than one list of commands takes
  std::uint32_t* data = words(size);
  ASSERT_TRUE(engine->plan_faults(0, "step=map nth=2 action=fail"));
  EXPECT_FALSE(fill(0, data, size, 1));
  ASSERT_TRUE(engine->plan_faults(0, ""));
  ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait));
  std::uint32_t* next = nullptr;
  ASSERT_TRUE(eventually([&] {  // a large range is given back behind the program
    next = words(size);
    return next == data || !engine->free(Address::of(next), FreeMode::wait);
  })) << "the test needs the same addresses again";
  next[0] = 5;
  const auto wild = launch(0, "store", sluice_soft_store{next, 9, 4}, 1, {});
  ASSERT_TRUE(wild);
  EXPECT_THAT(engine->wait(*wild, {}), fails_with(ErrorCode::device_fault));
}

// Its mappings went with it; those of the others have to be taken away one by one.
TEST_F(Loss, an_allocation_that_fails_leaves_no_device_its_mapping_though_another_one_is_gone) {
  SpaceOptions options = small_devices(3);
  options.strict = Strict::off;  // what is mapped is what counts here
  open(options);
  constexpr std::size_t size = 2 * block_size;
  ASSERT_TRUE(engine->plan_faults(0, "step=map nth=2 action=kill"));  // it has the first block then
  ASSERT_TRUE(engine->plan_faults(2, "step=map nth=1 action=fail"));
  const auto refused = engine->allocate(size, Kind::host, -1, HostPages::automatic);
  ASSERT_THAT(refused, fails_with(ErrorCode::system));
  std::uint32_t* next = words(size);
  for (std::uint32_t* at : {next, next + block_size / 4}) {
    const auto queue = engine->create_queue(1);
    ASSERT_TRUE(queue);
    const auto wild = launch_in(*queue, 1, "store", sluice_soft_store{at, 9, 4}, 1, {});
    ASSERT_TRUE(wild);
    EXPECT_THAT(engine->wait(*wild, {}), fails_with(ErrorCode::device_fault));
  }
}

// Lists of commands on one timeline are waited for together, and each of them may fail.
TEST_F(Loss, a_copy_that_fails_between_others_fails_its_launch) {
  open(small_devices(1, 128 * mib));
  constexpr std::size_t blocks = 32;  // taken some at a time: pages to copy, then pages to fill
  const auto base = engine->allocate(blocks * block_size, Kind::shared, -1, HostPages::small);
  ASSERT_TRUE(base);
  auto* data = reinterpret_cast<std::uint32_t*>(base->value);
  for (std::uint32_t i = 0; i < blocks; ++i) data[i * block_size / 4] = i + 1;
  ASSERT_TRUE(
      engine->plan_faults(0, "step=copy nth=1 action=slow=1000; step=copy nth=2 action=fail"));
  EXPECT_FALSE(launch(0, "nothing", 0, 1, {{span(data, blocks * block_size), Access::write}}));
  ASSERT_TRUE(engine->plan_faults(0, ""));
  for (std::uint32_t i = 0; i < blocks; ++i) EXPECT_EQ(data[i * block_size / 4], i + 1);
}

// Of several devices that a launch takes bytes from, one dies when it is asked. It has nothing left
// that could be in the way.
TEST_F(Loss, a_device_that_dies_when_rights_are_taken_fails_nobody_elses_launch) {
  SpaceOptions options = small_devices(3);
  options.software.recoverable_fault_devices = 0b11;
  options.strict =
      Strict::off;  // its launches name nothing, as devices with recoverable faults allow
  open(options);
  std::uint32_t* data = words(2 * mib);
  data[0] = 3;
  auto* result = reinterpret_cast<std::uint64_t*>(words(4096, Kind::host));
  for (int device : {0, 1})
    expect_done(launch(device, "load", sluice_soft_load{data, result, 4}, 1, {}));
  EXPECT_EQ(*result, 3u);
  EXPECT_EQ(holders(data).size(), 3);
  ASSERT_TRUE(engine->plan_faults(0, "step=unmap nth=1 action=kill"));
  expect_done(fill(2, data, 2 * mib, 4));
  EXPECT_EQ(holders(data), LocationSet(Location::device(2)));
  EXPECT_TRUE(eventually([&] { return engine->device_status(0)->lost; }));
  EXPECT_EQ(data[mib / 2 - 1], 4u);
  ASSERT_TRUE(engine->reset_device(0));
  const auto own = engine->create_queue(0);
  ASSERT_TRUE(own);
  expect_done(launch_in(*own, 0, "load", sluice_soft_load{data, result, 4}, 1, {}));
  EXPECT_EQ(*result, 4u);
}

// A prefetch to a device with recoverable faults maps granule by granule, and the second of its
// lists fails.
TEST_F(Loss, what_a_failed_prefetch_mapped_in_granules_is_not_read_behind_the_directory) {
  SpaceOptions options = small_devices(1);
  options.software.recoverable_fault_devices = 1;
  options.strict =
      Strict::off;  // its launches name nothing, as devices with recoverable faults allow
  open(options);
  constexpr std::size_t granule = 64 * 1024;
  constexpr std::size_t granules = 3 * block_size / granule;
  const auto base = engine->allocate(3 * block_size, Kind::shared, -1, HostPages::small);
  ASSERT_TRUE(base);
  auto* data = reinterpret_cast<std::uint32_t*>(base->value);
  std::uint64_t* result = reinterpret_cast<std::uint64_t*>(words(4096, Kind::host));
  const auto word = [&](std::size_t i) { return data + i * granule / sizeof(std::uint32_t); };
  const auto loaded = [&](std::size_t i) {
    expect_done(launch(0, "load", sluice_soft_load{word(i), result, 4}, 1, {}));
    return *result;
  };
  for (std::size_t i = 0; i < granules; ++i) *word(i) = static_cast<std::uint32_t>(i);
  for (std::size_t i = 0; i < granules; i += 2) ASSERT_EQ(loaded(i), i);
  ASSERT_TRUE(
      engine->advise(span(data, 3 * block_size), AdviceKind::read_mostly, Location::host()));
  ASSERT_TRUE(engine->plan_faults(0, "step=map nth=2 action=fail"));
  expect_done(engine->prefetch(span(data, 3 * block_size), Location::device(0)));
  ASSERT_TRUE(engine->plan_faults(0, ""));
  for (std::size_t i = 0; i < granules; ++i) *word(i) = static_cast<std::uint32_t>(1000 + i);
  for (std::size_t i = 0; i < granules; ++i) EXPECT_EQ(loaded(i), 1000 + i);
}

// Whoever gives up what the device held does not see a range that is still being made.
TEST_F(Loss, a_device_that_dies_and_comes_back_while_its_range_is_made_has_all_of_it_or_nothing) {
  ASSERT_TRUE(engine->plan_faults(0, "step=allocate nth=2 action=slow=2000"));
  Result<Address> made;
  std::thread maker(
      [&] { made = engine->allocate(2 * block_size, Kind::device, 0, HostPages::automatic); });
  EXPECT_TRUE(eventually([&] { return engine->device_status(0)->in_use == 2 * block_size; }));
  (void)launch(0, "crash", 0, 1, {});
  EXPECT_TRUE(eventually([&] { return engine->device_status(0)->lost; }));
  EXPECT_TRUE(engine->reset_device(0));
  maker.join();
  if (!made) {
    EXPECT_THAT(made, fails_with(ErrorCode::device_lost));
    EXPECT_EQ(engine->device_status(0)->in_use, 0u);
    return;
  }
  std::vector<std::uint32_t> bytes(2 * block_size / 4, 3);
  auto* data = reinterpret_cast<std::uint32_t*>(made->value);
  EXPECT_TRUE(engine->copy(data, bytes.data(), 2 * block_size));
  expect_done(fill(0, data, 2 * block_size, 4));
  EXPECT_TRUE(engine->copy(bytes.data(), data, 2 * block_size));
  EXPECT_EQ(bytes, std::vector<std::uint32_t>(bytes.size(), 4));
}

TEST_F(Loss, a_device_that_dies_and_comes_back_while_a_host_range_is_made_reaches_all_of_it) {
  ASSERT_TRUE(engine->plan_faults(0, "step=map nth=2 action=kill"));
  ASSERT_TRUE(engine->plan_faults(1, "step=map nth=1 action=slow=2000"));
  std::uint32_t* data = nullptr;
  std::thread maker([&] { data = words(2 * block_size, Kind::host); });
  EXPECT_TRUE(eventually([&] { return engine->device_status(0)->lost; }));
  EXPECT_TRUE(engine->reset_device(0));
  maker.join();
  for (int device : {0, 1}) expect_done(fill(device, data, 2 * block_size, 5));
  EXPECT_EQ(data[2 * block_size / 4 - 1], 5u);
}

TEST_F(Loss, a_step_that_fails_loses_nothing) {
  for (const char* step : {"allocate", "map", "copy", "fill"}) {
    std::uint32_t* data = words(2 * mib);
    data[0] = 17;
    ASSERT_TRUE(engine->plan_faults(0, std::string("step=") + step + " nth=1 action=fail"));
    const auto first = fill(0, data, 2 * mib, 18);
    if (first) expect_done(first);
    EXPECT_EQ(data[0], first ? 18u : 17u) << step;
    EXPECT_EQ(engine->check(), std::nullopt) << step;
    ASSERT_TRUE(engine->plan_faults(0, ""));
    expect_done(fill(0, data, 2 * mib, 19));
    EXPECT_EQ(data[1000], 19u) << step;
  }
}

TEST_F(Loss, bad_input_is_refused_by_name_and_changes_nothing) {
  std::uint32_t* data = words(3 * 4096);
  const auto refused = [&](const auto& result, ErrorCode code, const std::string& named) {
    EXPECT_THAT(result, fails_with(code));
    if (!result) {
      EXPECT_THAT(std::string(result.error().detail()), HasSubstr(named));
    }
  };
  refused(engine->allocate(0, Kind::shared, -1, HostPages::automatic), ErrorCode::invalid_argument,
          "zero");
  refused(engine->allocate(~std::size_t{0}, Kind::shared, -1, HostPages::automatic),
          ErrorCode::out_of_host_memory, "18446744073709551615");
  refused(engine->allocate(4096, Kind::device, 9, HostPages::automatic), ErrorCode::unknown_device,
          "9");
  refused(engine->free(Address::of(data + 1), FreeMode::wait), ErrorCode::unknown_address,
          "inside");
  refused(engine->free(Address{4096}, FreeMode::wait), ErrorCode::unknown_address, "0x1000");
  refused(engine->prefetch(span(data, 5 * 4096), Location::device(0)), ErrorCode::unknown_address,
          "leaves its range");
  refused(engine->prefetch(span(data, 4096), Location::device(2)), ErrorCode::unknown_device, "2");
  refused(engine->discard({Address::of(data), ~std::size_t{0}}), ErrorCode::invalid_argument,
          "overflows");
  refused(engine->create_queue(-1), ErrorCode::unknown_device, "-1");
  refused(engine->reset_device(0), ErrorCode::invalid_argument, "needs no reset");
  ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait));
  refused(engine->free(Address::of(data), FreeMode::wait), ErrorCode::unknown_address,
          "no live range");
}

TEST_F(Loss, a_host_budget_is_kept) {
  SpaceOptions options = small_devices(1);
  options.host_budget = 4 * mib;
  open(options);
  std::uint32_t* first = words(3 * mib);
  EXPECT_THAT(engine->allocate(2 * mib, Kind::shared, -1, HostPages::automatic),
              fails_with(ErrorCode::out_of_host_memory));
  ASSERT_TRUE(engine->free(Address::of(first), FreeMode::wait));
  (void)words(4 * mib);
}

TEST_F(Loss, open_without_descriptors_says_so) {
  EXPECT_EXIT(
      {
        engine = nullptr;
        rlimit none{};
        none.rlim_cur = none.rlim_max = 4;
        setrlimit(RLIMIT_NOFILE, &none);
        const auto opened = Engine::open(small_devices(4));
        std::fprintf(stderr, "%s\n",
                     opened ? "it opened" : std::string(opened.error().detail()).c_str());
        _exit(opened ? 1 : 0);
      },
      testing::ExitedWithCode(0), "EMFILE|descriptor");
}

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

// Every Linux call of opening and allocating fails once: a clear error, and nothing is left behind.
TEST_F(Loss, any_call_that_fails_leaves_nothing_behind) {
  engine = nullptr;
  const auto attempt = [&]() -> Result<void> {
    SLUICE_ASSIGN(opened, Engine::open(small_devices(1)));
    SLUICE_ASSIGN(base, opened->allocate(3 * mib, Kind::shared, -1, HostPages::automatic));
    *reinterpret_cast<volatile char*>(base.value) = 1;
    return opened->free(base, FreeMode::wait);
  };
  ASSERT_TRUE(attempt());
  std::vector<int> made;
  {
    os::FailingCalls calls;
    ASSERT_TRUE(attempt());
    for (std::size_t kind = 0; kind < os::FailingCalls::kinds; ++kind)
      made.push_back(calls.made(kind));
  }
  const os::Holdings before = os::holdings();
  const std::size_t threads = entries("/proc/self/task");
  int refused = 0;
  for (std::size_t kind = 0; kind < os::FailingCalls::kinds; ++kind) {
    // What is not closed or unmapped stays: that is the injection, and no leak of the engine's.
    if (os::FailingCalls::releases(kind)) continue;
    // What is made on handler threads while the access waits cannot be refused to anyone; those
    // calls are tested in tests/fault.
    for (int nth = 1; nth <= std::min(made[kind], 6); ++nth) {
      os::FailingCalls calls;
      calls.fail(kind, nth, ENOMEM);
      const Result<void> tried = [&]() -> Result<void> {
        SLUICE_ASSIGN(opened, Engine::open(small_devices(1)));
        SLUICE_ASSIGN(base, opened->allocate(3 * mib, Kind::shared, -1, HostPages::automatic));
        (void)base;
        return {};
      }();
      if (tried) continue;
      ++refused;
      EXPECT_FALSE(tried.error().detail().empty());
    }
  }
  EXPECT_GT(refused, 3);
  // A thread that was joined is counted for a moment longer, by the first count too.
  EXPECT_TRUE(eventually([&] {
    return os::holdings() == before && entries("/proc/self/task") <= threads;
  })) << testing::PrintToString(os::holdings())
      << ", had " << testing::PrintToString(before) << "; " << entries("/proc/self/task")
      << " threads, had " << threads;
}

}  // namespace
}  // namespace sluice::engine
