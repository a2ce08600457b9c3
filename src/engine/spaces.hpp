// Spaces: the live spaces of the process, found by address.
//
// A copy may name memory of any of them, and an error can say that an address belongs to another
// one. Looking up takes one mutex for a moment and goes through the few spaces that a process has;
// nothing on a fault path does it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/types.hpp"

namespace sluice::engine {

class RangeBytes;

namespace spaces {

// A number that no other space of this process has, except after four billion spaces; never 0.
[[nodiscard]] std::uint32_t next_number() noexcept;

// Registers a space, by the object that copies its bytes. `space` keeps all of it open.
void enter(const std::shared_ptr<RangeBytes>& space, AddressSpan window);
void leave(const RangeBytes& space) noexcept;

// Returns the space that owns an address of the span, kept open; null if there is none.
[[nodiscard]] std::shared_ptr<RangeBytes> touched_by(AddressSpan span) noexcept;

}  // namespace spaces
}  // namespace sluice::engine
