// What is lost is told: to whom it concerns, to nobody else, and no later than that a device is.
#include <array>
#include <atomic>
#include <future>
#include <ostream>
#include <thread>

#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

// A device with recoverable faults maps granules of 64 KiB, so nothing less is moved in its space.
class LostNeighbours : public EngineTest {
 protected:
  static constexpr std::size_t granule = 16;  // pages

  // Of one granule only page 0 is not lost.
  void SetUp() override {
    SpaceOptions options = small_devices(2);
    options.software.recoverable_fault_devices = 0b10;
    options.access_window = 64 * page_size;
    open(options);
    until = words(page_size, Kind::host);
    data = words(2 * mib);
    expect_done(fill(0, data, page_size, 7));
    (void)launch(0, "crash", 0, 1, {});
    ASSERT_TRUE(eventually([&] { return lost() == granule; }));
    ASSERT_TRUE(engine->discard(span(data, page_size)));
    ASSERT_EQ(lost(), granule - 1);
    ASSERT_TRUE(engine->reset_device(0));
  }
  [[nodiscard]] std::size_t lost() const { return engine->residency(span(data, 2 * mib))->lost; }

  std::uint32_t* until = nullptr;
  std::uint32_t* data = nullptr;
};

TEST_F(LostNeighbours, keep_nobody_from_leasing_the_rest_of_the_granule) {
  for (const Location location : {Location::host(), Location::device(0), Location::device(1)})
    for (const Access access : {Access::read, Access::write}) {
      const auto lease = engine->lease(span(data, page_size), location, access);
      ASSERT_TRUE(lease) << lease.error().detail();
      EXPECT_THAT(engine->lease(span(data, 2 * page_size), location, access),
                  fails_with(ErrorCode::data_lost));
      engine->end_lease(*lease);
    }
  EXPECT_EQ(data[0], 0U);
  EXPECT_EQ(lost(), granule - 1);
}

TEST_F(LostNeighbours, keep_no_launch_from_the_rest_of_the_granule) {
  expect_done(fill(0, data, page_size, 3));
  EXPECT_EQ(data[0], 3U);
  EXPECT_THAT(fill(0, data, 2 * page_size, 3), fails_with(ErrorCode::data_lost));
  std::uint64_t* const sum = reinterpret_cast<std::uint64_t*>(until);
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, 2,
                     {{span(data, page_size), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 6U);
  EXPECT_EQ(lost(), granule - 1);
}

TEST_F(LostNeighbours, keep_no_host_access_from_the_rest_of_the_granule_beside_a_kernel) {
  const auto kernel = occupy(0, data + 32 * page_size / 4, page_size, until);
  ASSERT_TRUE(kernel) << kernel.error().detail();
  auto load = std::async(std::launch::async, [this] { return data[0]; });
  EXPECT_TRUE(eventually([&] {
    return load.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  })) << "the access does not wait for the kernel, which writes other granules";
  *until = 1;
  expect_done(kernel);
  EXPECT_EQ(load.get(), 0U);
  EXPECT_TRUE(load_dies(data + page_size / 4));
}

// A device dies while somebody else has a block claimed, so that it is not known for some time what
// is lost.
struct Call {
  const char* name;
  ErrorCode fails;
  Result<void> (*run)(Engine& engine, AddressSpan lost, device::QueueId other);
};
void PrintTo(const Call& call, std::ostream* out) { *out << call.name; }

template <typename T>
Result<void> outcome(const Result<T>& result) {
  return result ? Result<void>{} : tl::unexpected<Error>(result.error());
}

class Losses : public EngineTest {
 protected:
  [[nodiscard]] bool is_claimed(const void* at) const {
    return engine->explain(Address::of(at)).find("changing right now") != std::string::npos;
  }
};
class ToldOfALoss : public Losses, public testing::WithParamInterface<Call> {};

TEST_P(ToldOfALoss, can_ask_what_is_lost) {
  SpaceOptions options = small_devices(2);
  options.strict = Strict::off;
  open(options);
  std::uint32_t* const slow = words(2 * mib);  // looked at first when a device is given up
  std::uint32_t* const gone = words(2 * mib);
  expect_done(fill(1, slow, 2 * mib, 1));
  expect_done(fill(0, gone, 2 * mib, 2));
  ASSERT_TRUE(engine->plan_faults(1, "step=copy nth=1 action=slow=400"));
  std::jthread reader([&] { EXPECT_EQ(slow[0], 1U); });
  ASSERT_TRUE(eventually([&] { return is_claimed(slow); }));

  ASSERT_TRUE(launch(0, "crash", 0, 1, {}));
  ASSERT_TRUE(eventually([&] { return engine->device_status(0)->lost; }));
  EXPECT_THAT(GetParam().run(*engine, span(gone, 2 * mib), queue(1)), fails_with(GetParam().fails));
  EXPECT_EQ(engine->residency(span(gone, 2 * mib))->lost, 2 * mib / page_size);
}

INSTANTIATE_TEST_SUITE_P(
    Calls, ToldOfALoss,
    testing::Values(
        Call{"launch", ErrorCode::data_lost,
             [](Engine& engine, AddressSpan lost, device::QueueId other) {
               LaunchRequest request;
               request.device = 1;
               request.queue = other;
               request.kernel = *engine.find_kernel(1, "", "nothing");
               const std::array uses{Use{lost, Access::read}};
               request.uses = uses;
               return outcome(engine.launch(request));
             }},
        Call{"lease", ErrorCode::data_lost,
             [](Engine& engine, AddressSpan lost, device::QueueId) {
               return outcome(engine.lease(lost, Location::host(), Access::read));
             }},
        Call{"lease_there", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan lost, device::QueueId) {
               return outcome(engine.lease(lost, Location::device(0), Access::read));
             }},
        Call{"evict", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan lost, device::QueueId) {
               return engine.evict(lost, 0);
             }},
        Call{"synchronize", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan, device::QueueId) { return engine.synchronize({}); }},
        Call{"create_queue", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan, device::QueueId) {
               return outcome(engine.create_queue(0));
             }},
        Call{"find_kernel", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan, device::QueueId) {
               return outcome(engine.find_kernel(0, "", "fill"));
             }},
        Call{"allocate", ErrorCode::device_lost,
             [](Engine& engine, AddressSpan, device::QueueId) {
               return outcome(engine.allocate(page_size, Kind::device, 0, HostPages::automatic));
             }}),
    [](const auto& call) { return std::string(call.param.name); });

// The wait has a deadline of its own.
TEST_F(Losses, a_wait_that_tells_of_one_ends_at_its_deadline) {
  SpaceOptions options = small_devices(2);
  options.software.transfer_timeout = std::chrono::minutes(10);
  open(options);
  std::uint32_t* const slow = words(2 * mib);
  expect_done(fill(1, slow, 2 * mib, 1));
  ASSERT_TRUE(engine->plan_faults(1, "step=copy nth=1 action=hang"));
  std::atomic<bool> read{false};
  std::jthread reader([&] {
    std::uint32_t word = 0;
    EXPECT_THAT(engine->copy(&word, slow, 4), fails_with(ErrorCode::data_lost));
    read = true;
  });
  ASSERT_TRUE(eventually([&] { return is_claimed(slow); }));
  const auto crash = launch(0, "crash", 0, 1, {});
  ASSERT_TRUE(crash);
  ASSERT_TRUE(eventually([&] { return engine->device_status(0)->lost; }));
  EXPECT_THAT(engine->wait(*crash, {device::Clock::now() + std::chrono::milliseconds(1), false}),
              fails_with(ErrorCode::device_lost));
  EXPECT_FALSE(read);
  ASSERT_TRUE(launch(1, "crash", 0, 1, {}));
}

}  // namespace
}  // namespace sluice::engine
