// See status_page.hpp. Cost: a copy of some kilobytes. What it does not do: open or read files.
#include "observe/status_page.hpp"

#include <algorithm>

#include "base/plain_text.hpp"

namespace sluice::observe {
namespace {

template <std::size_t Size>
void check_text(StatusText<Size>& text) noexcept {
  text.back() = 0;
  const auto end = std::find(text.begin(), text.end(), 0);
  std::fill(end, text.end(), 0);
  make_plain(text.data(), static_cast<std::size_t>(end - text.begin()));
}

}  // namespace

std::optional<StatusPage> checked(const StatusPage& read) noexcept {
  if (read.magic != StatusPage::magic_word || read.version != StatusPage::current ||
      read.sequence % 2 != 0)
    return std::nullopt;
  StatusPage page = read;
  page.device_count = std::min(page.device_count, static_cast<std::uint32_t>(max_devices));
  page.listed_ranges =
      std::min(page.listed_ranges, static_cast<std::uint32_t>(StatusPage::most_ranges));
  check_text(page.program);
  check_text(page.grade);
  for (DeviceStatusEntry& device : page.devices) check_text(device.name);
  for (RangeStatusEntry& range : page.worst) check_text(range.name);
  return page;
}

}  // namespace sluice::observe
