// Names of the public enums and of locations, as reports and errors print them.
#include "sluice/finding.hpp"
#include "sluice/kind.hpp"
#include "sluice/location.hpp"
#include "sluice/options.hpp"

namespace sluice {

std::string_view to_string(Kind kind) noexcept {
  switch (kind) {
    case Kind::shared:
      return "shared";
    case Kind::host:
      return "host";
    case Kind::device:
      return "device";
  }
  return "unknown kind";
}

std::string_view to_string(Grade grade) noexcept {
  switch (grade) {
    case Grade::none:
      return "none";
    case Grade::signal:
      return "signal";
    case Grade::user:
      return "user";
    case Grade::full:
      return "full";
  }
  return "unknown grade";
}

std::string_view to_string(HostPages pages) noexcept {
  switch (pages) {
    case HostPages::automatic:
      return "automatic";
    case HostPages::small:
      return "small";
    case HostPages::transparent:
      return "transparent";
    case HostPages::huge:
      return "huge";
  }
  return "unknown pages";
}

std::string_view to_string(Strict strict) noexcept {
  switch (strict) {
    case Strict::automatic:
      return "automatic";
    case Strict::off:
      return "off";
    case Strict::report:
      return "report";
    case Strict::stop:
      return "stop";
  }
  return "unknown strict mode";
}

std::string_view to_string(FindingKind kind) noexcept {
  switch (kind) {
    case FindingKind::not_named:
      return "not named";
    case FindingKind::beyond:
      return "beyond what is named";
    case FindingKind::named_read:
      return "named for reading";
  }
  return "unknown finding";
}

std::string to_string(Location location) {
  return location.is_host() ? "host" : "device " + std::to_string(location.number());
}

}  // namespace sluice
