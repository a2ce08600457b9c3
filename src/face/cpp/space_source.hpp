// SpaceSource: the ranges of a space as a source for a piece pool.
#pragma once

#include "face/cpp/inside.hpp"
#include "pool/piece_pool.hpp"

namespace sluice {

class SpaceSource final : public RangeSource {
 public:
  SpaceSource(const Space& space, Kind kind) noexcept : space_(space), kind_(kind) {}

  // Checks that pools of this kind can work in the space, so that creating the pool fails and not
  // its first allocation.
  [[nodiscard]] static Result<void> check(const Space& space, Kind kind) {
    if (kind == Kind::device) {
      return fail(ErrorCode::invalid_argument,
                  "a pool of kind device: pieces are for the host to build things in");
    }
    if (kind == Kind::shared && space.status().grade == Grade::none) {
      return fail(ErrorCode::unsupported,
                  "a pool of kind shared, but host accesses cannot be caught here (grade none)");
    }
    return {};
  }

  [[nodiscard]] Result<std::byte*> take(std::size_t size) override {
    return space_.allocate(size, kind_).map([](Range&& range) { return range.release(); });
  }
  // Freeing a range of the pool can only be refused for a lease; then it stays until the space
  // ends.
  void give_back(std::byte* base) noexcept override { static_cast<void>(space_.free(base)); }
  // Smaller ranges may share a segment.
  [[nodiscard]] std::size_t alignment_of(std::size_t size) const noexcept override {
    return size < block_size ? PiecePool::slab_size : block_size;
  }

 private:
  Space space_;
  Kind kind_;
};

}  // namespace sluice
