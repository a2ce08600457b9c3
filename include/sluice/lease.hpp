// Lease: a promise that bytes stay where they are, for DMA, MPI, O_DIRECT, io_uring buffers,
// drivers of other vendors.
//
// While it lives, the bytes have a valid copy at its location that does not move and is not
// evicted; with Access::write it is the only copy. An operation that would have to move them is
// refused with `busy`, or ignored if it is a hint. Pages pinned by a DMA engine raise no fault when
// they move, so this is the only protection such transfers have
// (https://docs.kernel.org/core-api/pin_user_pages.html).
//
// Move-only. Distinct leases may be used from distinct threads at once; a lease keeps its space
// open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sluice/export.hpp"

namespace sluice {

namespace engine {
class Engine;
}

class SLUICE_EXPORT Lease {
 public:
  Lease() noexcept = default;  // holds nothing
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;  // ends the lease held before
  ~Lease();

  // True if a lease is held.
  explicit operator bool() const noexcept { return number_ != 0; }
  // Ends it now. Harmless on an empty lease.
  void end() noexcept;

 private:
  friend struct Inside;

  std::shared_ptr<engine::Engine> engine_;
  std::uint64_t number_ = 0;
};

}  // namespace sluice
