// Devices that have the core of a device and no ability beyond it, or one alone: launches, accesses
// and budgets work, and a request for an ability that the device lacks says so.
#include "device/host_overflow.hpp"
#include "device/soft/soft_device.hpp"
#include "engine/engine_rig.hpp"

namespace sluice::engine {
namespace {

using device::Allocation;
using device::Fence;
using device::LaunchCommand;
using device::QueueId;

// A software GPU that shows its core alone.
class CoreOnly : public device::Device {
 public:
  explicit CoreOnly(std::unique_ptr<Device> behind, bool maps_host = true)
      : behind_(std::move(behind)), traits_(behind_->traits()) {
    traits_.maps_host_memory = maps_host;
  }

  [[nodiscard]] const device::Traits& traits() const noexcept override { return traits_; }
  [[nodiscard]] bool lost() const noexcept override { return behind_->lost(); }
  Result<Allocation> allocate(std::size_t size) override { return behind_->allocate(size); }
  void release(Allocation allocation) noexcept override { behind_->release(allocation); }
  [[nodiscard]] std::size_t memory_in_use() const noexcept override {
    return behind_->memory_in_use();
  }
  Result<Fence> update_mappings(std::span<const device::MappingCommand> commands) override {
    return behind_->update_mappings(commands);
  }
  Result<Fence> copy(std::span<const device::CopyCommand> commands) override {
    return behind_->copy(commands);
  }
  Result<Fence> fill(std::span<const device::FillCommand> commands) override {
    return behind_->fill(commands);
  }
  Result<QueueId> create_queue() override { return behind_->create_queue(); }
  void destroy_queue(QueueId queue) noexcept override { behind_->destroy_queue(queue); }
  Result<device::KernelId> find_kernel(std::string_view module, std::string_view name) override {
    return behind_->find_kernel(module, name);
  }
  Result<Fence> launch(QueueId queue, const LaunchCommand& command) override {
    return behind_->launch(queue, command);
  }
  [[nodiscard]] device::FenceState poll(Fence fence) const noexcept override {
    return behind_->poll(fence);
  }
  Result<void> wait(Fence fence, const device::Wait& how) const override {
    return behind_->wait(fence, how);
  }
  Result<void> reset() override { return behind_->reset(); }

 private:
  std::unique_ptr<Device> behind_;
  device::Traits traits_;
};

// One that does not map host memory.
class Apart : public CoreOnly {
 public:
  explicit Apart(std::unique_ptr<Device> behind) : CoreOnly(std::move(behind), false) {}
};

// The same with allocations for bytes that do not fit, which are counted.
class WithOverflow final : public Apart, private device::HostOverflow {
 public:
  using Apart::Apart;
  device::HostOverflow* host_overflow() noexcept override { return this; }
  static inline int overflowed = 0;

 private:
  Result<Allocation> allocate_in_host(std::size_t size) override {
    ++overflowed;
    return allocate(size);
  }
};

template <typename Kind>
class CoreOnlyTest : public EngineTest {
 protected:
  void open_one(std::size_t budget = 0) {
    SpaceOptions options = small_devices(0);
    options.device_budget = budget;
    options.strict = Strict::off;
    ExternalBackends external;
    external.devices.emplace_back(
        [](int number, const device::HostMemory& host,
           device::EventSink& events) -> Result<std::unique_ptr<device::Device>> {
          device::soft::SoftOptions soft;
          soft.number = number;
          soft.memory_size = 32 * mib;
          SLUICE_ASSIGN(opened, device::soft::open(soft, host, events));
          return std::make_unique<Kind>(std::move(opened));
        });
    auto opened = Engine::open(options, external);
    ASSERT_TRUE(opened) << opened.error().detail();
    engine = *opened;
    in = *engine->create_queue(0);
  }
  [[nodiscard]] Result<Fence> fill_in(std::uint32_t* to, std::size_t bytes, std::uint32_t value) {
    return launch_in(in, 0, "fill", sluice_soft_fill{to, value}, bytes / 4,
                     {{span(to, bytes), Access::write}});
  }

  QueueId in;
};

using CoreAlone = CoreOnlyTest<CoreOnly>;
using CoreApart = CoreOnlyTest<Apart>;
using CoreAndOverflow = CoreOnlyTest<WithOverflow>;

TEST_F(CoreAlone, launches_and_accesses_work_and_memory_is_evicted) {
  open_one(4 * mib);
  std::uint32_t* const first = words(4 * mib);
  std::uint32_t* const second = words(4 * mib);
  for (std::uint32_t round = 1; round < 4; ++round) {
    expect_done(fill_in(first, 4 * mib, round));
    expect_done(fill_in(second, 4 * mib, 2 * round));
    EXPECT_EQ(first[mib - 1], round);
    EXPECT_EQ(second[mib - 1], 2 * round);
  }
}

TEST_F(CoreAlone, requests_for_other_abilities_are_refused_and_say_so) {
  open_one(4 * mib);
  std::uint32_t* const bytes = words(4 * mib);
  bytes[0] = 1;
  std::vector<Use> uses{{span(bytes, 4 * mib), Access::write}};
  LaunchRequest request;
  request.uses = uses;
  request.external = device::ExternalQueue{};
  const auto scope = engine->launch(request);
  EXPECT_THAT(scope, fails_with(ErrorCode::unsupported));
  EXPECT_NE(scope.error().detail().find("no streams"), std::string_view::npos);
  EXPECT_TRUE(holders(bytes).contains(Location::host())) << "nothing was brought for it";

  const auto plan = engine->plan_faults(0, "");
  EXPECT_THAT(plan, fails_with(ErrorCode::unsupported));
  EXPECT_NE(plan.error().detail().find("only software devices"), std::string_view::npos);
}

TEST_F(CoreAlone, mapped_memory_stays_where_queues_cannot_be_stopped) {
  open_one();
  const int device = 0;
  const auto base =
      engine->mappings().allocate(2 * mib, Kind::device, 0, std::span(&device, 1), Access::write);
  ASSERT_TRUE(base) << base.error().detail();
  MappingReport report;
  const auto moved = engine->relocate({*base, 2 * mib}, Location::host(), report);
  EXPECT_THAT(moved, fails_with(ErrorCode::unsupported));
  EXPECT_NE(moved.error().detail().find("cannot be stopped"), std::string_view::npos);
}

TEST_F(CoreApart, a_launch_that_does_not_fit_is_refused) {
  open_one(4 * mib);
  std::uint32_t* const bytes = words(8 * mib);
  EXPECT_THAT(fill_in(bytes, 8 * mib, 1), fails_with(ErrorCode::out_of_device_memory));
}

TEST_F(CoreAndOverflow, a_launch_that_does_not_fit_overflows) {
  open_one(4 * mib);
  WithOverflow::overflowed = 0;
  std::uint32_t* const bytes = words(8 * mib);
  expect_done(fill_in(bytes, 8 * mib, 5));
  EXPECT_EQ(WithOverflow::overflowed, 2);
  EXPECT_EQ(bytes[2 * mib - 1], 5U);
}

}  // namespace
}  // namespace sluice::engine
