// Launch scopes: the program's own work in a stream of the driver.
#include <thread>

#include "cuda/cuda_rig.hpp"
#include "sluice.h"

namespace sluice::cuda_tests {
namespace {

using device::cuda::CUcontext;
using device::cuda::CUdeviceptr;
using device::cuda::CurrentContext;
using device::cuda::CUstream;
using device::cuda::Driver;

// The program: a stream of its own, into which it puts driver calls on managed addresses.
class Scopes : public OnGpus {
 protected:
  void SetUp() override {
    OnGpus::SetUp();
    if (IsSkipped()) return;
    driver_ = need(Driver::load());
    ASSERT_EQ(driver_->context_retain(&context_, 0), 0);
    const CurrentContext current(*driver_, context_);
    ASSERT_EQ(driver_->stream_create(&stream_, 1, 0), 0);
  }
  void TearDown() override {
    if (stream_ == nullptr) return;
    {
      const CurrentContext current(*driver_, context_);
      driver_->stream_destroy(stream_);
    }
    driver_->context_release(0);
  }
  // Sets bytes of managed memory as a kernel of the program would.
  void set(void* bytes, int value, std::size_t size) const {
    const CurrentContext current(*driver_, context_);
    ASSERT_EQ(driver_->fill(reinterpret_cast<CUdeviceptr>(bytes), static_cast<unsigned char>(value),
                            size, stream_),
              0);
  }
  [[nodiscard]] ScopeRequest on(const Space& space) const {
    return space.on(reinterpret_cast<CUstream_st*>(stream_));
  }

  const Driver* driver_ = nullptr;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
};

TEST_F(Scopes, the_program_s_own_work_sees_and_is_seen) {
  const Space space = open(1);
  const auto from = need(space.allocate(5 * mib));
  const auto to = need(space.allocate(5 * mib));
  auto* host_from = reinterpret_cast<unsigned char*>(from.data());
  auto* host_to = reinterpret_cast<unsigned char*>(to.data());
  for (int round = 1; round < 5; ++round) {
    std::fill(host_from, host_from + 5 * mib, static_cast<unsigned char>(round));
    {
      auto scope =
          need(on(space).reads(from.data(), from.size()).writes(to.data(), to.size()).begin());
      const CurrentContext current(*driver_, context_);
      ASSERT_EQ(driver_->copy(reinterpret_cast<CUdeviceptr>(to.data()),
                              reinterpret_cast<CUdeviceptr>(from.data()), 5 * mib, stream_),
                0);
      need(scope.done());
    }
    ASSERT_EQ(host_to[0], round);
    ASSERT_EQ(host_to[5 * mib - 1], round);
  }
}

TEST_F(Scopes, of_the_c_interface_bring_everything_at_their_begin) {
  sluice_space_options options{};
  options.size = sizeof options;
  options.cuda_gpus = 1;
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  void* base = nullptr;
  ASSERT_EQ(sluice_allocate(space, mib, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &base),
            SLUICE_OK);
  auto* const bytes = static_cast<unsigned char*>(base);
  bytes[0] = 1;
  const sluice_use use = {base, mib, SLUICE_ACCESS_WRITE};
  sluice_scope_request request{};
  request.size = sizeof request;
  request.stream = stream_;
  request.uses = &use;
  request.use_count = 1;
  sluice_scope* scope = nullptr;
  ASSERT_EQ(sluice_scope_begin(space, &request, &scope), SLUICE_OK) << sluice_last_error();
  set(base, 7, mib);
  sluice_fence end{};
  EXPECT_EQ(sluice_scope_end(scope, &end), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(bytes[0], 7);
  EXPECT_EQ(bytes[mib - 1], 7);
  EXPECT_EQ(sluice_fence_wait(space, end, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  EXPECT_EQ(sluice_scope_end(scope, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_free(space, base), SLUICE_OK);
  sluice_space_close(space);
}

TEST_F(Scopes, host_accesses_wait_until_the_stream_is_through) {
  const Space space = open(1);
  const auto range = need(space.allocate(mib));
  auto scope = need(on(space).writes(range.data(), range.size()).begin());
  std::atomic<bool> read{false};
  std::thread reader([&] {
    EXPECT_EQ(*reinterpret_cast<volatile unsigned char*>(range.data()), 42);
    read = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(read);
  set(range.data(), 42, range.size());
  need(scope.done());
  reader.join();
}

TEST_F(Scopes, two_threads_that_name_in_different_order_do_not_block_each_other) {
  const Space space = open(1);
  const auto a = need(space.allocate(mib));
  const auto b = need(space.allocate(mib));
  const auto work = [&](const Range& first, const Range& second, int value) {
    for (int i = 0; i < 200; ++i) {
      auto scope = need(on(space).writes(first.data(), mib).writes(second.data(), mib).begin());
      set(first.data(), value, mib);
      set(second.data(), value, mib);
      need(scope.done());
    }
  };
  std::thread other([&] { work(a, b, 1); });
  work(b, a, 2);
  other.join();
  const auto& bytes = reinterpret_cast<const unsigned char*>(a.data());
  EXPECT_EQ(bytes[0], reinterpret_cast<const unsigned char*>(b.data())[mib - 1]);
}

// The default stream has no name, as the lane of another scope has no stream.
TEST_F(Scopes, a_scope_on_the_default_stream_waits_for_another) {
  const Space space = open(1);
  const Queue queue = need(space.queue(0));
  const auto word = need(space.buffer<std::uint32_t>(1, Kind::host));
  const auto range = need(space.allocate(mib));
  *word.data() = 0;
  // The queue holds up the scope, and the scope the one on the default stream.
  const Fence spinning = need(queue.launch(need(queue.kernel("spin")))
                                  .reads(word)
                                  .writes(range.data(), mib)
                                  .arguments(sluice_soft_spin{word.data(), 1})
                                  .items(1)
                                  .submit());
  auto first = need(on(space).writes(range.data(), mib).begin());
  set(range.data(), 7, mib);
  need(first.done());
  auto second = need(space.on(nullptr).writes(range.data(), mib).begin());
  {
    const CurrentContext current(*driver_, context_);
    ASSERT_EQ(driver_->fill(reinterpret_cast<CUdeviceptr>(range.data()), 9, mib, nullptr), 0);
  }
  need(second.done());
  __atomic_store_n(word.data(), 1, __ATOMIC_RELEASE);
  need(spinning.wait());
  const auto* bytes = reinterpret_cast<const unsigned char*>(range.data());
  EXPECT_EQ(bytes[0], 9);
  EXPECT_EQ(bytes[mib - 1], 9);
}

TEST_F(Scopes, what_was_not_finished_is_finished_by_the_end_of_the_scope) {
  const Space space = open(1);
  const auto range = need(space.allocate(mib));
  {
    const auto scope = need(on(space).writes(range.data(), range.size()).begin());
    set(range.data(), 3, range.size());
  }
  EXPECT_EQ(*reinterpret_cast<unsigned char*>(range.data()), 3);
}

TEST_F(Scopes, bad_input_is_told_and_nothing_is_held) {
  const Space space = open(1);
  const auto range = need(space.allocate(mib));
  int mine = 0;
  const auto scope = on(space).writes(range.data(), mib).reads(&mine, sizeof mine).begin();
  ASSERT_FALSE(scope);
  EXPECT_EQ(scope.error().code(), ErrorCode::unknown_address);
  *range.data() = std::byte{1};  // would wait for ever if the scope held it
  const auto nowhere = space.on(nullptr, 7).writes(range.data(), mib).begin();
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code(), ErrorCode::unknown_device);
}

TEST_F(Scopes, bring_memory_once_however_much_they_name) {
  const Space space = open(1);
  const auto from = need(space.allocate(mib));
  const auto to = need(space.allocate(mib));
  from.data()[0] = std::byte{1};
  to.data()[0] = std::byte{2};
  const auto launches = [&] { return space.counters().launches; };
  const std::uint64_t before = launches();
  ScopeRequest request = on(space).reads(from.data(), mib).writes(to.data(), mib);
  EXPECT_EQ(launches(), before);
  EXPECT_EQ(from.data()[0], std::byte{1});  // no scope holds it yet
  auto scope = need(std::move(request).begin());
  EXPECT_EQ(launches(), before + 1);
  need(scope.done());
}

TEST(ScopesWithoutGpus, software_devices_have_no_streams) {
  const Space space = need(Space::open());
  const auto range = need(space.allocate(mib));
  ScopeRequest request = space.on(nullptr).writes(range.data(), mib);
  *range.data() = std::byte{1};  // naming memory holds nothing
  const auto scope = std::move(request).begin();
  ASSERT_FALSE(scope);
  EXPECT_EQ(scope.error().code(), ErrorCode::unsupported);
}

TEST(ScopesWithoutGpus, a_space_has_one_kind_of_device) {
  const auto mixed = Space::open({.software = {}, .cuda = {.gpus = {0}}});
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(mixed.error().detail().find("software.count"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice::cuda_tests
