// Queries: what the engine knows, as snapshots. They take a block's mutex for a moment and never wait for a claim, so they
// answer while copies run.
#include <algorithm>
#include <cstdio>

#include "engine/engine.hpp"
#include "engine/relocations.hpp"
#include "engine/strict_mode.hpp"

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
  MutexLock lock(block.mutex);
  Residency residency;
  residency.holders = block.directory.holders(page);
  residency.reached_by = block.directory.reaching();
  residency.lost = block.directory.lost().contains(page);
  const auto add = [&](Location location) {
    const Rights rights = block.directory.rights(location, page);
    if (rights != Rights::none) residency.readers.insert(location);
    if (rights == Rights::write) residency.writers.insert(location);
  };
  add(Location::host());
  for (const directory::DeviceHolding& holding : block.directory.devices())
    add(Location::device(holding.device));
  return residency;
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

Result<RangeInfo> Engine::range_of(Address address) const {
  SLUICE_ASSIGN(range, ranges_.find_whole({address, 1}));
  return RangeInfo{reinterpret_cast<void*>(range->pages.begin.value), range->size, range->kind,
                   range->device};
}

Result<Residency> Engine::residency(Address address) const {
  SLUICE_ASSIGN(range, ranges_.find_whole({address, 1}));
  Block& block = range->block_of(address);
  return residency_of(block, static_cast<std::uint32_t>((address - block.begin) / page_size));
}

Result<ResidencySummary> Engine::residency(AddressSpan span) const {
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  ResidencySummary summary;
  for (std::size_t i = range->index_of(span.begin); i <= range->index_of(span.end() - 1); ++i) {
    Block& block = range->blocks[i];
    const PageMask pages = block.pages_in(span);
    MutexLock lock(block.mutex);
    summary.pages += pages.count();
    summary.untouched += (pages & block.directory.untouched()).count();
    summary.lost += (pages & block.directory.lost()).count();
    summary.host += (pages & block.directory.holding(Location::host()).resident).count();
    for (const directory::DeviceHolding& holding : block.directory.devices())
      summary.device[holding.device] += (pages & holding.pages.resident).count();
  }
  return summary;
}

Result<Attributes> Engine::attributes(Address address) const {
  SLUICE_ASSIGN(range, ranges_.find_whole({address, 1}));
  return range->advice_at(address);
}

std::string Engine::explain(Address address) const {
  std::string text;
  auto found = ranges_.find_whole({address, 1});
  if (!found) {
    add_line(text, "%#lx: not managed memory: ", address.value);
    text += found.error().detail();
    return text + "\n";
  }
  Range& range = **found;
  Block& block = range.block_of(address);
  const auto page = static_cast<std::uint32_t>((address - block.begin) / page_size);
  add_line(text, "%#lx: byte %zu of the %s range at %#lx, %zu bytes\n", address.value,
           address - range.pages.begin, to_string(range.kind).data(), range.pages.begin.value,
           range.size);
  add_line(text, "  page %u of block %zu%s\n", page, range.index_of(address),
           block.claim.is_held() ? ", which is changing right now" : "");
  const Residency residency = residency_of(block, page);
  {
    MutexLock lock(block.mutex);
    add_line(text, "  state: %s", to_string(block.directory.state(page)));
    if (block.leases != 0) {
      add_line(text, "; %u leases keep it at ", block.leases);
      text += to_string(block.leased_at);
    }
    LocationSet mapped_on;
    for (const DevicePart& part : block.parts)
      if (block.mapped_rights(part.device) != Rights::none)
        mapped_on.insert(Location::device(part.device));
    for (const DevicePart& part : block.parts)
      if (part.lender >= 0)
        add_line(text, "\n  device %d uses it in memory of device %d", part.device, part.lender);
    if (block.away)
      add_line(text, "\n  relocated to host memory, away from device %d; last moved %.1f ms ago",
               range.device, static_cast<double>(observe::now() - range.relocated) * 1e-6);
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
  add_named("reached in host memory by", residency.reached_by);
  add_advice(text, range.advice_at(address));
  for (int device = 0; device < device_count(); ++device) {
    if (!residency.holders.contains(Location::device(device))) continue;
    const plan::EvictionOrder order = room_->order(device);
    if (order.was_needed())
      add_line(text, "\n  device %d evicts by %s", device, to_string(order).c_str());
  }
  MutexLock lock(gate_->mutex);
  gate_->find_use(range, {Address{round_down(address.value, page_size)}, page_size}, Interest::all,
                  [&](const ActiveUse& use) {
                    if (!timelines_.is_pending(use.fence)) return false;
                    add_line(text, "\n  a kernel on device %d, queue %d, may %s it",
                             use.fence.device, timelines_.queue_number(use.fence),
                             use.writes ? "write" : "read");
                    return false;
                  });
  return text + "\n";
}

Status Engine::status() const {
  const bool atomics = std::ranges::all_of(
      devices_, [](const auto& device) { return device->traits().native_atomics; });
  return {source_->grade(),
          source_->reason(),
          source_->can_share(),
          memory_->automatic_pages(),
          memory_->window().size,
          ranges_.count(),
          ranges_.bytes(),
          options_.strict,
          strict_ == nullptr ? std::string() : strict_->exempt_devices(),
          atomics};
}

int Engine::device_count() const noexcept { return static_cast<int>(devices_.size()); }

Result<DeviceStatus> Engine::device_status(int device) const {
  SLUICE_TRY(known_device(device));
  const device::Device& back_end = *devices_[static_cast<std::size_t>(device)];
  return DeviceStatus{back_end.traits(), room_->budget(device), room_->in_use(device),
                      back_end.lost(), relocations_->stops(device)};
}

std::optional<std::string> Engine::check() const {
  for (const Pin& range : ranges_.all()) {
    for (Block& block : range->blocks) {
      MutexLock lock(block.mutex);
      const directory::Violation violation = block.directory.check();
      if (violation == directory::Violation::none) continue;
      std::string text;
      add_line(text, "the block at %#lx: %s", block.begin.value, to_string(violation));
      return text;
    }
  }
  return std::nullopt;
}

// --- queues, kernels, fences: the back end's, asked for through the engine ----------------------------------------------------------

Result<device::QueueId> Engine::create_queue(int device) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(device));
  return tell(devices_[static_cast<std::size_t>(device)]->create_queue());
}

void Engine::destroy_queue(int device, device::QueueId queue) noexcept {
  if (alive() && known_device(device))
    devices_[static_cast<std::size_t>(device)]->destroy_queue(queue);
}

Result<device::KernelId> Engine::find_kernel(int device, std::string_view module,
                                             std::string_view name) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(device));
  auto kernel = tell(devices_[static_cast<std::size_t>(device)]->find_kernel(module, name));
  if (kernel && strict_ != nullptr) strict_->name_kernel(device, *kernel, name);
  return kernel;
}

device::FenceState Engine::poll(device::Fence fence) noexcept {
  const device::FenceState state = timelines_.poll(fence);
  if (state != device::FenceState::pending && !process_.inherited()) pay_owed_rights();
  return state;
}

Result<void> Engine::wait(device::Fence fence, const device::Wait& how) {
  SLUICE_TRY(alive());
  Result<void> waited = timelines_.wait(fence, how);
  pay_owed_rights();
  if (waited) return waited;
  return tell<void>(tl::unexpected<Error>(explain_fault(fence, waited.error())), how);
}

Result<void> Engine::synchronize(const device::Wait& how) {
  SLUICE_TRY(alive());
  std::vector<device::Fence> fences{timelines_.host.latest()};
  {
    MutexLock lock(gate_->mutex);
    for (const ActiveUse& use : gate_->latest()) fences.push_back(use.fence);
  }
  Result<void> first;
  for (const device::Fence& fence : fences) {
    Result<void> waited = timelines_.wait(fence, how);
    if (waited) continue;
    const ErrorCode code = waited.error().code();
    if (code == ErrorCode::timed_out || code == ErrorCode::interrupted) return waited;
    if (first) first = tl::unexpected<Error>(explain_fault(fence, waited.error()));
  }
  pay_owed_rights();
  return tell(first, how);
}

Result<void> Engine::plan_faults(int device, std::string_view plan) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(device));
  return devices_[static_cast<std::size_t>(device)]->plan_faults(plan);
}

device::Device* Engine::back_end(int device) noexcept {
  return known_device(device) ? devices_[static_cast<std::size_t>(device)].get() : nullptr;
}

}  // namespace sluice::engine
