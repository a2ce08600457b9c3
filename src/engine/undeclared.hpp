// Undeclared accesses: detects that a launch does not name memory that its kernel touched, and
// words the missing part. Values in, text out.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "engine/requests.hpp"
#include "sluice/finding.hpp"

namespace sluice::engine {

// An access of a kernel, the range that it lies in, and what the launch names.
struct KernelAccess {
  std::string kernel;
  int device = -1;
  Address address;
  Access access = Access::read;
  AddressSpan range;  // the bytes that the program asked for, from the base on
  Kind kind = Kind::shared;
  std::string name;  // of the range; empty: none
};

// The error in an access; nothing if the launch names its page with sufficient rights. Naming
// counts in whole pages.
[[nodiscard]] std::optional<FindingKind> judge(const KernelAccess& access,
                                               std::span<const Use> named) noexcept;

// "nothing", or "bytes 0 to 4095 to read, bytes 8192 to 8199 to write": the named parts of the
// range, in the order of the launch.
[[nodiscard]] std::string describe_named(AddressSpan range, std::span<const Use> named);
// The code that the program should write.
[[nodiscard]] std::string advise(FindingKind kind, const KernelAccess& access,
                                 std::span<const Use> named);
// "file:line, in function"; without a source "module+offset (function)", as dladdr(3) knows it.
[[nodiscard]] std::string describe(const LaunchSite& site);

// Makes a new finding, with its text.
[[nodiscard]] Finding find(FindingKind kind, const KernelAccess& access, std::span<const Use> named,
                           const LaunchSite& site);
// The same in one line, as the error of a launch with a kernel that was ended.
[[nodiscard]] Error describe_end(FindingKind kind, const KernelAccess& access, int queue,
                                 std::span<const Use> named) noexcept;
// "kernel 'k' read 3 pages (bytes 4096 to 16383) ...": the final state of a finding.
[[nodiscard]] std::string summarize(const Finding& finding);

}  // namespace sluice::engine
