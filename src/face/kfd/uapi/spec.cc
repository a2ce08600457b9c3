// Reads the text of `sluice run --kfd=...`. Strict: a word that is not understood would give a
// program another machine than the one its user asked for.
#include "face/kfd/uapi/spec.hpp"

#include <charconv>
#include <optional>

namespace sluice::kfd {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

tl::unexpected<Error> bad_spec_word(std::string_view word, const char* why) {
  return fail(ErrorCode::invalid_argument, "--kfd: '%.*s': %s (docs/kfd.md)",
              static_cast<int>(word.size()), word.data(), why);
}

std::optional<std::uint64_t> spec_number(std::string_view text, std::string_view* rest = nullptr) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view after(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (rest != nullptr)
    *rest = after;
  else if (!after.empty())
    return std::nullopt;
  return value;
}

// Whole pages, so many of a unit.
std::optional<std::uint64_t> spec_size(std::string_view text) {
  std::string_view unit;
  const auto count = spec_number(text, &unit);
  if (!count || *count == 0) return std::nullopt;
  const int shift = unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : -1;
  constexpr int most = 46;  // 64 TiB, far above any machine and far below an overflow
  if (shift < 0 || *count > (std::uint64_t{1} << (most - shift))) return std::nullopt;
  const std::uint64_t bytes = *count << shift;
  return bytes % 4096 == 0 ? std::optional(bytes) : std::nullopt;
}

Result<void> set_word(MachineSpec& spec, std::string_view word) {
  const std::size_t equals = word.find('=');
  const bool bare = equals == std::string_view::npos;
  const std::string_view key = bare ? "gpus" : word.substr(0, equals);
  const std::string_view value = bare ? word : word.substr(equals + 1);
  if (key == "gpus") {
    const auto count = spec_number(value);
    if (!count || *count < 1 || *count > most_gpus)
      return bad_spec_word(word, "expected 1 to 64 GPUs");
    spec.gpus = static_cast<int>(*count);
  } else if (key == "chip") {
    if (value != "gfx908" && value != "gfx90a" && value != "gfx942")
      return bad_spec_word(word, "expected gfx908, gfx90a or gfx942");
    spec.chip = value == "gfx908" ? Chip::gfx908 : value == "gfx90a" ? Chip::gfx90a : Chip::gfx942;
  } else if (key == "links") {
    if (value != "xgmi" && value != "pcie") return bad_spec_word(word, "expected xgmi or pcie");
    spec.links = value == "xgmi" ? Links::xgmi : Links::pcie;
  } else if (key == "vram" || key == "system") {
    const auto bytes = spec_size(value);
    if (!bytes) return bad_spec_word(word, "expected whole pages in KiB, MiB or GiB, up to 64 TiB");
    (key == "vram" ? spec.vram : spec.system) = *bytes;
  } else if (key == "xnack") {
    if (value != "0" && value != "1") return bad_spec_word(word, "expected 0 or 1");
    spec.xnack = value == "1";
  } else if (key == "bar") {
    if (value != "large" && value != "small") return bad_spec_word(word, "expected large or small");
    spec.large_bar = value == "large";
  } else {
    return bad_spec_word(word, "expected gpus=, chip=, links=, vram=, system=, xnack= or bar=");
  }
  return {};
}

}  // namespace

Result<MachineSpec> parse_spec(std::string_view text) {
  MachineSpec spec;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    SLUICE_TRY(set_word(spec, word));
  }
  if (spec.xnack && spec.chip == Chip::gfx908)
    return bad_spec_word("xnack=1", "gfx908 has no retry faults");
  return spec;
}

std::uint64_t vram_of(const MachineSpec& spec) noexcept {
  if (spec.vram != 0) return spec.vram;
  return spec.chip == Chip::gfx908 ? 32 * gib : spec.chip == Chip::gfx90a ? 64 * gib : 192 * gib;
}

int gpu_of_id(std::uint32_t id, int gpus) noexcept {
  for (int gpu = 0; gpu < gpus; ++gpu)
    if (gpu_id_of(gpu) == id) return gpu;
  return -1;
}

}  // namespace sluice::kfd
