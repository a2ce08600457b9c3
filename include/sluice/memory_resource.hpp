// MemoryResource: a std::pmr::memory_resource over managed memory. Allocator<T>: the same for the
// other containers.
//
//   auto memory = sluice::MemoryResource::create(space);
//   std::pmr::vector<float> x(n, memory->get());
//
// Small pieces are cut from larger ranges (docs/api.md, "Containers"); the resource's metadata lies
// outside managed memory, so that allocating and freeing never moves a page. Pieces of one size
// share pages: give data that different devices write at the same time a resource, or at least a
// range, of its own.
//
// Thread-safe. Freeing a piece does not wait for kernels: wait for their fences first, as with any
// allocator. allocate() throws std::bad_alloc, because std::pmr has no other way to report failure;
// nothing else here throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <type_traits>
#include <utility>

#include "sluice/export.hpp"
#include "sluice/kind.hpp"
#include "sluice/result.hpp"
#include "sluice/space.hpp"

namespace sluice {

class SLUICE_EXPORT MemoryResource final : public std::pmr::memory_resource {
 public:
  // Keeps the space open.
  //   invalid_argument  Kind::device: containers are built by the host
  //   unsupported       Kind::shared under Grade::none
  [[nodiscard]] static Result<std::shared_ptr<MemoryResource>> create(const Space& space,
                                                                      Kind kind = Kind::shared);

  MemoryResource(const MemoryResource&) = delete;
  MemoryResource& operator=(const MemoryResource&) = delete;
  // Frees everything, including what was never deallocated. Waits for kernels that use it.
  ~MemoryResource() override;

  [[nodiscard]] Kind kind() const noexcept;
  // Bytes of ranges held now, used or not.
  [[nodiscard]] std::size_t held() const noexcept;

 private:
  class Pool;

  explicit MemoryResource(std::unique_ptr<Pool> pool) noexcept;
  [[nodiscard]] void* do_allocate(std::size_t size, std::size_t alignment) override;
  void do_deallocate(void* piece, std::size_t size, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  std::unique_ptr<Pool> pool_;
};

// For std::vector, std::map, ... Unlike std::pmr::polymorphic_allocator it keeps its resource alive
// and goes along when a container is assigned, moved or swapped.
template <typename T>
class Allocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  explicit Allocator(std::shared_ptr<MemoryResource> resource) noexcept
      : resource_(std::move(resource)) {}
  template <typename Other>
  // NOLINTNEXTLINE(google-explicit-constructor): the standard's allocator requirements
  Allocator(const Allocator<Other>& other) noexcept : resource_(other.resource()) {}

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(resource_->allocate(count * sizeof(T), alignof(T)));
  }
  void deallocate(T* piece, std::size_t count) noexcept {
    resource_->deallocate(piece, count * sizeof(T), alignof(T));
  }

  [[nodiscard]] const std::shared_ptr<MemoryResource>& resource() const noexcept {
    return resource_;
  }
  template <typename Other>
  friend bool operator==(const Allocator& a, const Allocator<Other>& b) noexcept {
    return a.resource_ == b.resource();
  }

 private:
  std::shared_ptr<MemoryResource> resource_;
};

}  // namespace sluice
