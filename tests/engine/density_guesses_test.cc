// A guess that a block will be filled stays open until it is, or until its thread leaves holes.
#include "engine/density_guesses.hpp"

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

DensityGuess store(std::uint64_t block, std::uint64_t range = 1, std::int32_t thread = 7) {
  return {Address{block * block_size}, range, thread};
}

TEST(DensityGuesses, the_first_store_of_a_thread_is_taken_for_dense) {
  DensityGuesses guesses;
  const DensityGuesses::Answer answer = guesses.note_first_store(store(3));
  EXPECT_TRUE(answer.is_dense);
  EXPECT_FALSE(answer.ended);
}

TEST(DensityGuesses, a_thread_that_leaves_holes_was_no_dense_writer) {
  DensityGuesses guesses;
  (void)guesses.note_first_store(store(3));
  const DensityGuesses::Answer answer = guesses.note_first_store(store(9));
  EXPECT_FALSE(answer.is_dense);
  EXPECT_TRUE(answer.was_wrong);
  ASSERT_TRUE(answer.ended);
  EXPECT_EQ(answer.ended->block, store(3).block);
}

TEST(DensityGuesses, a_filled_block_was_guessed_well) {
  DensityGuesses guesses;
  (void)guesses.note_first_store(store(3));
  guesses.note_filled(store(3).block, 2);  // another range had the addresses
  EXPECT_TRUE(guesses.note_first_store(store(4)).was_wrong);
  (void)guesses.note_first_store(store(5));
  guesses.note_filled(store(5).block, 1);
  EXPECT_TRUE(guesses.note_first_store(store(6)).is_dense);
}

TEST(DensityGuesses, other_threads_and_ranges_have_their_own) {
  DensityGuesses guesses;
  EXPECT_TRUE(guesses.note_first_store(store(3)).is_dense);
  EXPECT_TRUE(guesses.note_first_store(store(4, 1, 8)).is_dense);
  EXPECT_TRUE(guesses.note_first_store(store(90, 2)).is_dense);
}

TEST(DensityGuesses, the_oldest_is_given_up_for_a_new_one) {
  DensityGuesses guesses;
  for (std::size_t i = 0; i < DensityGuesses::most; ++i)
    EXPECT_FALSE(guesses.note_first_store(store(i, i + 1)).ended);
  for (std::size_t i = 0; i < 3; ++i) {
    const DensityGuesses::Answer answer = guesses.note_first_store(store(100 + i, 100 + i));
    EXPECT_TRUE(answer.is_dense);
    EXPECT_FALSE(answer.was_wrong);
    ASSERT_TRUE(answer.ended);
    EXPECT_EQ(answer.ended->range, i + 1);
  }
}

TEST(DensityGuesses, all_are_given_up_one_by_one) {
  DensityGuesses guesses;
  (void)guesses.note_first_store(store(3));
  (void)guesses.note_first_store(store(4, 2));
  EXPECT_TRUE(guesses.give_up_one());
  EXPECT_TRUE(guesses.give_up_one());
  EXPECT_FALSE(guesses.give_up_one());
  EXPECT_TRUE(guesses.note_first_store(store(9)).is_dense);
}

}  // namespace
}  // namespace sluice::engine
