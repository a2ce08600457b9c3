// The stand-in driver's streams: what runs beside what, and in which order.
#include "cuda_face/fake_rig.hpp"

namespace sluice::cuda_face_tests {
namespace {

constexpr CUresult not_ready = device::cuda::error_not_ready;

class FakeStreams : public ::testing::Test {
 protected:
  FakeStreams() : word_(program_) {
    MUST(program_.driver.stream_create(&other_, device::cuda::stream_non_blocking, 0));
  }
  ~FakeStreams() override { MUST(program_.driver.stream_destroy(other_)); }

  Program program_;
  SharedWord word_;
  CUstream other_ = nullptr;
};

TEST_F(FakeStreams, run_beside_each_other) {
  word_.hold_up();
  const CUdeviceptr place = program_.map();
  MUST(program_.driver.fill(place, 1, block, other_));
  MUST(program_.driver.stream_synchronize(other_));
  EXPECT_EQ(program_.driver.stream_query(program_.stream), not_ready);
  word_.set(1);
  MUST(program_.finish());
}

TEST_F(FakeStreams, wait_for_events_of_others) {
  word_.hold_up();
  CUevent event = nullptr;
  MUST(program_.driver.event_create(&event, device::cuda::event_without_time));
  MUST(program_.driver.event_record(event, program_.stream));
  MUST(program_.driver.stream_wait(other_, event, 0));
  usleep(2000);
  EXPECT_EQ(program_.driver.event_query(event), not_ready);
  EXPECT_EQ(program_.driver.stream_query(other_), not_ready);
  word_.set(1);
  MUST(program_.driver.stream_synchronize(other_));
  EXPECT_EQ(program_.driver.event_query(event), success);
  MUST(program_.driver.event_destroy(event));
}

TEST_F(FakeStreams, the_default_one_keeps_order_with_those_that_do_not_refuse_it) {
  CUstream blocking = nullptr;
  MUST(program_.driver.stream_create(&blocking, 0, 0));
  word_.hold_up(blocking);
  const CUdeviceptr place = program_.map();
  MUST(program_.driver.fill(place, 1, block, nullptr));
  MUST(program_.driver.fill(place, 1, block, other_));
  MUST(program_.driver.stream_synchronize(other_));
  EXPECT_EQ(program_.driver.stream_query(nullptr), not_ready);
  word_.set(1);
  MUST(program_.driver.stream_synchronize(nullptr));
  EXPECT_EQ(program_.driver.stream_query(blocking), success);
  MUST(program_.driver.stream_destroy(blocking));
}

TEST_F(FakeStreams, write_words_and_wait_for_words) {
  auto* const wait =
      entry<CUresult(CUstream, CUdeviceptr, std::uint32_t, unsigned)>("cuStreamWaitValue32_v2");
  SharedWord written(program_);
  const auto address = reinterpret_cast<CUdeviceptr>(word_.get());
  MUST(wait(other_, address, 3, 0));
  MUST(program_.driver.stream_write(other_, reinterpret_cast<CUdeviceptr>(written.get()), 9, 0));
  usleep(2000);
  EXPECT_EQ(*written.get(), 0U);
  word_.set(4);
  written.await(9);
}

TEST_F(FakeStreams, a_destroyed_one_finishes_its_work_and_takes_no_more) {
  CUstream gone = nullptr;
  MUST(program_.driver.stream_create(&gone, 1, 0));
  SharedWord met(program_);
  MUST(program_.launch("meet", sluice_soft_meet{met.get(), word_.get(), 1}, 1, gone));
  MUST(program_.driver.stream_destroy(gone));
  EXPECT_EQ(program_.driver.stream_query(gone), 400);
  met.await(1);
  word_.set(1);
}

// As on the card: Sluice loads what it launches.
TEST_F(FakeStreams, a_function_that_was_not_loaded_waits_for_running_kernels) {
  CUmodule module = nullptr;
  MUST(program_.driver.module_load_data(&module, "// any code"));
  CUfunction nothing = nullptr;
  MUST(program_.driver.module_function(&nothing, module, "nothing"));
  word_.hold_up();
  char empty = 0;
  std::uint64_t items = 1;
  void* parameters[] = {&empty, &items};
  const auto launch = [&] {
    return program_.driver.launch(nothing, 1, 1, 1, 1, 1, 1, 0, other_, parameters, nullptr);
  };
  SharedWord& word = word_;
  const auto lets_go = [](void* of) -> void* {
    usleep(20000);
    static_cast<SharedWord*>(of)->set(1);
    return nullptr;
  };
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, nullptr, lets_go, &word), 0);
  MUST(launch());
  EXPECT_EQ(program_.driver.stream_query(program_.stream), success);
  pthread_join(thread, nullptr);
}

TEST_F(FakeStreams, parameters_come_in_a_block_too) {
  const CUdeviceptr place = program_.map();
  struct {
    sluice_soft_fill arguments;
    std::uint64_t items;
  } block_of{{Program::words(place), 11}, 5};
  std::size_t size = sizeof block_of;
  auto key = [](std::uintptr_t value) {
    return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr)
  };
  void* extra[] = {key(1), &block_of, key(2), &size, nullptr};
  MUST(program_.driver.launch(program_.function("fill"), 1, 1, 1, 1, 1, 1, 0, program_.stream,
                              nullptr, extra));
  EXPECT_EQ(program_.word_at(place + 16), 11U);
}

TEST(FakeEntries, a_program_that_asks_for_an_entry_gets_an_export) {
  auto* const ask =
      entry<CUresult(const char*, void**, int, std::uint64_t, int*)>("cuGetProcAddress_v2");
  for (const auto& [name, symbol] :
       {std::pair("cuMemAlloc", "cuMemAlloc_v2"), std::pair("cuLaunchKernel", "cuLaunchKernel")}) {
    void* found = nullptr;
    int status = -1;
    MUST(ask(name, &found, 13000, 0, &status));
    EXPECT_EQ(found, dlsym(fake_library(), symbol)) << name;
    EXPECT_EQ(status, 0);
  }
  void* none = nullptr;
  EXPECT_NE(ask("cuNoSuchEntry", &none, 13000, 0, nullptr), success);
}

}  // namespace
}  // namespace sluice::cuda_face_tests
