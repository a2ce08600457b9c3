// Where the paths of the machine lead: to the files that `sluice run --kfd` wrote, or to a device.
#pragma once

#include <array>
#include <climits>
#include <optional>

namespace sluice::kfd {

// The GPU whose render node the path is; -1: it is /dev/kfd; none: it is another path.
[[nodiscard]] std::optional<int> device_at(const char* path) noexcept;

// A path, or where it leads instead.
class Path {
 public:
  explicit Path(const char* asked) noexcept;
  [[nodiscard]] const char* get() const noexcept { return path_; }

 private:
  const char* path_;
  std::array<char, PATH_MAX> elsewhere_;
};

}  // namespace sluice::kfd
