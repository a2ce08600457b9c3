// The registry of back ends.
//
// A kind of device is one line below: the namespace of its folder, which has a `back_end`. Nothing
// else outside of the folder knows the kind, so the registry declares the constants itself and
// includes no header of theirs. What it does not do: list devices that only a face can open (those
// of an OpenCL context; engine/external_backends.hpp), or open anything.
#include "device/backends.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "base/types.hpp"
#include "device/option_text.hpp"

#define SLUICE_BACK_ENDS(KIND) \
  KIND(soft)                   \
  KIND(cuda)

namespace sluice::device {

#define SLUICE_DECLARE(folder)   \
  namespace folder {             \
  extern const BackEnd back_end; \
  }
SLUICE_BACK_ENDS(SLUICE_DECLARE)
#undef SLUICE_DECLARE

namespace {

#define SLUICE_ADDRESS(folder) &folder::back_end,
constexpr std::array back_ends{SLUICE_BACK_ENDS(SLUICE_ADDRESS)};
#undef SLUICE_ADDRESS
#undef SLUICE_BACK_ENDS

// The kind of all the devices.
Result<const BackEnd*> kind_of(std::span<const DeviceRequest> requests) {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string& name = requests[i].back_end;
    if (std::ranges::find(back_ends, name, &BackEnd::name) == back_ends.end())
      return fail(ErrorCode::invalid_argument, "devices[%zu]: %s is no back end; there are: %s", i,
                  in_quotes(name).c_str(), list_of(back_ends, &BackEnd::name).c_str());
    if (name != requests.front().back_end)
      return fail(
          ErrorCode::invalid_argument,
          "devices[%zu] is of the back end %s and devices[0] of %s; a space has one kind of "
          "device",
          i, name.c_str(), requests.front().back_end.c_str());
  }
  return *std::ranges::find(back_ends, requests.front().back_end, &BackEnd::name);
}

Result<std::unique_ptr<DeviceGroup>> of_list(const SpaceOptions& options, bool limited) {
  if (options.devices.size() > static_cast<std::size_t>(max_devices))
    return fail(ErrorCode::invalid_argument, "devices has %zu entries; it may have %d",
                options.devices.size(), max_devices);
  for (const BackEnd* each : back_ends)
    if (each->shorthand != nullptr && each->shorthand->is_used(options))
      return fail(ErrorCode::invalid_argument,
                  "devices names %zu devices, and %s is set, too; name all devices in one place",
                  options.devices.size(), each->shorthand->field.data());
  SLUICE_ASSIGN(kind, kind_of(options.devices));
  return kind->of_requests(options.devices, limited);
}

Result<std::unique_ptr<DeviceGroup>> of_shorthands(const SpaceOptions& options, bool limited) {
  std::unique_ptr<DeviceGroup> found;
  const BackEnd::Shorthand* its = nullptr;
  for (const BackEnd* each : back_ends) {
    if (each->shorthand == nullptr) continue;
    SLUICE_ASSIGN(group, each->shorthand->devices(options, limited));
    if (group == nullptr) continue;
    if (found != nullptr)
      return fail(ErrorCode::invalid_argument,
                  "%s names %d devices and %s names %d; a space has one kind of device: set %s, or "
                  "%s",
                  its->field.data(), found->count(), each->shorthand->field.data(), group->count(),
                  its->none.data(), each->shorthand->none.data());
    found = std::move(group);
    its = each->shorthand;
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<DeviceGroup>> named_devices(const SpaceOptions& options, bool limited) {
  return options.devices.empty() ? of_shorthands(options, limited) : of_list(options, limited);
}

}  // namespace sluice::device
