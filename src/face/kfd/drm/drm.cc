// The few calls of drm.hpp. Command submission and buffers of the graphics side are not served.
#include "face/kfd/drm/drm.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "face/kfd/topology/chip.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint32_t version_call = 0x00;
constexpr std::uint32_t info_call = 0x45;

struct VersionText {
  std::uint64_t size, address;
};
struct Version {
  std::int32_t major, minor, patch;
  std::int32_t pad;
  VersionText name, date, description;
};

struct InfoRequest {
  std::uint64_t address;
  std::uint32_t size, query;
  std::array<std::uint32_t, 4> more;
};
constexpr std::uint32_t accel_is_working = 0x00;
constexpr std::uint32_t read_register = 0x15;
constexpr std::uint32_t device_info = 0x16;
// GB_ADDR_CONFIG of gfx9, which libdrm reads on every GPU: its place and value.
constexpr std::uint32_t address_config = 0x263e;
constexpr std::uint32_t address_config_of_gfx9 = 0x104042;

// The beginning of struct drm_amdgpu_info_device; all after it is 0.
struct DeviceInfo {
  std::uint32_t device_id, chip_rev, external_rev, pci_rev, family, shader_engines,
      arrays_per_engine, counter_khz;
  std::uint64_t engine_khz, memory_khz;
  std::uint32_t active_units, always_on_mask;
  std::array<std::uint32_t, 16> unit_bitmap;
  std::uint32_t render_backend_mask, render_backends, contexts, pad;
  std::uint64_t flags, address_begin, address_end;
  std::uint32_t address_alignment, fragment_bytes, page_bytes, ce_ram_bytes, vram_type, vram_width;
};
constexpr std::size_t whole_device_info = 512;

// As much of the text as there is room for; the size that it has (drm_copy_field).
bool copy_text(VersionText& field, std::string_view text, Surroundings& surroundings) {
  const std::size_t room = std::min<std::uint64_t>(field.size, text.size());
  field.size = text.size();
  if (room == 0 || field.address == 0) return true;
  return surroundings.write(field.address, std::as_bytes(std::span(text.substr(0, room))));
}

int tell_version(std::span<std::byte> arguments, Surroundings& surroundings) {
  Version version{};
  if (arguments.size() < sizeof version) return EINVAL;
  std::memcpy(&version, arguments.data(), sizeof version);
  version.major = 3;
  version.minor = 49;
  version.patch = 0;
  const bool copied = copy_text(version.name, "amdgpu", surroundings) &&
                      copy_text(version.date, "20150101", surroundings) &&
                      copy_text(version.description, "AMD GPU", surroundings);
  if (!copied) return EFAULT;
  std::memcpy(arguments.data(), &version, sizeof version);
  return 0;
}

DeviceInfo device_info_of(const MachineSpec& spec) {
  const ChipFacts chip = facts_of(spec.chip);
  constexpr std::uint32_t page = 4096;
  constexpr std::uint32_t hbm = 6;
  DeviceInfo info{};
  info.device_id = chip.device_id;
  info.external_rev = 1;
  info.family = chip.family;
  info.shader_engines = chip.arrays;
  info.arrays_per_engine = 1;
  info.counter_khz = 100'000;
  info.engine_khz = std::uint64_t{chip.clock_mhz} * 1000;
  info.memory_khz = std::uint64_t{chip.memory_clock_mhz} * 1000;
  info.active_units = chip.compute_units;
  info.address_begin = std::uint64_t{2} << 20;
  info.address_end = std::uint64_t{1} << 47;
  info.address_alignment = page;
  info.fragment_bytes = page << 9;
  info.page_bytes = page;
  info.vram_type = hbm;
  info.vram_width = chip.memory_width;
  return info;
}

int tell_info(const MachineSpec& spec, std::span<const std::byte> arguments,
              Surroundings& surroundings) {
  InfoRequest asked{};
  if (arguments.size() < sizeof asked) return EINVAL;
  std::memcpy(&asked, arguments.data(), sizeof asked);
  if (asked.size == 0 || asked.address == 0) return EINVAL;
  std::array<std::byte, whole_device_info> answer{};
  std::size_t size = sizeof(std::uint32_t);
  if (asked.query == accel_is_working) {
    const std::uint32_t yes = 1;
    std::memcpy(answer.data(), &yes, sizeof yes);
  } else if (asked.query == read_register) {
    if (asked.more[0] != address_config || asked.more[1] != 1) return EFAULT;
    std::memcpy(answer.data(), &address_config_of_gfx9, size);
  } else if (asked.query == device_info) {
    const DeviceInfo info = device_info_of(spec);
    std::memcpy(answer.data(), &info, sizeof info);
    size = answer.size();
  } else {
    return ENOTTY;
  }
  const auto told = std::span(answer).first(std::min<std::size_t>(size, asked.size));
  return surroundings.write(asked.address, told) ? 0 : EFAULT;
}

}  // namespace

int drm_call(const MachineSpec& spec, std::uint32_t request, std::span<std::byte> arguments,
             Surroundings& surroundings) {
  switch (request & 0xff) {
    case version_call:
      return tell_version(arguments, surroundings);
    case info_call:
      return tell_info(spec, arguments, surroundings);
    default:
      return ENOTTY;
  }
}

}  // namespace sluice::kfd
