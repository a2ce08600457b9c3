// Judges an access and words the finding. Pure but for dladdr(3), which gives the name of a launch
// site.
//
// Naming counts in whole pages, because page tables do: an access beyond the named bytes, in the
// same page, is not detectable. Bytes in the texts are those that the program named. What it does
// not do: know the program's name for its memory. Texts say `pointer` for it.
#include "engine/undeclared.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "engine/range.hpp"

namespace sluice::engine {
namespace {

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return std::string(
      line, std::min<std::size_t>(static_cast<std::size_t>(std::max(length, 0)), sizeof line - 1));
}

const char* verb(Access access) noexcept { return access == Access::read ? "read" : "wrote"; }
const char* member(Access access) noexcept { return access == Access::read ? ".reads" : ".writes"; }

AddressSpan pages_of(AddressSpan span) noexcept {
  const Address begin{round_down(span.begin.value, page_size)};
  return {begin, round_up(span.end().value, page_size) - begin.value};
}

// Where the program gave a number of elements for a size, the bytes that it meant reach to the
// range's end, or very nearly.
std::size_t element_size(const KernelAccess& access, const Use& use) noexcept {
  const std::size_t rest = access.range.end() - use.span.begin;
  for (const std::size_t size : {std::size_t{4}, std::size_t{8}, std::size_t{2}, std::size_t{16}})
    if (use.span.size * size == rest) return size;
  return 0;
}

// The one part of the range that the launch names; null if there are several.
const Use* only_part(const KernelAccess& access, std::span<const Use> named) noexcept {
  const Use* only = nullptr;
  for (const Use& use : named) {
    if (!pages_of(access.range).overlaps(use.span)) continue;
    if (only != nullptr && only->span != use.span) return nullptr;
    only = &use;
  }
  return only;
}

std::string advise_beyond(const KernelAccess& access, std::span<const Use> named) {
  const Use* const only = only_part(access, named);
  const std::size_t offset = access.address - access.range.begin;
  if (only == nullptr)
    return text("name byte %zu and what else it touches too: %s(pointer, size)", offset,
                member(access.access));
  const AddressSpan span = only->span;
  const char* const name =
      member(std::max(access.access, only->access));  // reading is part of writing
  if (const std::size_t size = element_size(access, *only);
      size != 0 && access.address >= span.end())
    return text(
        "write %s(pointer, %zu): a size counts bytes, and %zu elements of %zu bytes are %zu bytes",
        name, span.size * size, span.size, size, span.size * size);
  if (access.address < span.begin)
    return text(
        "the named part begins at least %zu bytes too late: a halo? write %s(pointer - %zu, "
        "%zu), or name both parts",
        span.begin - access.address, name, span.begin - access.address,
        span.end() - access.address);
  return text(
      "the named part ends at least %zu bytes too early: write %s(pointer, size) with a size "
      "of at least %zu bytes",
      access.address + 1 - span.end(), name, access.address + 1 - span.begin);
}

}  // namespace

std::optional<FindingKind> judge(const KernelAccess& access, std::span<const Use> named) noexcept {
  bool any = false;
  bool to_read = false;
  for (const Use& use : named) {
    if (use.span.size == 0) continue;
    if (pages_of(use.span).contains(access.address)) {
      if (use.access == Access::write || access.access == Access::read) return std::nullopt;
      to_read = true;
    }
    any = any || pages_of(access.range).overlaps(use.span);
  }
  if (to_read) return FindingKind::named_read;
  return any ? FindingKind::beyond : FindingKind::not_named;
}

std::string describe_named(AddressSpan range, std::span<const Use> named) {
  constexpr std::size_t most = 8;
  std::string result;
  std::size_t count = 0;
  for (const Use& use : named) {
    if (!pages_of(range).overlaps(use.span) || ++count > most) continue;
    if (!result.empty()) result += ", ";
    const std::size_t first = use.span.begin - range.begin;
    result += text("bytes %zu to %zu to %s", first, first + use.span.size - 1,
                   use.access == Access::read ? "read" : "write");
  }
  if (count > most) result += text(" and %zu more parts", count - most);
  return result.empty() ? "nothing" : result;
}

std::string advise(FindingKind kind, const KernelAccess& access, std::span<const Use> named) {
  switch (kind) {
    case FindingKind::not_named:
      return text(
          "write %s(pointer, %zu) for all of the range, or name the part that it touches; a "
          "kernel that follows pointers needs what they lead to, or .every_shared_range()",
          member(access.access), access.range.size);
    case FindingKind::beyond:
      return advise_beyond(access, named);
    case FindingKind::named_read:
      return "write .writes(...) instead of .reads(...) for what the kernel writes";
  }
  return {};
}

std::string describe(const LaunchSite& site) {
  if (site.source != nullptr && site.source->line != 0)
    return text("%s:%u, in %s", site.source->file, site.source->line, site.source->function);
  Dl_info info{};
  if (site.caller == nullptr || dladdr(site.caller, &info) == 0 || info.dli_fname == nullptr)
    return text("%p", site.caller);
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(site.caller) -
                                               static_cast<const char*>(info.dli_fbase));
  if (info.dli_sname == nullptr) return text("%s+%#zx", info.dli_fname, offset);
  return text("%s+%#zx (%s)", info.dli_fname, offset, info.dli_sname);
}

Finding find(FindingKind kind, const KernelAccess& access, std::span<const Use> named,
             const LaunchSite& site) {
  Finding finding;
  finding.kind = kind;
  finding.access = access.access;
  finding.kernel = access.kernel;
  finding.device = access.device;
  finding.address = reinterpret_cast<const void*>(access.address.value);
  finding.range = reinterpret_cast<const void*>(access.range.begin.value);
  finding.range_size = access.range.size;
  finding.range_name = access.name;
  finding.range_kind = access.kind;
  finding.offset = access.address - access.range.begin;
  finding.site = describe(site);
  finding.named = describe_named(access.range, named);
  finding.advice = advise(kind, access, named);
  finding.text = text(
      "kernel '%s' on device %d %s byte %zu (%#lx) of the %s range%s at %#lx, "
      "%zu bytes, which its launch %s\n",
      access.kernel.c_str(), access.device, verb(access.access), finding.offset,
      access.address.value, to_string(access.kind).data(), label_of(access.name).c_str(),
      access.range.begin.value, access.range.size,
      kind == FindingKind::named_read ? "names for reading only" : "does not name");
  finding.text += "  launched at " + finding.site + "\n";
  finding.text += "  of that range the launch names " + finding.named + "\n";
  finding.text += "  " + finding.advice + "\n";
  return finding;
}

Error describe_end(FindingKind kind, const KernelAccess& access, int queue,
                   std::span<const Use> named) noexcept {
  const auto in_range = [&](const Use& use) { return pages_of(access.range).overlaps(use.span); };
  const auto first = std::find_if(named.begin(), named.end(), in_range);
  char name[32] = "";  // or the end of the text would have no place
  if (!access.name.empty()) std::snprintf(name, sizeof name, " '%.24s'", access.name.c_str());
  char names[80] = "names nothing of that";
  if (first != named.end()) {
    const std::size_t begin = first->span.begin - access.range.begin;
    std::snprintf(names, sizeof names, "names bytes %zu to %zu to %s%s", begin,
                  begin + first->span.size - 1, first->access == Access::read ? "read" : "write",
                  std::any_of(first + 1, named.end(), in_range) ? ", and more" : "");
  }
  return {ErrorCode::device_fault,
          "device %d, queue %d: kernel '%.40s' %s %#lx, byte %zu of the range%s at %#lx; its "
          "launch %s: %s; the queue has stopped",
          access.device,
          queue,
          access.kernel.c_str(),
          verb(access.access),
          access.address.value,
          access.address - access.range.begin,
          name,
          access.range.begin.value,
          names,
          kind == FindingKind::named_read ? "write .writes for .reads"
          : access.access == Access::read ? "add .reads of it"
                                          : "add .writes of it"};
}

std::string summarize(const Finding& finding) {
  return text(
      "kernel '%s' %s %llu page%s, bytes %zu to %zu, of the range%s at %p in %llu launch%s: %s",
      finding.kernel.c_str(), verb(finding.access), static_cast<unsigned long long>(finding.pages),
      finding.pages == 1 ? "" : "s", finding.touched_begin, finding.touched_end - 1,
      label_of(finding.range_name).c_str(), finding.range,
      static_cast<unsigned long long>(finding.launches), finding.launches == 1 ? "" : "es",
      to_string(finding.kind).data());
}

}  // namespace sluice::engine
