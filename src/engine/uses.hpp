// UseList: which launches still use which bytes. The fences of kernels are kept here, by the spans
// that they may touch.
//
// Not thread-safe: guarded by the tracker. Reading never allocates; adding may, and happens on
// launching threads only. A queue completes in order, so a newer launch of the same queue on the
// same span stands for the older one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "device/device.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

struct ActiveUse {
  AddressSpan span;
  device::Fence fence;
  bool writes = false;
  bool recoverable = false;  // the device takes page faults: its rights can be taken while it runs
  std::uint64_t launch = 0;  // its number, of a use of every range
};

// Selects the uses that are in the way of an access.
enum class Interest : std::uint8_t {
  writers,  // kernels that may be writing the bytes: a reader or a new owner must wait for them
  users,    // and kernels that may be reading them: taking away the mapping must wait
  all,      // and those on devices with recoverable faults: ending the bytes' life must wait
};

constexpr AddressSpan everywhere{Address{0}, ~std::size_t{0}};

class UseList {
 public:
  void add(const ActiveUse& use, const transfer::Timelines& timelines);
  // Reserves memory so that this many calls of add() cannot fail.
  void reserve(std::size_t more);

  // Calls `visit(const ActiveUse&)` for every use that overlaps `span`, is of interest and may be
  // pending; stops when it returns true.
  template <typename Visitor>
  bool find(AddressSpan span, Interest interest, const transfer::Timelines& timelines,
            Visitor&& visit) const {
    for (const ActiveUse& use : uses_) {
      if (!use.span.overlaps(span)) continue;
      if (interest != Interest::all && use.recoverable) continue;
      if (interest == Interest::writers && !use.writes) continue;
      if (!timelines.may_be_pending(use.fence)) continue;
      if (visit(use)) return true;
    }
    return false;
  }
  [[nodiscard]] const std::vector<ActiveUse>& uses() const noexcept { return uses_; }

 private:
  std::vector<ActiveUse> uses_;
  std::size_t prune_at_ =
      8;  // doubles while uses stay pending, so that adding costs constant time on average
};

}  // namespace sluice::engine
