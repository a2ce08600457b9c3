// Ownership: ranges and leases that end with their handles.
//
// A destructor cannot report. A range that cannot be freed then (it is leased) stays until its
// space ends, like a leak in the program; Range::free() reports the error.
#include "sluice/range.hpp"

#include <new>

#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"
#include "sluice/lease.hpp"

namespace sluice {
namespace {

// Frees the memory that `range` owns; on success it owns nothing afterwards.
Result<void> free_range(Range& range, const std::shared_ptr<engine::Engine>& engine,
                        engine::FreeMode mode) {
  const os::Uncancelled whole_call;
  if (!range) return {};
  SLUICE_TRY(engine->free(Address::of(range.data()), mode));
  [[maybe_unused]] const std::byte* freed = range.release();
  return {};
}

}  // namespace

Range::Range(Range&& other) noexcept
    : engine_(std::move(other.engine_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      kind_(other.kind_) {}

Range& Range::operator=(Range&& other) noexcept {
  Range taken(std::move(other));
  std::swap(engine_, taken.engine_);
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  std::swap(kind_, taken.kind_);
  return *this;
}

Range::~Range() {
  try {
    static_cast<void>(unmap_and_free());
  } catch (const std::bad_alloc&) {
    // There is no memory for the records that unmapping needs. As if it were leased, it stays until
    // its space ends.
    static_cast<void>(release());
  }
}

Result<void> Range::free() { return free_range(*this, engine_, engine::FreeMode::wait); }

Result<void> Range::free_if_idle() { return free_range(*this, engine_, engine::FreeMode::refuse); }

Result<void> Range::unmap_and_free() { return free_range(*this, engine_, engine::FreeMode::unmap); }

std::byte* Range::release() noexcept {
  engine_.reset();
  size_ = 0;
  return std::exchange(data_, nullptr);
}

Lease::Lease(Lease&& other) noexcept
    : engine_(std::move(other.engine_)), number_(std::exchange(other.number_, 0)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  Lease taken(std::move(other));
  std::swap(engine_, taken.engine_);
  std::swap(number_, taken.number_);
  return *this;
}

Lease::~Lease() { end(); }

void Lease::end() noexcept {
  const os::Uncancelled whole_call;
  if (number_ == 0) return;
  engine_->end_lease({std::exchange(number_, 0)});
  engine_.reset();
}

}  // namespace sluice
