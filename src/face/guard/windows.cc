// Windows of managed addresses, added by their owners (sluice/guard.h): a touch moves bytes there
// to the host.
//
// The guard touches and not the owner, because a touch may be invalid, if the range was freed, and
// only the guard, in front of SIGSEGV, can continue after that. Cost: a load if there is no window;
// a comparison for each window otherwise. A window beyond the 128th is refused, which its owner
// reports.
#include "face/guard/state.hpp"
#include "sluice/guard.h"

namespace sluice::guard {
namespace {

constexpr int window_limit = 128;

struct Window {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::size_t> size{0};  // 0: matches nothing
};
constinit Window windows[window_limit] = {};
constinit std::atomic<int> places_used{0};  // those behind have never had a window

// Calls `act(begin, size)` for each part of the stretch that lies in a window, until it returns
// false.
template <typename Act>
bool for_each_part(std::uintptr_t begin, std::size_t size, Act&& act) noexcept {
  const int used = places_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    const std::uintptr_t first = windows[i].begin.load(std::memory_order_acquire);
    const std::size_t room = windows[i].size.load(std::memory_order_acquire);
    if (room == 0 || begin >= first + room || size == 0) continue;
    const std::uintptr_t from = begin > first ? begin : first;
    const std::uintptr_t stretch_end = begin + size < begin ? ~std::uintptr_t{0} : begin + size;
    const std::uintptr_t to = stretch_end < first + room ? stretch_end : first + room;
    if (from < to && !act(from, to - from)) return false;
  }
  return true;
}

}  // namespace

bool has_windows() noexcept { return places_used.load(std::memory_order_relaxed) != 0; }

bool is_managed(const void* place, std::size_t size) noexcept {
  if (!has_windows()) return false;
  return !for_each_part(reinterpret_cast<std::uintptr_t>(place), size,
                        [](std::uintptr_t, std::size_t) { return false; });
}

bool touch_managed(const void* place, std::size_t size, bool writes) noexcept {
  if (!has_windows()) return true;
  return for_each_part(
      reinterpret_cast<std::uintptr_t>(place), size,
      [writes](std::uintptr_t from, std::size_t part) { return try_touch(from, part, writes); });
}

}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

extern "C" int sluice_guard_add_window(uintptr_t begin, size_t size) {
  ensure_ready();
  for (int i = 0; i < window_limit; ++i) {
    std::uintptr_t none = 0;
    if (!windows[i].begin.compare_exchange_strong(none, begin)) continue;
    windows[i].size.store(size, std::memory_order_release);
    int used = places_used.load();
    while (used <= i && !places_used.compare_exchange_weak(used, i + 1)) {
    }
    return 0;
  }
  return -1;
}

extern "C" void sluice_guard_remove_window(uintptr_t begin) {
  for (Window& window : windows) {
    if (window.begin.load() != begin) continue;
    window.size.store(0, std::memory_order_release);
    window.begin.store(0, std::memory_order_release);
  }
}
