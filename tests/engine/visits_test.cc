// The host beside running kernels: visits to bytes that a kernel has, and memory that is younger
// than the kernel.
#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

class Visiting : public EngineTest {
 protected:
  void SetUp() override {
    open(small_devices(2));
    go_ = words(4096, Kind::host);
  }
  void let_go() { *static_cast<volatile std::uint32_t*>(go_) = 1; }

  std::uint32_t* go_ = nullptr;
};

TEST_F(Visiting, a_kernel_and_the_host_hand_a_word_to_and_fro) {
  engine->let_host_visit();
  volatile std::uint32_t* const word = words(4096);
  volatile std::uint32_t* const here = words(4096);
  for (std::uint32_t turn = 1; turn <= 5; ++turn) {
    *here = 0;
    const sluice_soft_meet meet{const_cast<std::uint32_t*>(here), const_cast<std::uint32_t*>(word),
                                turn};
    const auto running = launch(0, "meet", meet, 1, {}, true);
    ASSERT_TRUE(running);
    ASSERT_TRUE(eventually([&] { return *here == 1; }));
    *word = turn;
    expect_done(running);
    EXPECT_EQ(*word, turn);
  }
}

TEST_F(Visiting, stores_beside_a_kernel_are_there_after_it) {
  engine->let_host_visit();
  constexpr std::size_t size = 5 * mib + 4096;
  std::uint32_t* const data = words(size);
  expect_done(fill(0, data, size, 5));
  const auto running = occupy(0, data, size, go_);
  ASSERT_TRUE(running);
  EXPECT_EQ(data[7], 5u);
  data[8] = 8;
  EXPECT_EQ(data[8], 8u);
  EXPECT_EQ(data[9], 5u);
  for (std::size_t i = mib / 2; i < size / 4; ++i) data[i] = static_cast<std::uint32_t>(i);
  EXPECT_EQ(engine->poll(*running), device::FenceState::pending);
  let_go();
  expect_done(running);
  EXPECT_EQ(data[7], 5u);
  EXPECT_EQ(data[8], 8u);
  for (std::size_t i = mib / 2; i < size / 4; ++i) ASSERT_EQ(data[i], i);
}

TEST_F(Visiting, memory_that_is_younger_than_a_kernel_does_not_wait_for_it) {
  std::uint32_t* const data = words(4096);
  const auto running = launch(0, "spin", sluice_soft_spin{go_, 1}, 1,
                              {{span(go_, 4), Access::read}, {span(data, 4), Access::write}}, true);
  ASSERT_TRUE(running);
  std::uint32_t* const younger = words(4 * mib);
  for (std::size_t i = 0; i < mib; ++i) younger[i] = 3;
  EXPECT_EQ(younger[mib - 1], 3u);
  EXPECT_TRUE(engine->free(Address::of(younger), FreeMode::wait));
  EXPECT_EQ(engine->poll(*running), device::FenceState::pending);
  let_go();
  expect_done(running);
}

}  // namespace
}  // namespace sluice::engine
