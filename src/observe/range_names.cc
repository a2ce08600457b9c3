// Which named range lay at an address, and when.
//
// One tree holds live and ended ranges, so ending one only moves its node, which cannot fail. Cost:
// about 150 bytes for a named range. A look-up among ended ranges walks through those that ended
// after the event. What it does not do: remember ranges without a name.
#include "observe/range_names.hpp"

#include <iterator>

#include "observe/observe.hpp"

namespace sluice::observe {

void RangeNames::begin(AddressSpan pages, std::string_view name) {
  if (name.empty()) return;
  const MutexLock lock(mutex_);
  ranges_.insert_or_assign({lives, pages.begin.value}, NamedRange{pages.size, now(), std::string(name)});
}

void RangeNames::end(Address base) noexcept {
  const MutexLock lock(mutex_);
  auto node = ranges_.extract({lives, base.value});
  if (node.empty()) return;
  node.key().first = now();
  ranges_.insert(std::move(node));
  if (++ended_ <= most_ended) return;
  ranges_.erase(ranges_.begin());
  --ended_;
}

std::string RangeNames::at(std::uint64_t address, std::uint64_t time) const {
  const MutexLock lock(mutex_);
  const auto holds = [&](const auto& entry) {
    const auto& [key, range] = entry;
    return address >= key.second && address - key.second < range.size && range.begin <= time;
  };
  const auto above = ranges_.upper_bound({lives, address});
  if (above != ranges_.begin() && std::prev(above)->first.first == lives &&
      holds(*std::prev(above)))
    return std::prev(above)->second.name;
  for (auto one = ranges_.lower_bound({time, 0}); one != ranges_.end() && one->first.first != lives;
       ++one)
    if (holds(*one)) return one->second.name;
  return {};
}

}  // namespace sluice::observe
