// The C face of hints, data, leases, queries and pools.
#include <bit>

#include "face/c/support.hpp"
#include "face/cpp/space_source.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

// --- hints and data ------------------------------------------------------------------------------

enum sluice_status sluice_prefetch(const sluice_space* space, const void* data, size_t size, int to,
                                   struct sluice_fence* fence) {
  SLUICE_HOLD(held, space);
  return run_for(
      [&]() -> Result<Fence> {
        SLUICE_ASSIGN(location, location_of(to));
        return held->space.prefetch(data, size, location);
      },
      [&](const Fence& submitted) { give(fence, c::fence(submitted)); });
}

enum sluice_status sluice_advise(const sluice_space* space, const void* data, size_t size,
                                 enum sluice_advice advice, int location) {
  SLUICE_HOLD(held, space);
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(kind, checked<AdviceKind>(advice, SLUICE_ADVICE_NOT_READ_MOSTLY, "advice"));
    SLUICE_ASSIGN(where, location_of(location));
    return held->space.advise(data, size, kind, where);
  });
}

enum sluice_status sluice_discard(const sluice_space* space, void* data, size_t size) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.discard(data, size); });
}

enum sluice_status sluice_copy(const sluice_space* space, void* to, const void* from, size_t size) {
  SLUICE_HOLD(held, space);
  return run([&] { return held->space.copy(to, from, size); });
}

enum sluice_status sluice_lease_begin(const sluice_space* space, const void* data, size_t size,
                                      int location, enum sluice_access access,
                                      sluice_lease** lease) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(lease);
  return run_for(
      [&]() -> Result<sluice_lease*> {
        SLUICE_ASSIGN(where, location_of(location));
        SLUICE_ASSIGN(how, checked<Access>(access, SLUICE_ACCESS_WRITE, "access"));
        SLUICE_ASSIGN(begun, held->space.lease(data, size, where, how));
        return own<sluice_lease>(std::move(begun));
      },
      [&](sluice_lease* begun) { *lease = begun; });
}

void sluice_lease_end(sluice_lease* lease) { destroy(lease); }

// --- queries -------------------------------------------------------------------------------------

enum sluice_status sluice_range_of(const sluice_space* space, const void* address,
                                   struct sluice_range_info* info) {
  SLUICE_HOLD(held, space);
  return query(
      info, "struct sluice_range_info", [&] { return held->space.range_of(address); },
      [](const RangeInfo& found) {
        sluice_range_info out{
            0, found.base, found.size, static_cast<sluice_kind>(found.kind), found.device, ""};
        write_text(found.name, out.name);
        return out;
      });
}

enum sluice_status sluice_page_residency(const sluice_space* space, const void* address,
                                         struct sluice_residency* residency) {
  SLUICE_HOLD(held, space);
  return query(
      residency, "struct sluice_residency", [&] { return held->space.residency(address); },
      [](const Residency& now) {
        return sluice_residency{0,
                                locations(now.holders),
                                locations(now.writers),
                                locations(now.readers),
                                locations(now.host_mapped_on),
                                now.lost ? 1 : 0};
      });
}

enum sluice_status sluice_count_residency(const sluice_space* space, const void* data, size_t size,
                                          struct sluice_residency_summary* summary) {
  SLUICE_HOLD(held, space);
  return query(
      summary, "struct sluice_residency_summary", [&] { return held->space.residency(data, size); },
      [](const ResidencySummary& now) {
        sluice_residency_summary out{0, now.pages, now.untouched, now.host, now.lost, {}};
        std::copy(std::begin(now.device), std::end(now.device), out.device);
        return out;
      });
}

enum sluice_status sluice_page_attributes(const sluice_space* space, const void* address,
                                          struct sluice_attributes* attributes) {
  SLUICE_HOLD(held, space);
  return query(
      attributes, "struct sluice_attributes", [&] { return held->space.attributes(address); },
      [](const Attributes& now) {
        return sluice_attributes{0, now.preferred ? 1 : 0,
                                 number_of(now.preferred.value_or(Location::host())),
                                 now.read_mostly ? 1 : 0, locations(now.accessed_by)};
      });
}

size_t sluice_explain(const sluice_space* space, const void* address, char* text, size_t capacity) {
  const Held held(space);
  if (!held) return write_text("no space", text, capacity);
  return run_or(std::size_t{0},
                [&] { return write_text(held->space.explain(address), text, capacity); });
}

// --- pools ---------------------------------------------------------------------------------------

enum sluice_status sluice_pool_create(const sluice_space* space, enum sluice_kind kind,
                                      sluice_pool** pool) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(pool);
  return run_for(
      [&]() -> Result<sluice_pool*> {
        SLUICE_ASSIGN(checked_kind, checked<Kind>(kind, SLUICE_KIND_DEVICE, "kind"));
        SLUICE_TRY(SpaceSource::check(held->space, checked_kind));
        return own<sluice_pool>(std::make_unique<SpaceSource>(held->space, checked_kind));
      },
      [&](sluice_pool* made) { *pool = made; });
}

void sluice_pool_destroy(sluice_pool* pool) { destroy(pool); }

enum sluice_status sluice_pool_allocate(sluice_pool* pool, size_t size, size_t alignment,
                                        void** piece) {
  SLUICE_HOLD(held, pool);
  SLUICE_REQUIRE(piece);
  return run_for(
      [&]() -> Result<void*> {
        if (!std::has_single_bit(alignment)) {
          return fail(ErrorCode::invalid_argument, "an alignment of %zu is no power of two",
                      alignment);
        }
        return held->pieces.allocate(size, alignment);
      },
      [&](void* allocated) { *piece = allocated; });
}

void sluice_pool_free(sluice_pool* pool, void* piece, size_t size, size_t alignment) {
  const Held held(pool);
  if (!held || piece == nullptr) return;
  if (const Result<void> freed = held->pieces.free(piece, size, alignment); !freed)
    static_cast<void>(report(freed.error()));
}

size_t sluice_pool_held(const sluice_pool* pool) {
  const Held held(pool);
  return held ? held->pieces.held() : 0;
}
