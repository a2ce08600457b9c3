// A spot thrashes if it returns to where it came from several times with short pauses.
//
// Sharing is false if no byte of the spot is one that both sides use: a device's are those that
// its launches name, the host's the first few at which its accesses had to be answered.
//
// Cost: a look-up for each 64 KiB that move and for each access; memory for each 64 KiB that ever
// moved, and for each different use that launches name (at most 4096).
// What it does not do: see accesses that need no answer.
#include "observe/patterns.hpp"

#include <algorithm>

namespace sluice::observe {
namespace {

constexpr std::size_t most_uses = 4096;

std::int32_t as_number(Location location) { return location.is_host() ? -1 : location.number(); }

bool is_move(EventKind kind) {
  // A copy that ends because another location writes comes back when it is read again.
  return kind == EventKind::migration || kind == EventKind::read_duplicate ||
         kind == EventKind::read_duplicate_invalidate;
}

bool is_told(std::uint32_t returns) {
  while (returns > Patterns::least_returns && returns % 2 == 0) returns /= 2;
  return returns == Patterns::least_returns;
}

}  // namespace

bool Patterns::names(int device, std::uint64_t begin, std::uint64_t end) const {
  return std::any_of(uses_.begin(), uses_.end(), [=](const Use& use) {
    const auto& [of, from, to] = use;
    return of == device && from < end && to > begin;
  });
}

bool Patterns::devices_share(int a, int b, std::uint64_t begin) const {
  return std::any_of(uses_.begin(), uses_.end(), [&](const Use& use) {
    const auto& [of, from, to] = use;
    const std::uint64_t first = std::max(from, begin);
    const std::uint64_t last = std::min(to, begin + spot_size);
    return of == a && first < last && names(b, first, last);
  });
}

bool Patterns::is_false_sharing(const Spot& touched, std::uint64_t begin, Location a,
                                Location b) const {
  if (a.is_device() && b.is_device())
    return names(a.number(), begin, begin + spot_size) &&
           names(b.number(), begin, begin + spot_size) &&
           !devices_share(a.number(), b.number(), begin);
  const int device = a.is_host() ? b.number() : a.number();
  const auto* const end = touched.touched.begin() + touched.touched_bytes;
  return touched.touched_bytes != 0 && names(device, begin, begin + spot_size) &&
         std::none_of(touched.touched.begin(), end,
                      [&](std::uint64_t byte) { return names(device, byte, byte + 1); });
}

// Another range has the addresses.
void Patterns::forget(std::uint64_t begin, std::uint64_t end) {
  if ((end - begin) / spot_size < spots_.size()) {
    for (std::uint64_t at = begin / spot_size; at * spot_size < end; ++at) spots_.erase(at);
  } else {
    std::erase_if(spots_, [&](const auto& each) {
      return (each.first + 1) * spot_size > begin && each.first * spot_size < end;
    });
  }
  std::erase_if(uses_, [&](const Use& use) {
    const auto& [device, from, to] = use;
    return from < end && to > begin;
  });
}

std::vector<Pattern> Patterns::note(const Event& event) {
  if (event.kind == EventKind::allocate || event.kind == EventKind::release) {
    forget(event.address, event.address + event.size);
    return {};
  }
  if (event.kind == EventKind::launch_use) {
    if (uses_.size() < most_uses)
      uses_.emplace(event.to.number(), event.address, event.address + event.size);
    return {};
  }
  if (event.kind == EventKind::cpu_fault) {
    Spot& spot = spots_[event.touched / spot_size];
    auto* const end = spot.touched.begin() + spot.touched_bytes;
    if (end != spot.touched.end() && std::find(spot.touched.begin(), end, event.touched) == end)
      spot.touched[spot.touched_bytes++] = event.touched;
    return {};
  }
  if (!is_move(event.kind) || event.size == 0) return {};
  std::vector<Pattern> found;
  for (std::uint64_t at = event.address / spot_size;
       at <= (event.address + event.size - 1) / spot_size; ++at) {
    Spot& moved = spots_[at];
    const std::int32_t from = as_number(event.from);
    const std::int32_t to = as_number(event.to);
    const bool pauses = event.time > moved.moved + longest_pause;
    if (pauses) moved.returns = 0;
    const bool returns = !pauses && moved.from == to && moved.at != to;
    moved.moved = event.time + event.duration;
    moved.at = to;
    moved.from = from;
    if (!returns || !is_told(++moved.returns)) continue;
    const std::uint64_t begin = at * spot_size;
    const auto kind = is_false_sharing(moved, begin, event.from, event.to)
                          ? Pattern::Kind::false_sharing
                          : Pattern::Kind::thrashing;
    if (!found.empty() && found.back().kind == kind &&
        found.back().address + found.back().size == begin)
      found.back().size += spot_size;
    else
      found.push_back({kind, event.from, event.to, event.time + event.duration, begin, spot_size,
                       moved.returns});
  }
  return found;
}

}  // namespace sluice::observe
