// Allocates and releases ranges.
//
// A shared range costs its addresses and, until it is touched, no memory. Small ones share segments
// (segments.hpp), whose views are mapped once for hundreds of them. Host ranges are mapped on every
// device at once, so that any kernel reaches them at any time; device ranges get their memory at
// once. A refused call leaves nothing behind.
#include "engine/allocator.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "base/plain_text.hpp"
#include "engine/reservation.hpp"

namespace sluice::engine {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_ranges = std::size_t{1} << 21;
constexpr std::size_t largest_automatic_pool = std::size_t{4} << 30;

// Bytes.
std::size_t machine_memory() noexcept {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  return pages > 0 ? static_cast<std::size_t>(pages) * page_size : 0;
}

Result<void> check_name(std::string_view name) {
  constexpr std::size_t quoted = 20;
  if (const std::size_t at = plain_prefix(name); at < name.size())
    return fail(ErrorCode::invalid_argument,
                "a name of a range with the byte 0x%02X at %zu; names are UTF-8 without control "
                "characters, line separators and marks of direction",
                static_cast<unsigned>(static_cast<unsigned char>(name[at])), at);
  if (name.size() > most_of_a_name)
    return fail(ErrorCode::invalid_argument, "a name of %zu bytes, '%.20s...'; a range takes %zu",
                name.size(), std::string(name.substr(0, quoted)).c_str(), most_of_a_name);
  return {};
}

}  // namespace

Result<void> Allocator::start() {
  const std::size_t automatic =
      parts_.keeps_host_memory ? std::min(largest_automatic_pool, machine_memory() / 8) : 0;
  // In grade signal nothing is pooled (is_disposed_of_later()).
  parts_.pool.use(
      parts_.source.grade() == Grade::signal ? 0 : parts_.options.host_pool.value_or(automatic));
  parts_.host_budget.use([this] { return reclaim(); });
  parts_.residency.use([this] { return disposal_.finish_on_devices(); });
  return disposal_.start();
}

Result<Address> Allocator::allocate(std::size_t size, Kind kind, int device, HostPages pages,
                                    std::string_view name) {
  if (size == 0) return fail(ErrorCode::invalid_argument, "a size of zero");
  if (size > parts_.ranges.window().size)
    return fail(ErrorCode::out_of_host_memory, "%zu bytes; the space has %zu bytes of addresses",
                size, parts_.ranges.window().size);
  SLUICE_TRY(check_name(name));
  if (kind == Kind::device) SLUICE_TRY(parts_.checks.known_device(device));
  if (kind == Kind::shared && parts_.source.grade() == Grade::none)
    return fail(ErrorCode::unsupported, "no fault source: %s. Kind::host and Kind::device work",
                parts_.source.reason().c_str());
  if (pages == HostPages::automatic) pages = parts_.options.host_pages;
  const bool by_block = kind != Kind::device && pages == HostPages::huge;
  const std::size_t bytes = round_up(size, by_block ? block_size : page_size);
  // Small ranges need no mapping of their own, so that the memory of their records would be the
  // limit: Linux ends programs that reach it.
  if (parts_.ranges.count() >= most_ranges)
    return fail(ErrorCode::out_of_host_memory,
                "%zu ranges in one space, the most there may be; free some, or take small things "
                "from a MemoryResource",
                most_ranges);
  RangeRequest request{{{}, bytes}, size, kind, device, pages, name};
  // Pooled memory has its share of the budget already.
  if (kind == Kind::shared) request.pooled = parts_.pool.take(bytes, pages);
  // Linux would end the process for want of what is held for later.
  const bool holds = parts_.pool.size() != 0 || disposal_.is_busy();
  if (kind != Kind::device && !request.pooled && holds && parts_.headroom.bytes() < bytes)
    (void)reclaim();
  if (kind != Kind::device && !request.pooled) SLUICE_TRY(parts_.host_budget.take(bytes));

  try {
    auto base = allocate_within_budget(request);
    const bool was_pooled = std::exchange(request.pooled, std::nullopt).has_value();
    if (!base &&
        (was_pooled || (base.error().code() == ErrorCode::out_of_host_memory && reclaim())))
      base = allocate_within_budget(request);
    if (!base && kind != Kind::device) parts_.host_budget.give_back(bytes);
    return parts_.losses.tell(std::move(base));
  } catch (const std::bad_alloc&) {
    if (kind != Kind::device) parts_.host_budget.give_back(bytes);
    throw;
  }
}

// Pooled views are used or returned, whatever happens.
Result<Address> Allocator::allocate_within_budget(const RangeRequest& request) {
  RangeRequest placed = request;
  Result<Address> taken =
      request.pooled ? Result<Address>(request.pooled->pages.begin) : take_addresses(request);
  if (!taken) return taken;
  const Address base = *taken;
  placed.span.begin = base;
  const auto give_up = [&] {
    parts_.observer.range_names().end(base);
    return_addresses(placed.span);
  };
  try {
    parts_.observer.range_names().begin(placed.span, placed.name);  // before its first event
    parts_.observer.record(EventKind::allocate, placed.span, Location::host(), Location::host());
  } catch (const std::bad_alloc&) {
    if (placed.pooled)
      return_pooled(*placed.pooled);
    else
      return_addresses(placed.span);
    throw;
  }
  try {
    const Result<void> built = build(placed);
    if (built) return base;
    give_up();
    return tl::unexpected<Error>(built.error());
  } catch (const std::bad_alloc&) {
    give_up();
    throw;
  }
}

// Where no segment can be added, the range gets views of its own, or the reason why it cannot.
Result<Address> Allocator::take_addresses(const RangeRequest& request) {
  const std::size_t size = request.span.size;
  if (has_segments_ && shares_segment(size, request.kind, request.pages)) {
    do {
      if (const auto begin = parts_.ranges.take_cells(size)) return *begin;
    } while (add_segment());
  }
  return parts_.ranges.take_addresses(size, zone_of(request.kind));
}

// Cells are taken again only if they read as zeros and nobody has rights to them. Pages that were
// denied are opened again, too.
void Allocator::return_addresses(AddressSpan pages) noexcept {
  if (!parts_.ranges.is_in_segment(pages.begin)) {
    parts_.ranges.return_addresses(pages.begin);
    return;
  }
  const AddressSpan cells = cells_of(pages);
  const bool reusable = parts_.source.allow(cells) && parts_.memory.discard(cells);
  parts_.source.wake(cells);
  if (const auto segment = parts_.ranges.return_cells(cells, reusable)) end_segment(*segment);
}

Result<void> Allocator::add_segment() {
  SLUICE_ASSIGN(begin, parts_.ranges.take_addresses(segment_size, zone_of(Kind::shared)));
  const AddressSpan span{begin, segment_size};
  Result<void> added;
  if (const auto mapped = parts_.memory.map_view(span, HostPages::small); !mapped)
    added = tl::unexpected<Error>(mapped.error());
  else
    added = parts_.source.watch(span);
  try {
    if (added) parts_.ranges.add_segment(begin);
  } catch (const std::bad_alloc&) {
    end_segment(begin);
    throw;
  }
  if (!added) end_segment(begin);
  return added;
}

void Allocator::end_segment(Address segment) noexcept {
  const AddressSpan span{segment, segment_size};
  parts_.source.unwatch(span);
  (void)parts_.memory.unmap_view(span);
  parts_.ranges.return_addresses(segment);
}

AddressSpan Allocator::zone_of(Kind kind) const noexcept {
  const AddressSpan window = parts_.ranges.window();
  if (parts_.host_zone.size == 0) return window;
  return kind == Kind::host ? parts_.host_zone
                            : AddressSpan{window.begin, window.size - parts_.host_zone.size};
}

// Giving up a lost device, and mapping its ranges again, covers only ranges in the table. A range
// made meanwhile is therefore built again.
Result<void> Allocator::build(const RangeRequest& request) {
  while (true) {
    const std::vector<std::uint32_t> before = lives(request);
    SLUICE_ASSIGN(made, make(request));
    try {
      parts_.ranges.insert(std::move(made));
    } catch (const std::bad_alloc&) {
      take_down(*made);  // NOLINT(bugprone-use-after-move): it was not taken
      throw;
    }
    if (lives(request) == before) return {};
    const std::unique_ptr<Range> range = parts_.ranges.remove(request.span.begin);
    if (range == nullptr) return {};  // a thread guessed its address, and freed it
    take_down(*range);
  }
}

// The loss counts of the devices that such a range is made known to. A count changes when its
// device is lost, is given up, or comes back.
std::vector<std::uint32_t> Allocator::lives(const RangeRequest& request) const {
  std::vector<std::uint32_t> lives;
  for (int number = 0; number < parts_.devices.count(); ++number) {
    if (request.kind == Kind::host || (request.kind == Kind::device && number == request.device))
      lives.push_back(2 * parts_.losses.given_up(number) + (parts_.devices[number].lost() ? 1 : 0));
  }
  return lives;
}

Result<std::unique_ptr<Range>> Allocator::make(const RangeRequest& request) {
  const auto& [span, size, kind, device, pages, name, pooled] = request;
  HostPages in_force = pooled ? pooled->in_force : HostPages::small;
  const bool has_views = kind != Kind::device && !parts_.ranges.is_in_segment(span.begin);
  if (has_views && !pooled) {
    SLUICE_ASSIGN(mapped, parts_.memory.map_view(span, pages));
    in_force = mapped;
  }
  std::unique_ptr<Range> range;
  try {
    range = std::make_unique<Range>(span, size, kind, kind == Kind::device ? device : -1, in_force,
                                    std::string(name));
  } catch (const std::bad_alloc&) {
    if (pooled) parts_.source.unwatch(span);
    if (has_views) return_views(span);
    throw;
  }
  range->wanted_pages = pages;
  parts_.readiness.enter(*range);
  try {
    const Result<void> prepared = prepare(*range, pooled.has_value());
    if (prepared) return range;
    take_down(*range);
    return tl::unexpected<Error>(prepared.error());
  } catch (const std::bad_alloc&) {
    take_down(*range);
    throw;
  }
}

Result<void> Allocator::prepare(Range& range, bool is_watched) {
  switch (range.kind) {
    case Kind::shared:
      if (is_watched) return parts_.source.allow(range.pages);
      return parts_.ranges.is_in_segment(range.pages.begin) ? Result<void>{}
                                                            : parts_.source.watch(range.pages);
    case Kind::host:
      return prepare_host_range(range);
    case Kind::device:
      return prepare_device_range(range);
  }
  return {};
}

// The host has all of it permanently, and every device that can reaches it there.
Result<void> Allocator::prepare_host_range(Range& range) {
  for (Block& block : range.blocks) {
    const PageMask all = block.every_page();
    const ScopedClaim claim(block.claim);
    const MutexLock lock(block.mutex);
    directory::BlockDirectory& directory = block.change().directory;
    directory.publish(Location::host(), all);
    directory.grant(Location::host(), all, Rights::write);
  }
  for (int device = 0; device < parts_.devices.count(); ++device) {
    const Result<void> mapped = map_standing(range, device);
    // A lost device is no reason to refuse host memory; reset_device() maps it again.
    if (!mapped && mapped.error().code() != ErrorCode::device_lost) return mapped;
  }
  return {};
}

Result<void> Allocator::map_standing(Range& range, int device) {
  if (!parts_.devices[device].traits().maps_host_ranges) return {};
  for (Block& block : range.blocks) {
    // After a reset, launches and relocations may be there already.
    const ScopedClaim claim(block.claim);
    // A lost device lost the contents of its memory, but not bytes that came home since.
    const bool host_mapped = range.kind == Kind::host || block.state().in_host_memory;
    if (!host_mapped && !block.state().directory.lost().empty()) continue;
    block.admit(device);
    const Task task{&range, &block,
                    plan::acquire(block.state().directory,
                                  {Location::device(device), block.every_page(), Access::write,
                                   host_mapped ? plan::Means::host_mapped : plan::Means::own},
                                  parts_.abilities)};
    SLUICE_TRY(parts_.stages.run({&task, 1}));
    {
      const MutexLock lock(block.mutex);
      block.change().part(device)->host_mapping_lasts = host_mapped;
    }
    parts_.readiness.refresh(range, block);
  }
  return {};
}

// All of it belongs to the device permanently.
Result<void> Allocator::prepare_device_range(Range& range) {
  for (Block& block : range.blocks) {
    SLUICE_TRY(prepare_device_block(range, block));
    const ScopedClaim claim(block.claim);
    const Task task{
        &range, &block,
        plan::acquire(block.state().directory,
                      {Location::device(range.device), block.every_page(), Access::write},
                      parts_.abilities)};
    SLUICE_TRY(parts_.stages.run({&task, 1}));
    parts_.readiness.refresh(range, block);
  }
  return {};
}

// Blocks of other ranges make room; allocations that kernels still use are waited for.
Result<void> Allocator::prepare_device_block(Range& range, Block& block) {
  const AllocationRequest wanted{&range, &block};
  Reservation reservation(parts_.residency, parts_.timelines, range.device);
  const auto attempt = [&] {
    const ScopedClaim claim(block.claim);
    return reservation.attempt({&wanted, 1});
  };
  while (true) {
    SLUICE_ASSIGN(provision, attempt());
    if (provision.count == 1) return {};
    if (reservation.can_wait(provision)) {
      (void)reservation.wait(provision);
    } else {
      // The memory that the range still lacks, so that one stop of the queues is enough.
      const std::size_t need = round_up(range.pages.end() - block.begin,
                                        parts_.devices[range.device].traits().mapping_granule);
      const Result<void> made = reservation.relocate(parts_.relocations, need);
      if (!made)
        return fail(ErrorCode::out_of_device_memory,
                    "device %d has %zu of %zu bytes in use; %zu bytes do not fit: %s", range.device,
                    parts_.residency.in_use(range.device), parts_.residency.budget(range.device),
                    range.size, std::string(made.error().detail()).c_str());
    }
  }
}

}  // namespace sluice::engine
