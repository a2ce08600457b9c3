// The C face of strict mode's findings.
#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<int>(FindingKind::named_read) == SLUICE_FINDING_NAMED_READ);
static_assert(static_cast<int>(Strict::stop) == SLUICE_STRICT_STOP);

size_t sluice_finding_count(const sluice_space* space) {
  const Held held(space);
  if (!held) return 0;
  return run_or(std::size_t{0}, [&] { return held->space.findings().size(); });
}

enum sluice_status sluice_finding_get(const sluice_space* space, size_t index,
                                      struct sluice_finding* finding) {
  SLUICE_HOLD(held, space);
  return query(
      finding, "struct sluice_finding",
      [&]() -> Result<Finding> {
        std::vector<Finding> all = held->space.findings();
        if (index < all.size()) return std::move(all[index]);
        return fail(ErrorCode::invalid_argument, "finding %zu: there are %zu", index, all.size());
      },
      [](const Finding& found) {
        struct sluice_finding out{};
        out.kind = static_cast<sluice_finding_kind>(found.kind);
        out.access = static_cast<sluice_access>(found.access);
        out.device = found.device;
        out.range_kind = static_cast<sluice_kind>(found.range_kind);
        out.address = found.address;
        out.range = found.range;
        out.range_bytes = found.range_size;
        out.offset = found.offset;
        out.touched_begin = found.touched_begin;
        out.touched_end = found.touched_end;
        out.pages = found.pages;
        out.launches = found.launches;
        write_text(found.kernel, out.kernel);
        write_text(found.range_name, out.range_name);
        return out;
      });
}

size_t sluice_finding_text(const sluice_space* space, size_t index, char* text, size_t capacity) {
  const Held held(space);
  if (!held) return write_text("", text, capacity);
  return run_or(std::size_t{0}, [&] {
    const std::vector<Finding> all = held->space.findings();
    return write_text(index < all.size() ? all[index].text : "", text, capacity);
  });
}
