// The software GPU's ends: killed, crashed, hung; and its return.
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <thread>

#include "device/latch.hpp"
#include "device/soft_rig.hpp"
#include "device/stoppable_queues.hpp"

namespace sluice::device::testing {
namespace {

using Kind = RecordingSink::Event::Kind;
using std::chrono::milliseconds;

bool mentions(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

TEST(SoftDeath, killed_in_the_middle_of_a_launch) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const KernelId spin = rig.kernel("spin");
  const Fence before = GET(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
  rig.finish(before);
  const Fence running = GET(rig.launch(queue, spin, sluice_soft_spin{nullptr, 0}));
  const Fence behind = GET(rig.launch(queue, spin, sluice_soft_spin{nullptr, 0}));
  std::atomic<int> woken = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&, fence = i % 2 == 0 ? running : behind] {
      if (code_of(rig->wait(fence, patiently())) == ErrorCode::device_lost) ++woken;
    });
  }
  ASSERT_TRUE(eventually([&] { return rig->poll(before) == FenceState::complete; }));
  std::this_thread::sleep_for(milliseconds(20));
  kill(device_process(), SIGKILL);
  for (auto& waiter : waiters) waiter.join();
  EXPECT_EQ(woken, 4);

  const auto event = rig.sink.await(Kind::lost);
  EXPECT_TRUE(mentions(event.text, "device 0")) << event.text;
  EXPECT_TRUE(mentions(event.text, "'spin'")) << event.text;
  EXPECT_TRUE(rig->lost());
  EXPECT_EQ(rig->poll(before), FenceState::complete);
  EXPECT_EQ(rig->poll(running), FenceState::failed);
  EXPECT_EQ(code_of(rig->allocate(page_size)), ErrorCode::device_lost);
  EXPECT_EQ(code_of(rig->copy({})), ErrorCode::device_lost);
  EXPECT_EQ(code_of(rig->create_queue()), ErrorCode::device_lost);
  EXPECT_EQ(code_of(rig->find_kernel("", "fill")), ErrorCode::device_lost);
  EXPECT_EQ(code_of(rig->launch(queue, {spin, {}, 1, {}})), ErrorCode::device_lost);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(rig.sink.count(Kind::lost), 1U);
}

TEST(SoftDeath, killed_in_the_middle_of_a_copy) {
  Rig rig(soft_backend());
  const Allocation allocation = GET(rig->allocate(block_size));
  rig.finish(rig.fill(rig.on_device(allocation), block_size, 1));
  const std::vector<CopyCommand> list(
      2000, {rig.on_device(allocation), rig.on_host(0), block_size});  // 4 GB: long enough
  const Fence fence = GET(rig->copy(list));
  ASSERT_TRUE(eventually([&] { return rig.load_word(0) != 0; }));  // it has begun
  ASSERT_EQ(rig->poll(fence), FenceState::pending);
  kill(device_process(), SIGKILL);
  EXPECT_EQ(code_of(rig->wait(fence, patiently())), ErrorCode::device_lost);
  EXPECT_TRUE(mentions(rig.sink.await(Kind::lost).text, "copy engine 1"));
}

TEST(SoftDeath, a_wait_for_room_is_told_too) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const KernelId spin = rig.kernel("spin");
  std::atomic<bool> refused = false;
  std::thread submitter([&] {
    for (int i = 0; i < 100'000; ++i) {
      if (code_of(rig.launch(queue, spin, sluice_soft_spin{nullptr, 0})) ==
          ErrorCode::device_lost) {
        refused = true;
        return;
      }
    }
  });
  std::this_thread::sleep_for(milliseconds(50));
  kill(device_process(), SIGKILL);
  submitter.join();
  EXPECT_TRUE(refused);
}

TEST(SoftDeath, a_kernel_that_aborts) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const auto outcome = rig.outcome(rig->launch(queue, {rig.kernel("crash"), {}, 1, {}}));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_lost);
  EXPECT_TRUE(mentions(detail_of(outcome), "SIGABRT")) << detail_of(outcome);
  EXPECT_TRUE(mentions(detail_of(outcome), "'crash'")) << detail_of(outcome);
}

TEST(SoftDeath, after_a_reset_all_is_new) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  for (int round = 0; round < 5; ++round) {
    const Allocation allocation = GET(rig->allocate(block_size));
    rig.finish(rig.map(0, block_size, rig.on_device(allocation), Rights::write));
    rig.finish(rig.launch(queue, rig.kernel("fill"),
                          sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(0)), 9}, 10));
    const Fence lost = GET(rig.launch(queue, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
    kill(device_process(), SIGKILL);
    EXPECT_EQ(code_of(rig->wait(lost, patiently())), ErrorCode::device_lost);
    GET(rig->reset());
    EXPECT_EQ(rig.sink.count(Kind::lost), static_cast<std::size_t>(round + 1));
    EXPECT_EQ(rig->memory_in_use(), 0U);
    EXPECT_EQ(rig->poll(lost), FenceState::failed);
    EXPECT_EQ(code_of(rig->wait(lost, patiently())), ErrorCode::device_lost);
    // The mapping is gone with the process.
    const QueueId other = GET(rig->create_queue());
    const auto outcome = rig.outcome(rig.launch(
        other, rig.kernel("fill"), sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(0)), 9}));
    EXPECT_EQ(code_of(outcome), ErrorCode::device_fault);
    rig->destroy_queue(other);
  }
}

TEST(SoftDeath, a_stopped_queue_runs_again_after_a_reset) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  EXPECT_EQ(
      code_of(rig.outcome(rig.launch(queue, rig.kernel("fill"), sluice_soft_fill{nullptr, 1}))),
      ErrorCode::device_fault);
  GET(rig->reset());
  EXPECT_TRUE(rig.outcome(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}})));
}

// A copy that a thread prepared for the lost device, and is still handing over, is not for the next
// one: that has other bytes at the same place.
TEST(SoftDeath, a_command_of_the_lost_device_is_not_run_by_the_next) {
  HostArea host;
  RecordingSink sink;
  HostMemory memory = host.memory();
  std::atomic<std::thread::id> held;  // the thread that is held as it names its host memory
  std::atomic<int> names = 0;
  memory.file_at = [&](Address) {
    if (std::this_thread::get_id() == held.load() && ++names == 2) held.wait(held.load());
    return host.memory().file;
  };
  const auto device = GET(recoverable_backend().open(0, memory, sink));
  const Allocation allocation = GET(device->allocate(page_size));
  *host.alias<std::uint32_t>(0) = 7;
  const CopyCommand home{
      {Location::device(0), allocation.handle, 0}, Place::host(host.at(0)), page_size};

  Result<void> copied;
  std::thread copier([&] {
    held = std::this_thread::get_id();
    const auto fence = device->copy({&home, 1});
    copied = fence ? device->wait(*fence, patiently()) : tl::unexpected(fence.error());
  });
  ASSERT_TRUE(eventually([&] { return names == 2; }));  // its place among the commands is taken
  // The thread that tells the engine is awake as the device dies.
  sink.on_access_fault([&](const RecordingSink::Event&) {
    static_cast<void>(eventually([&] { return device->lost(); }));
  });
  const sluice_soft_fill arguments{pointer<std::uint32_t>(host.at(0)), 1};
  GET(device->launch(GET(device->create_queue()),
                     {GET(device->find_kernel("", "fill")), bytes_of(arguments), 1, {}}));
  static_cast<void>(sink.await(RecordingSink::Event::Kind::access_fault));
  kill(device_process(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return device->lost(); }));
  std::thread resetter([&] { GET(device->reset()); });
  std::this_thread::sleep_for(milliseconds(300));  // as long as a reset takes that waits for nobody
  held = std::thread::id{};
  held.notify_all();
  copier.join();
  resetter.join();
  EXPECT_EQ(code_of(copied), ErrorCode::device_lost);
  EXPECT_EQ(*host.alias<std::uint32_t>(0), 7U);

  // The device is as good as new.
  const Allocation fresh = GET(device->allocate(page_size));
  const CopyCommand copy{
      {Location::device(0), fresh.handle, 0}, Place::host(host.at(0)), page_size};
  GET(device->wait(GET(device->copy({&copy, 1})), patiently()));
  EXPECT_EQ(*host.alias<std::uint32_t>(0), 0U);
}

TEST(SoftDeath, the_engine_may_reset_when_it_is_told) {
  class ResettingSink final : public EventSink {
   public:
    void device_lost(int, const Error&) noexcept override {
      came_back = device.load()->reset().has_value();
      done = true;
    }
    void device_access_fault(int, std::uint32_t, Address, Access) noexcept override {}
    void device_fatal_fault(int, Fence, Address, Access, const Error&) noexcept override {}
    std::atomic<Device*> device = nullptr;
    std::atomic<bool> came_back = false;
    std::atomic<bool> done = false;
  };
  HostArea host;
  ResettingSink sink;
  const auto device = GET(soft_backend().open(0, host.memory(), sink));
  sink.device = device.get();
  kill(device_process(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return sink.done.load(); }));
  EXPECT_TRUE(sink.came_back);
  EXPECT_TRUE(device->allocate(page_size));
}

TEST(SoftHang, a_copy_that_hangs_ends_the_device) {
  Rig rig(
      soft_backend([](soft::SoftOptions& options) { options.hang_timeout = milliseconds(1000); }));
  const Allocation allocation = GET(rig->allocate(block_size));
  GET(soft_calls(rig).plan_faults("step=copy nth=1 action=hang"));
  const auto outcome = rig.outcome(rig.copy(rig.on_host(0), rig.on_device(allocation), block_size));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_lost);
  EXPECT_TRUE(mentions(detail_of(outcome), "hung: copy engine 0")) << detail_of(outcome);
  GET(rig->reset());
  const Allocation fresh = GET(rig->allocate(block_size));
  EXPECT_TRUE(rig.outcome(rig.copy(rig.on_host(0), rig.on_device(fresh), block_size)));
}

TEST(SoftHang, a_process_that_is_stopped_hangs) {
  Rig rig(
      soft_backend([](soft::SoftOptions& options) { options.hang_timeout = milliseconds(1000); }));
  kill(device_process(), SIGSTOP);
  ASSERT_TRUE(eventually([] { return state_of(device_process()) == 'T'; }));
  const auto outcome = rig.outcome(rig.copy(rig.on_host(0), rig.on_host(block_size), page_size));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_lost);
  EXPECT_TRUE(mentions(detail_of(outcome), "hung: copy engine 0")) << detail_of(outcome);
}

TEST(SoftHang, a_kernel_may_run_for_ever_unless_told) {
  Rig rig(
      soft_backend([](soft::SoftOptions& options) { options.hang_timeout = milliseconds(500); }));
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
  EXPECT_EQ(code_of(rig->wait(fence, {.deadline = Clock::now() + milliseconds(2500)})),
            ErrorCode::timed_out);
  EXPECT_FALSE(rig->lost());
}

TEST(SoftHang, a_kernel_with_a_timeout_ends_the_device) {
  Rig rig(soft_backend(
      [](soft::SoftOptions& options) { options.kernel_timeout = milliseconds(1000); }));
  const QueueId queue = GET(rig->create_queue());
  const auto outcome =
      rig.outcome(rig.launch(queue, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_lost);
  EXPECT_TRUE(mentions(detail_of(outcome), "hung: queue 0")) << detail_of(outcome);
  EXPECT_TRUE(mentions(detail_of(outcome), "'spin'")) << detail_of(outcome);
}

TEST(SoftHang, a_launch_that_is_never_taken_up_hangs) {
  for (const bool kernels_are_limited : {true, false}) {
    Rig rig(soft_backend([&](soft::SoftOptions& options) {
      options.hang_timeout = milliseconds(kernels_are_limited ? 60'000 : 700);
      options.kernel_timeout = milliseconds(kernels_are_limited ? 700 : 0);
    }));
    const QueueId queue = GET(rig->create_queue());
    const KernelId nothing = rig.kernel("nothing");
    kill(device_process(), SIGSTOP);
    ASSERT_TRUE(eventually([] { return state_of(device_process()) == 'T'; }));
    const auto outcome = rig.outcome(rig->launch(queue, {nothing, {}, 1, {}}));
    EXPECT_EQ(code_of(outcome), ErrorCode::device_lost) << detail_of(outcome);
    EXPECT_TRUE(mentions(detail_of(outcome), "hung: queue 0")) << detail_of(outcome);
  }
}

TEST(SoftHang, a_launch_may_wait_for_others_for_ever) {
  Rig rig(
      soft_backend([](soft::SoftOptions& options) { options.hang_timeout = milliseconds(300); }));
  const QueueId one = GET(rig->create_queue());
  const QueueId other = GET(rig->create_queue());
  const Fence first = GET(rig.launch(one, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
  const Fence second = GET(rig->launch(other, {rig.kernel("nothing"), {}, 1, {&first, 1}}));
  EXPECT_EQ(code_of(rig->wait(second, {.deadline = Clock::now() + milliseconds(1500)})),
            ErrorCode::timed_out);
  EXPECT_FALSE(rig->lost());
}

TEST(SoftHang, a_stopped_queue_is_no_hang) {
  Rig rig(soft_backend([](soft::SoftOptions& options) {
    options.hang_timeout = options.kernel_timeout = milliseconds(300);
  }));
  const QueueId queue = GET(rig->create_queue());
  const KernelId nothing = rig.kernel("nothing");
  GET(rig->stoppable_queues()->stop_queues());
  GET(rig->stoppable_queues()->wait_stopped(patiently()));
  const Fence fence = GET(rig->launch(queue, {nothing, {}, 1, {}}));
  EXPECT_EQ(code_of(rig->wait(fence, {.deadline = Clock::now() + milliseconds(1500)})),
            ErrorCode::timed_out);
  EXPECT_FALSE(rig->lost());
  rig->stoppable_queues()->restart_queues();
  EXPECT_TRUE(rig->wait(fence, patiently()));
}

// One timeout is at the edge of its type, the other short: it sets how often the device is looked
// at.
TEST(SoftHang, the_largest_timeouts_are_no_limit) {
  for (const milliseconds longest : {milliseconds::max(), milliseconds(9'223'372'036'855),
                                     milliseconds(std::int64_t{1} << 32)}) {
    SCOPED_TRACE(longest.count());
    Rig rig(soft_backend([&](soft::SoftOptions& options) {
      options.hang_timeout = longest;
      options.kernel_timeout = milliseconds(100);
    }));
    GET(soft_calls(rig).plan_faults("step=copy nth=1 action=slow=600"));
    EXPECT_TRUE(rig.outcome(rig.copy(rig.on_host(0), rig.on_host(block_size), page_size)));
  }
  Rig rig(soft_backend([](soft::SoftOptions& options) {
    options.hang_timeout = milliseconds(100);
    options.kernel_timeout = milliseconds::max();
  }));
  const QueueId queue = GET(rig->create_queue());
  EXPECT_TRUE(rig.outcome(rig.launch(queue, rig.kernel("sleep"), sluice_soft_sleep{600'000'000})));
}

// A timer of the application that interrupts every wait long before its time is over. It ends at
// last, so that a time that begins anew at each signal is noticed, and not waited for.
class FrequentTimer {
 public:
  FrequentTimer() {
    ticks_ = 0;
    struct sigaction action = {};
    action.sa_handler = tick;
    sigaction(SIGALRM, &action, &before_);
    set({{0, 1000}, {0, 1000}});
  }
  FrequentTimer(const FrequentTimer&) = delete;
  FrequentTimer& operator=(const FrequentTimer&) = delete;
  ~FrequentTimer() {
    set({});
    sigaction(SIGALRM, &before_, nullptr);
  }
  // Whether that is not what ended a wait.
  [[nodiscard]] static bool still_runs() { return ticks_ < last_tick; }
  [[nodiscard]] static bool has_run() { return ticks_ > 0; }

 private:
  static constexpr int last_tick = 20'000;  // twenty seconds, or more on a busy machine
  static void set(const itimerval& value) { setitimer(ITIMER_REAL, &value, nullptr); }
  static void tick(int) {
    if (++ticks_ >= last_tick) set({});
  }
  static inline std::atomic<int> ticks_{0};
  struct sigaction before_ = {};
};

TEST(SoftHang, signals_do_not_make_a_timeout_longer) {
  Rig rig(
      soft_backend([](soft::SoftOptions& options) { options.hang_timeout = milliseconds(500); }));
  const FrequentTimer timer;
  kill(device_process(), SIGSTOP);
  const auto outcome = rig->find_kernel("", "nothing");
  EXPECT_TRUE(timer.has_run() && timer.still_runs()) << "the time began anew at each signal";
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(code_of(outcome) == ErrorCode::timed_out ||
              code_of(outcome) == ErrorCode::device_lost)
      << detail_of(outcome);
}

TEST(SoftHang, signals_do_not_make_a_wait_longer) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
  {
    const FrequentTimer timer;
    EXPECT_EQ(code_of(rig->wait(fence, {.deadline = Clock::now() + milliseconds(500)})),
              ErrorCode::timed_out);
    EXPECT_TRUE(timer.has_run() && timer.still_runs()) << "the time began anew at each signal";
    GET(rig->stoppable_queues()->stop_queues());
    EXPECT_EQ(code_of(rig->stoppable_queues()->wait_stopped(
                  {.deadline = Clock::now() + milliseconds(500)})),
              ErrorCode::timed_out);
    EXPECT_TRUE(timer.still_runs()) << "the time began anew at each signal";
  }
  GET(rig->reset());
}

TEST(SoftHang, reset_ends_a_device_that_is_busy_for_ever) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), sluice_soft_spin{nullptr, 0}));
  GET(rig->reset());
  EXPECT_EQ(rig->poll(fence), FenceState::failed);
  EXPECT_TRUE(rig.outcome(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}})));
}

TEST(SoftPeers, a_lost_peer_is_named_and_a_reset_one_is_new) {
  Rig rig(soft_backend());
  const Allocation here = GET(rig->allocate(block_size));
  const auto peer = GET(soft_backend().open(1, rig.host.memory(), rig.sink));
  for (std::uint8_t round = 1; round <= 3; ++round) {
    const Allocation there = GET(peer->allocate(block_size));
    const Place on_peer{Location::device(1), there.handle, 0};
    const FillCommand fill{on_peer, block_size, round};
    GET(peer->wait(GET(peer->fill({&fill, 1})), patiently()));
    rig.finish(rig.copy(on_peer, rig.on_device(here), block_size));
    EXPECT_EQ(*soft::client_view(rig.device(), rig.on_device(here)), std::byte{round});
    GET(peer->reset());
    EXPECT_EQ(code_of(rig.copy(on_peer, rig.on_device(here), block_size)),
              ErrorCode::invalid_argument);
  }
  const Allocation there = GET(peer->allocate(block_size));
  const Place on_peer{Location::device(1), there.handle, 0};
  EXPECT_EQ(code_of(rig.copy(on_peer, on_peer, block_size)), ErrorCode::invalid_argument)
      << "no business of device 0";
}

}  // namespace
}  // namespace sluice::device::testing
