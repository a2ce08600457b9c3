// The C face of scopes on streams.
#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

namespace {

Result<StreamScope> begin(const Space& space, const struct sluice_scope_request* given) {
  SLUICE_ASSIGN(from, read_versioned(given, "struct sluice_scope_request"));
  SLUICE_ASSIGN(uses, list(from.uses, from.use_count, "uses"));
  SLUICE_ASSIGN(every, every_shared(from.every_shared_range));
  ScopeRequest request = space.on(static_cast<CUstream_st*>(from.stream), from.device);
  // NOLINTBEGIN(bugprone-use-after-move): each call gives the request itself back
  for (const sluice_use& use : uses) {
    SLUICE_ASSIGN(access, checked<Access>(use.access, SLUICE_ACCESS_WRITE, "access"));
    if (access == Access::write)
      std::move(request).writes(const_cast<void*>(use.data), use.size);
    else
      std::move(request).reads(use.data, use.size);
  }
  if (every) std::move(request).every_shared_range(*every);
  return std::move(request).begin();
  // NOLINTEND(bugprone-use-after-move)
}

}  // namespace

enum sluice_status sluice_scope_begin(const sluice_space* space,
                                      const struct sluice_scope_request* request,
                                      sluice_scope** scope) {
  SLUICE_HOLD(held, space);
  SLUICE_REQUIRE(scope);
  return run_for(
      [&]() -> Result<sluice_scope*> {
        SLUICE_ASSIGN(begun, begin(held->space, request));
        return own<sluice_scope>(std::move(begun));
      },
      [&](sluice_scope* begun) { *scope = begun; });
}

enum sluice_status sluice_scope_end(sluice_scope* scope, struct sluice_fence* fence) {
  // The handle ends first: of several threads one has the object, which is for one thread at a
  // time.
  void* object = nullptr;
  if (!handles::end(HandleKind::scope, scope, object))
    return report(Held<sluice_scope>(scope).error());
  const std::unique_ptr<sluice_scope> ended(static_cast<sluice_scope*>(object));
  return run_for([&] { return ended->scope.done(); },
                 [&](const Fence& end) { give(fence, c::fence(end)); });
}
