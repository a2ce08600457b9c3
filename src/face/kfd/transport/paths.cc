// Paths are compared as they are written: nobody asks for sysfs by a way around.
#include "face/kfd/transport/paths.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "face/kfd/topology/topology.hpp"
#include "os/environment.hpp"

namespace sluice::kfd {
namespace {

// A GPU's device file by its number, which ends the name of a folder.
constexpr std::string_view by_number = "/sys/dev/char/226:";

// All of the machine's: these files, and all below these folders.
constexpr std::array shown = std::to_array<std::string_view>({
    "/sys/devices/virtual/kfd",
    "/sys/module/amdgpu",
    "/proc/modules",
    "/dev/kfd",
    "/dev/dri",
    by_number,
});

bool is_at_or_below(std::string_view path, std::string_view folder) noexcept {
  if (folder == by_number) return path.starts_with(folder);
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

const char* tree() noexcept {
  static const char* const found = os::environment("SLUICE_KFD_TREE");
  return found;
}

}  // namespace

std::optional<int> device_at(const char* path) noexcept {
  constexpr std::string_view render = "/dev/dri/renderD";
  if (path == nullptr || tree() == nullptr) return std::nullopt;
  const std::string_view text(path);
  if (text == "/dev/kfd") return -1;
  if (!text.starts_with(render)) return std::nullopt;
  char* end = nullptr;
  const long minor = std::strtol(path + render.size(), &end, 10);
  if (end == path + render.size() || *end != 0 || minor < first_render_minor ||
      minor >= first_render_minor + most_gpus)
    return std::nullopt;
  return static_cast<int>(minor) - first_render_minor;
}

Path::Path(const char* asked) noexcept : path_(asked) {
  if (asked == nullptr || *asked != '/' || tree() == nullptr) return;
  const std::string_view text(asked);
  for (const std::string_view each : shown) {
    if (!is_at_or_below(text, each)) continue;
    const std::size_t prefix = std::strlen(tree());
    if (prefix + text.size() >= elsewhere_.size()) return;
    std::memcpy(elsewhere_.data(), tree(), prefix);
    std::memcpy(elsewhere_.data() + prefix, asked, text.size() + 1);
    path_ = elsewhere_.data();
    return;
  }
}

}  // namespace sluice::kfd
