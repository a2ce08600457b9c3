// Guesses whether a thread that stores to a block for the first time will store to all of it.
//
// To make memory in pages of 4 KiB takes several times as long as in one huge page, and where many
// threads begin in the middle of a range at once, the first block of each is a large part of all.
// So the guess is yes, until a thread leaves a block with holes behind: that range gets small pages
// from then on, and what the block has too much is given back. Cost: a look at 64 entries. What it
// does not do: look at loads, which make no memory.
#include "engine/density_guesses.hpp"

#include <algorithm>
#include <utility>

namespace sluice::engine {

DensityGuesses::Answer DensityGuesses::note_first_store(const DensityGuess& store) noexcept {
  const MutexLock lock(mutex_);
  const auto wrong = std::ranges::find_if(open_, [&](const auto& guess) {
    return guess && guess->range == store.range && guess->thread == store.thread;
  });
  if (wrong != open_.end())
    return {.ended = std::exchange(*wrong, std::nullopt), .was_wrong = true};
  auto place = std::ranges::find_if(open_, [](const auto& guess) { return !guess; });
  if (place == open_.end()) place = open_.begin() + static_cast<std::ptrdiff_t>(next_++ % most);
  return {.is_dense = true, .ended = std::exchange(*place, store)};
}

void DensityGuesses::note_filled(Address block, std::uint64_t range) noexcept {
  const MutexLock lock(mutex_);
  for (auto& guess : open_)
    if (guess && guess->block == block && guess->range == range) guess = std::nullopt;
}

std::optional<DensityGuess> DensityGuesses::give_up_one() noexcept {
  const MutexLock lock(mutex_);
  const auto found =
      std::ranges::find_if(open_, [](const auto& guess) { return guess.has_value(); });
  return found == open_.end() ? std::nullopt : std::exchange(*found, std::nullopt);
}

}  // namespace sluice::engine
