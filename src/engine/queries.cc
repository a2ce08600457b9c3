// Queries: snapshots of the engine's state. They take a block's mutex for a moment and never wait
// for a claim, so they answer while copies run.
#include "engine/queries.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

namespace sluice::engine {
namespace {

void add_set(std::string& text, const LocationSet& set) {
  const std::size_t begin = text.size();
  const auto add = [&](Location location) {
    if (!set.contains(location)) return;
    if (text.size() != begin) text += ", ";
    text += to_string(location);
  };
  add(Location::host());
  for (int number = 0; number < max_devices; ++number) add(Location::device(number));
}

template <typename... Arguments>
void add_line(std::string& text, const char* format, Arguments... arguments) {
  char line[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
  std::snprintf(line, sizeof line, format, arguments...);
#pragma GCC diagnostic pop
  text += line;
}

Residency residency_of(Block& block, std::uint32_t page) {
  const MutexLock lock(block.mutex);
  const BlockState& state = block.locked_state();
  Residency residency;
  residency.holders = state.directory.holders(page);
  residency.host_mapped_on = state.directory.host_mapped();
  residency.lost = state.directory.lost().contains(page);
  const auto add = [&](Location location) {
    const Rights rights = state.directory.rights(location, page);
    if (rights != Rights::none) residency.readers.insert(location);
    if (rights == Rights::write) residency.writers.insert(location);
  };
  add(Location::host());
  for (const directory::DeviceHolding& holding : state.directory.devices())
    add(Location::device(holding.device));
  return residency;
}

// As much of it as there is room for.
template <std::size_t Size>
void put_text(observe::StatusText<Size>& to, std::string_view text) noexcept {
  std::copy_n(text.begin(), std::min(text.size(), Size - 1), to.begin());
}

void add_advice(std::string& text, const Attributes& advice) {
  if (advice.preferred) {
    text += "\n  advice: preferred at ";
    text += to_string(*advice.preferred);
  }
  if (!advice.accessed_by.empty()) {
    text += "\n  advice: accessed by ";
    add_set(text, advice.accessed_by);
  }
  if (advice.read_mostly) text += "\n  advice: read mostly";
}

}  // namespace

Result<RangeInfo> Queries::range_of(Address address) const {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole({address, 1}));
  return RangeInfo{reinterpret_cast<void*>(range->pages.begin.value), range->size, range->kind,
                   range->device, range->name};
}

Result<Residency> Queries::residency(Address address) const {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole({address, 1}));
  Block& block = range->block_of(address);
  return residency_of(block, static_cast<std::uint32_t>((address - block.begin) / page_size));
}

Result<ResidencySummary> Queries::residency(AddressSpan span) const {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  ResidencySummary summary;
  for (std::size_t i = range->index_of(span.begin); i <= range->index_of(span.end() - 1); ++i) {
    Block& block = range->blocks[i];
    const PageMask pages = block.pages_in(span);
    const MutexLock lock(block.mutex);
    const BlockState& state = block.locked_state();
    summary.pages += pages.count();
    summary.untouched += (pages & state.directory.untouched()).count();
    summary.lost += (pages & state.directory.lost()).count();
    summary.host += (pages & state.directory.holding(Location::host()).resident).count();
    for (const directory::DeviceHolding& holding : state.directory.devices())
      summary.device[holding.device] += (pages & holding.pages.resident).count();
  }
  return summary;
}

void Queries::count_resident(std::vector<std::uint64_t>& bytes) const {
  bytes.assign(static_cast<std::size_t>(parts_.devices.count()) + 1, 0);
  for (const Pin& range : parts_.ranges.all())
    for (Block& block : range->blocks) {
      const MutexLock lock(block.mutex);
      const directory::BlockDirectory& directory = block.locked_state().directory;
      bytes[0] += directory.holding(Location::host()).resident.count() * page_size;
      for (const directory::DeviceHolding& holding : directory.devices())
        bytes[static_cast<std::size_t>(holding.device) + 1] +=
            holding.pages.resident.count() * page_size;
    }
}

Result<Attributes> Queries::attributes(Address address) const {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole({address, 1}));
  return range->advice_at(address);
}

std::string Queries::explain(Address address) const {
  std::string text;
  auto found = parts_.ranges.find_whole({address, 1});
  if (!found) {
    add_line(text, "%#lx: not managed memory: ", address.value);
    text += found.error().detail();
    return text + "\n";
  }
  Range& range = **found;
  Block& block = range.block_of(address);
  const auto page = static_cast<std::uint32_t>((address - block.begin) / page_size);
  add_line(text, "%#lx: byte %zu of the %s range%s at %#lx, %zu bytes\n", address.value,
           address - range.pages.begin, to_string(range.kind).data(), range.label(),
           range.pages.begin.value, range.size);
  add_line(text, "  page %u of block %zu%s\n", page, range.index_of(address),
           block.claim.is_held() ? ", which is changing right now" : "");
  const Residency residency = residency_of(block, page);
  {
    const MutexLock lock(block.mutex);
    const BlockState& state = block.locked_state();
    add_line(text, "  state: %s", to_string(state.directory.state(page)));
    if (state.leases().any()) {
      add_line(text, "; %u leases keep it at ", state.leases().count());
      text += to_string(state.leases().location());
    }
    LocationSet mapped_on;
    for (const DevicePart& part : state.parts)
      if (state.mapped().rights(part.device) != Rights::none)
        mapped_on.insert(Location::device(part.device));
    for (const DevicePart& part : state.parts)
      if (part.lender >= 0)
        add_line(text, "\n  device %d uses it in memory of device %d", part.device, part.lender);
    if (state.in_host_memory)
      add_line(text, "\n  relocated to host memory, away from device %d; last moved %.1f ms ago",
               range.device, static_cast<double>(observe::now() - range.relocated()) * 1e-6);
    if (!mapped_on.empty()) {
      text += "\n  mapped until it is unmapped, on: ";
      add_set(text, mapped_on);
    }
  }
  const auto add_named = [&](const char* name, const LocationSet& set) {
    if (set.empty()) return;
    add_line(text, "\n  %s: ", name);
    add_set(text, set);
  };
  add_named("copies", residency.holders);
  add_named("may read", residency.readers);
  add_named("may write", residency.writers);
  add_named("host-mapped on", residency.host_mapped_on);
  add_advice(text, range.advice_at(address));
  for (int device = 0; device < parts_.devices.count(); ++device) {
    if (!residency.holders.contains(Location::device(device))) continue;
    const plan::EvictionOrder order = parts_.residency.order(device);
    if (order.was_needed())
      add_line(text, "\n  device %d evicts by %s", device, to_string(order).c_str());
  }
  parts_.readiness.find_pending(
      range, {Address{round_down(address.value, page_size)}, page_size}, [&](const ActiveUse& use) {
        add_line(text, "\n  a kernel on device %d, queue %d, may %s it", use.fence.device,
                 parts_.timelines.queue_number(use.fence), use.writes ? "write" : "read");
        return false;
      });
  return text + "\n";
}

Status Queries::status() const {
  const bool atomics = std::ranges::all_of(
      parts_.devices, [](const auto& device) { return device->traits().native_atomics; });
  return {parts_.source.grade(),
          parts_.source.reason(),
          parts_.source.can_share(),
          parts_.memory.automatic_pages(),
          parts_.memory.window().size,
          parts_.ranges.count(),
          parts_.ranges.bytes(),
          parts_.options.strict,
          parts_.strict == nullptr ? std::string() : parts_.strict->exempt_devices(),
          atomics,
          parts_.memory.no_private_tmpfs(),
          parts_.pool.limit(),
          parts_.pool.size()};
}

void Queries::describe(observe::StatusPage& page) const {
  put_text(page.grade, to_string(parts_.source.grade()));
  page.host_budget = parts_.options.host_budget;
  page.counters = parts_.observer.read_counters();
  page.device_count = static_cast<std::uint32_t>(parts_.devices.count());
  for (int number = 0; number < parts_.devices.count(); ++number) {
    const DeviceStatus status = device_status(number);
    observe::DeviceStatusEntry& entry = page.devices[static_cast<std::size_t>(number)];
    put_text(entry.name, status.traits.name);
    entry.budget = status.budget;
    entry.in_use = status.in_use;
    entry.lost = status.lost ? 1 : 0;
  }
  std::vector<std::uint64_t> resident;
  count_resident(resident);
  page.host_resident = resident[0];
  for (std::size_t i = 1; i < resident.size(); ++i) page.devices[i - 1].resident = resident[i];
  list_worst(page);
}

void Queries::list_worst(observe::StatusPage& page) const {
  struct RangeWeight {
    const Pin* range;
    std::uint64_t recent;
    std::uint64_t total;
    [[nodiscard]] auto order() const noexcept { return std::pair(recent, total); }
  };
  const std::vector<Pin> all = parts_.ranges.all();
  std::vector<RangeWeight> weighed;
  weighed.reserve(all.size());
  page.ranges = all.size();
  for (const Pin& range : all) {
    page.range_bytes += range->pages.size;
    const std::uint64_t total = range->traffic.totals().weight();
    if (total != 0) weighed.push_back({&range, range->traffic.take_recent(total), total});
  }
  const std::size_t count = std::min(weighed.size(), observe::StatusPage::most_ranges);
  std::partial_sort(
      weighed.begin(), weighed.begin() + static_cast<std::ptrdiff_t>(count), weighed.end(),
      [](const RangeWeight& a, const RangeWeight& b) { return a.order() > b.order(); });
  page.listed_ranges = static_cast<std::uint32_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Range& range = **weighed[i].range;
    const RangeTraffic::Totals totals = range.traffic.totals();
    observe::RangeStatusEntry& entry = page.worst[i];
    put_text(entry.name, range.name);
    entry.number = range.number;
    entry.address = range.pages.begin.value;
    entry.size = range.size;
    entry.faults = totals.faults;
    entry.to_host = totals.to_host;
    entry.to_devices = totals.to_devices;
  }
}

DeviceStatus Queries::device_status(int device) const {
  const device::Device& back_end = parts_.devices[device];
  return {back_end.traits(), parts_.residency.budget(device), parts_.residency.in_use(device),
          back_end.lost(), parts_.relocations.stops(device)};
}

std::optional<std::string> Queries::check() const {
  for (const Pin& range : parts_.ranges.all()) {
    for (Block& block : range->blocks) {
      MutexLock lock(block.mutex);
      const directory::Violation violation = block.locked_state().directory.check();
      if (violation == directory::Violation::none) continue;
      std::string text;
      add_line(text, "the block at %#lx: %s", block.begin.value, to_string(violation));
      return text;
    }
  }
  return std::nullopt;
}

}  // namespace sluice::engine
