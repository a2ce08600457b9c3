// The thread gives Linux advice about the application view: to drop entries, to page out, to
// collapse into a huge page. Linux may refuse any of it (no swap, no huge pages); the run goes on.
#include "stress/dropping.hpp"

#include <sys/mman.h>

#include <algorithm>
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

EntryDropping::EntryDropping(std::vector<AddressSpan> ranges, int per_second, std::uint64_t seed)
    : ranges_(std::move(ranges)) {
  if (per_second > 0)
    thread_ = program::start_thread([this, per_second, seed] { run(per_second, seed); });
}

EntryDropping::~EntryDropping() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
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

// A page, or many.
void EntryDropping::drop_some(std::uint64_t choice, std::uint64_t place,
                              std::uint64_t length) noexcept {
  const AddressSpan range = ranges_[choice % ranges_.size()];
  const std::size_t pages = range.size / page_size;
  const std::size_t first = place % pages;
  const std::size_t most = std::min(pages - first, std::size_t{1} << length % 11);
  constexpr int advice[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_PAGEOUT, MADV_COLLAPSE};
  void* const begin = reinterpret_cast<void*>((range.begin + first * page_size).value);
  if (madvise(begin, most * page_size, advice[choice / ranges_.size() % std::size(advice)]) == 0)
    ++done_;
}

}  // namespace sluice::stress
