// MemoryResource: a piece pool over the ranges of a space, with the interface of std::pmr.
#include "sluice/memory_resource.hpp"

#include <new>

#include "face/cpp/inside.hpp"
#include "face/cpp/space_source.hpp"
#include "os/uncancelled.hpp"

namespace sluice {

class MemoryResource::Pool {
 public:
  Pool(const Space& space, Kind kind)
      : kind_(kind), pieces_(std::make_unique<SpaceSource>(space, kind)) {}

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] PiecePool& pieces() noexcept { return pieces_; }

 private:
  Kind kind_;
  PiecePool pieces_;
};

Result<std::shared_ptr<MemoryResource>> MemoryResource::create(const Space& space, Kind kind) {
  const os::Uncancelled whole_call;
  SLUICE_TRY(SpaceSource::check(space, kind));
  return std::shared_ptr<MemoryResource>(new MemoryResource(std::make_unique<Pool>(space, kind)));
}

MemoryResource::MemoryResource(std::unique_ptr<Pool> pool) noexcept : pool_(std::move(pool)) {}

MemoryResource::~MemoryResource() = default;

Kind MemoryResource::kind() const noexcept { return pool_->kind(); }

std::size_t MemoryResource::held() const noexcept { return pool_->pieces().held(); }

void* MemoryResource::do_allocate(std::size_t size, std::size_t alignment) {
  const os::Uncancelled whole_call;
  const auto piece = pool_->pieces().allocate(size, alignment);
  if (!piece) throw std::bad_alloc();
  return *piece;
}

void MemoryResource::do_deallocate(void* piece, std::size_t size, std::size_t alignment) {
  const os::Uncancelled whole_call;
  // A foreign piece cannot be reported here; it is left unchanged.
  static_cast<void>(pool_->pieces().free(piece, size, alignment));
}

bool MemoryResource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  return this == &other;
}

}  // namespace sluice
