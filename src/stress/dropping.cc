// The thread gives Linux advice about the application view: to drop entries, to page out, to
// collapse into a huge page. Linux may refuse any of it (no swap, no huge pages); the run goes on.
#include "stress/dropping.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>

#include "program/threads.hpp"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21  // Linux 5.4
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1
#endif

namespace sluice::stress {
namespace {

// In the order of advice_names.
constexpr std::array advice = {MADV_DONTNEED, MADV_PAGEOUT, MADV_COLLAPSE};
static_assert(advice.size() == advice_names.size());
// Indices of them, drawn with equal odds.
constexpr std::array<std::size_t, 4> drawn = {0, 0, 1, 2};

}  // namespace

void add(const AdviceCounts& more, AdviceCounts& counts) {
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i].followed += more[i].followed;
    for (const auto& [error, count] : more[i].refused) counts[i].refused[error] += count;
  }
}

std::uint64_t followed(const AdviceCounts& counts) noexcept {
  std::uint64_t sum = 0;
  for (const AdviceCount& count : counts) sum += count.followed;
  return sum;
}

EntryDropping::EntryDropping(std::vector<AddressSpan> ranges, int per_second, std::uint64_t seed)
    : ranges_(std::move(ranges)) {
  if (per_second > 0)
    thread_ = program::start_thread([this, per_second, seed] { run(per_second, seed); });
}

EntryDropping::~EntryDropping() { end(); }

const AdviceCounts& EntryDropping::end() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  return counts_;
}

void EntryDropping::run(int per_second, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pause = std::chrono::nanoseconds(std::chrono::seconds(1)) / per_second;
  while (!stop_) {
    const std::uint64_t choice = random();
    const std::uint64_t place = random();
    drop_some(choice, place, random());
    std::this_thread::sleep_for(pause);
  }
}

// A page, or many; a huge page comes of a whole block.
void EntryDropping::drop_some(std::uint64_t choice, std::uint64_t place, std::uint64_t length) {
  const AddressSpan range = ranges_[choice % ranges_.size()];
  const std::size_t kind = drawn[choice / ranges_.size() % drawn.size()];
  const std::size_t unit = advice[kind] == MADV_COLLAPSE ? block_size : page_size;
  const std::size_t units = std::max(range.size / unit, std::size_t{1});
  const std::size_t first = place % units;
  const std::size_t most = std::min(units - first, std::size_t{1} << length % 11);
  void* const begin = reinterpret_cast<void*>((range.begin + first * unit).value);
  if (madvise(begin, std::min(most * unit, range.size), advice[kind]) == 0)
    ++counts_[kind].followed;
  else
    ++counts_[kind].refused[errno];
}

}  // namespace sluice::stress
