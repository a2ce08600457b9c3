// DensityGuesses: blocks that got a huge page at their first store, before it was known that the
// program stores to all of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/types.hpp"

namespace sluice::engine {

// A block of a range, and the thread that stored first.
struct DensityGuess {
  Address block;
  std::uint64_t range = 0;
  std::int32_t thread = 0;
};

// Decides from the first stores alone, and remembers which of the guesses are open. Thread-safe;
// allocates nothing, for fault handlers.
class DensityGuesses {
 public:
  // Open guesses; each may hold 2 MiB for a page that is used.
  static constexpr std::size_t most = 64;

  // The consequences of a first store.
  struct Answer {
    bool is_dense = false;  // a guess is open: the block is worth a huge page
    // This guess was wrong or is given up: what its block has too much may be given back.
    std::optional<DensityGuess> ended = std::nullopt;
    bool was_wrong = false;  // it was of the same range and thread, which went elsewhere
  };
  // A store to a block in which there was none. A thread that left another block of the range
  // behind with holes is no dense writer.
  [[nodiscard]] Answer note_first_store(const DensityGuess& store) noexcept;
  // The program has come to all of the block.
  void note_filled(Address block, std::uint64_t range) noexcept;
  // Ends one that is open.
  [[nodiscard]] std::optional<DensityGuess> give_up_one() noexcept;

 private:
  RankedMutex mutex_{LockRank::jobs, "density guesses"};
  std::array<std::optional<DensityGuess>, most> open_ SLUICE_GUARDED_BY(mutex_);
  std::size_t next_ SLUICE_GUARDED_BY(mutex_) = 0;  // to be replaced where none is free
};

}  // namespace sluice::engine
