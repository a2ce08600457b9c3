// The C face of hints, data, leases, queries and pools.
#include <bit>

#include "face/c/support.hpp"
#include "face/cpp/space_source.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

// --- hints and data -----------------------------------------------------------------------------------------------------

enum sluice_status sluice_prefetch(const sluice_space* space, const void* data, size_t size, int to,
                                   struct sluice_fence* fence) {
  SLUICE_REQUIRE(space);
  return run_for(
      [&]() -> Result<Fence> {
        SLUICE_ASSIGN(location, location_of(to));
        return space->space.prefetch(data, size, location);
      },
      [&](const Fence& submitted) { give(fence, c::fence(submitted)); });
}

enum sluice_status sluice_advise(const sluice_space* space, const void* data, size_t size,
                                 enum sluice_advice advice, int location) {
  SLUICE_REQUIRE(space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(kind, checked<AdviceKind>(advice, SLUICE_NOT_READ_MOSTLY, "advice"));
    SLUICE_ASSIGN(where, location_of(location));
    return space->space.advise(data, size, kind, where);
  });
}

enum sluice_status sluice_discard(const sluice_space* space, void* data, size_t size) {
  SLUICE_REQUIRE(space);
  return run([&] { return space->space.discard(data, size); });
}

enum sluice_status sluice_copy(const sluice_space* space, void* to, const void* from, size_t size) {
  SLUICE_REQUIRE(space);
  return run([&] { return space->space.copy(to, from, size); });
}

enum sluice_status sluice_lease_begin(const sluice_space* space, const void* data, size_t size,
                                      int location, enum sluice_access access,
                                      sluice_lease** lease) {
  SLUICE_REQUIRE(space);
  SLUICE_REQUIRE(lease);
  return run_for(
      [&]() -> Result<Lease> {
        SLUICE_ASSIGN(where, location_of(location));
        SLUICE_ASSIGN(how, checked<Access>(access, SLUICE_WRITE, "access"));
        return space->space.lease(data, size, where, how);
      },
      [&](Lease begun) { *lease = new sluice_lease{std::move(begun)}; });
}

void sluice_lease_end(sluice_lease* lease) { delete lease; }

// --- queries ------------------------------------------------------------------------------------------------------------

enum sluice_status sluice_range_of(const sluice_space* space, const void* address,
                                   struct sluice_range_info* info) {
  SLUICE_REQUIRE(space);
  return query(
      info, "struct sluice_range_info", [&] { return space->space.range_of(address); },
      [](const RangeInfo& found) {
        return sluice_range_info{0, found.base, found.size, static_cast<sluice_kind>(found.kind),
                                 found.device};
      });
}

enum sluice_status sluice_page_residency(const sluice_space* space, const void* address,
                                         struct sluice_residency* residency) {
  SLUICE_REQUIRE(space);
  return query(
      residency, "struct sluice_residency", [&] { return space->space.residency(address); },
      [](const Residency& now) {
        return sluice_residency{0,
                                locations(now.holders),
                                locations(now.writers),
                                locations(now.readers),
                                locations(now.reached_by),
                                now.lost ? 1 : 0};
      });
}

enum sluice_status sluice_count_residency(const sluice_space* space, const void* data, size_t size,
                                          struct sluice_residency_summary* summary) {
  SLUICE_REQUIRE(space);
  return query(
      summary, "struct sluice_residency_summary",
      [&] { return space->space.residency(data, size); },
      [](const ResidencySummary& now) {
        sluice_residency_summary out{0, now.pages, now.untouched, now.host, now.lost, {}};
        std::copy(std::begin(now.device), std::end(now.device), out.device);
        return out;
      });
}

enum sluice_status sluice_page_attributes(const sluice_space* space, const void* address,
                                          struct sluice_attributes* attributes) {
  SLUICE_REQUIRE(space);
  return query(
      attributes, "struct sluice_attributes", [&] { return space->space.attributes(address); },
      [](const Attributes& now) {
        return sluice_attributes{0, now.preferred ? 1 : 0,
                                 number_of(now.preferred.value_or(Location::host())),
                                 now.read_mostly ? 1 : 0, locations(now.accessed_by)};
      });
}

size_t sluice_explain(const sluice_space* space, const void* address, char* text, size_t capacity) {
  return write_text(space == nullptr ? "no space" : space->space.explain(address), text, capacity);
}

// --- pools --------------------------------------------------------------------------------------------------------------

enum sluice_status sluice_pool_create(const sluice_space* space, enum sluice_kind kind,
                                      sluice_pool** pool) {
  SLUICE_REQUIRE(space);
  SLUICE_REQUIRE(pool);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(checked_kind, checked<Kind>(kind, SLUICE_KIND_DEVICE, "kind"));
    SLUICE_TRY(SpaceSource::check(space->space, checked_kind));
    *pool = new sluice_pool{PiecePool(std::make_unique<SpaceSource>(space->space, checked_kind))};
    return {};
  });
}

void sluice_pool_destroy(sluice_pool* pool) { delete pool; }

enum sluice_status sluice_pool_allocate(sluice_pool* pool, size_t size, size_t alignment,
                                        void** piece) {
  SLUICE_REQUIRE(pool);
  SLUICE_REQUIRE(piece);
  return run_for(
      [&]() -> Result<void*> {
        if (!std::has_single_bit(alignment)) {
          return fail(ErrorCode::invalid_argument, "an alignment of %zu is no power of two",
                      alignment);
        }
        return pool->pieces.allocate(size, alignment);
      },
      [&](void* allocated) { *piece = allocated; });
}

void sluice_pool_free(sluice_pool* pool, void* piece, size_t size, size_t alignment) {
  if (pool != nullptr && piece != nullptr) pool->pieces.free(piece, size, alignment);
}

size_t sluice_pool_held(const sluice_pool* pool) {
  return pool == nullptr ? 0 : pool->pieces.held();
}
