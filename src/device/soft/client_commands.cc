// Copies, fills and mappings: from the engine's places to commands on a ring.
//
// A list is checked as a whole before any of it is handed over, so a refused call has changed
// nothing. Lists of any length make one fence; 42 commands fit a slot. Nothing here allocates.
//
// A device process learns of a peer's memory the first time a copy needs it (0.1 ms, once for each
// pair).
#include "device/soft/client.hpp"
#include "os/errors.hpp"

namespace sluice::device::soft {
namespace {

tl::unexpected<Error> bad_allocation(const Place& place, std::size_t size) noexcept {
  return fail(ErrorCode::invalid_argument,
              "no live allocation %#llx on device %d with bytes [%zu, +%zu)",
              static_cast<unsigned long long>(place.allocation), place.location.number(),
              place.offset, size);
}

}  // namespace

// One slot holds parts_per_slot commands; the slots of a list are linked by `continued`.
template <typename Command, typename Part>
Result<Fence> SoftDevice::submit_list(int ring, std::uint32_t generation, Operation operation,
                                      PlannedFault planned, std::span<const Command> commands,
                                      Part&& part) {
  if (commands.empty()) return Fence{};
  const std::size_t slots = (commands.size() + parts_per_slot - 1) / parts_per_slot;
  const auto value =
      rings_[ring].submit(slots, generation, [&](Slot& slot, Payload& payload, std::size_t index) {
        const auto mine =
            commands.subspan(index * parts_per_slot)
                .first(std::min(parts_per_slot, commands.size() - index * parts_per_slot));
        slot.operation = operation;
        slot.planned = index == 0 ? planned.what : PlannedAction::nothing;
        slot.planned_ms = planned.milliseconds;
        slot.continued = index != 0;
        slot.count = static_cast<std::uint16_t>(mine.size());
        for (std::size_t i = 0; i < mine.size(); ++i) part(mine[i], payload, i);
      });
  if (!value) return lost_error();
  return Fence{static_cast<std::int16_t>(options_.number), static_cast<std::uint16_t>(ring),
               *value};
}

// A full ring makes submitters wait; a planned fault simulates one that refuses instead.
Result<void> SoftDevice::find_room() const noexcept {
  if (!inject_fault(Step::room)) return {};
  return fail(ErrorCode::out_of_host_memory, "device %d: no room for commands, as planned",
              options_.number);
}

Result<Fence> SoftDevice::copy(std::span<const CopyCommand> commands) {
  const std::uint32_t generation = condition_.generation.load();
  if (!usable()) return lost_error();
  SLUICE_TRY(find_room());
  for (const CopyCommand& command : commands) {
    if (command.size == 0) return fail(ErrorCode::invalid_argument, "a copy of zero bytes");
    SLUICE_TRY(locate(command.from, command.size, true));
    SLUICE_TRY(locate(command.to, command.size, true));
    if (is_peer(command.from) && is_peer(command.to)) {
      return fail(ErrorCode::invalid_argument,
                  "a copy from device %d to device %d is for one of those to do, not for device %d",
                  command.from.location.number(), command.to.location.number(), options_.number);
    }
  }
  if (commands.empty()) return Fence{};
  return submit_list(
      copy_ring_for(commands.front()), generation, Operation::copy, plan_.next(Step::copy),
      commands, [this](const CopyCommand& command, Payload& payload, std::size_t i) {
        const NamedPlace from = name(command.from);
        const NamedPlace to = name(command.to);
        payload.copies[i] = {.from = from.offset,
                             .to = to.offset,
                             .size = command.size,
                             .peer_generation = from.peer_generation + to.peer_generation,
                             .from_memory = from.memory,
                             .to_memory = to.memory,
                             .fill_value = 0};
      });
}

// Into the device, out of it, and for copies inside it or between devices a third engine where
// there is one.
int SoftDevice::copy_ring_for(const CopyCommand& command) const noexcept {
  if (command.from.location.is_host()) return first_copy_ring;
  if (command.to.location.is_host()) return first_copy_ring + 1;
  return first_copy_ring + (options_.copy_engines > 2 ? 2 : 0);
}

Result<Fence> SoftDevice::fill(std::span<const FillCommand> commands) {
  const std::uint32_t generation = condition_.generation.load();
  if (!usable()) return lost_error();
  for (const FillCommand& command : commands) {
    if (command.size == 0 || command.to.location != Location::device(options_.number)) {
      return fail(ErrorCode::invalid_argument,
                  "a fill of %zu bytes on location %d: device %d fills its own memory",
                  command.size, command.to.location.number(), options_.number);
    }
    SLUICE_TRY(locate(command.to, command.size, false));
  }
  return submit_list(first_copy_ring, generation, Operation::fill, plan_.next(Step::fill), commands,
                     [this](const FillCommand& command, Payload& payload, std::size_t i) {
                       const NamedPlace to = name(command.to);
                       payload.copies[i] = {.from = 0,
                                            .to = to.offset,
                                            .size = command.size,
                                            .peer_generation = 0,
                                            .from_memory = to.memory,
                                            .to_memory = to.memory,
                                            .fill_value = command.value};
                     });
}

Result<Fence> SoftDevice::update_mappings(std::span<const MappingCommand> commands) {
  const std::uint32_t generation = condition_.generation.load();
  if (!usable()) return lost_error();
  bool maps = false;
  for (const MappingCommand& command : commands) {
    const auto granule = traits_.mapping_granule;
    const AddressSpan& window = host_.window;
    if (command.size == 0 || command.size % granule != 0 || command.address.value % granule != 0 ||
        command.address < window.begin || command.size > window.size ||
        command.address - window.begin > window.size - command.size) {
      return fail(ErrorCode::invalid_argument,
                  "a mapping of %zu bytes at %#zx: not whole granules of %zu bytes in the window",
                  command.size, static_cast<std::size_t>(command.address.value), granule);
    }
    if (command.rights == Rights::none) continue;
    maps = maps || !command.rights_only;
    if (command.backing.offset % page_size != 0) {
      return fail(ErrorCode::invalid_argument,
                  "a mapping of bytes from offset %#zx on: use whole pages",
                  command.backing.offset);
    }
    if (is_peer(command.backing)) SLUICE_TRY(ask_for_access(command.backing));
    SLUICE_TRY(locate(command.backing, command.size, true));
  }
  if (maps) SLUICE_TRY(find_room());  // removals always find it
  return submit_list(control_ring, generation, Operation::map,
                     plan_.next(maps ? Step::map : Step::unmap), commands,
                     [this](const MappingCommand& command, Payload& payload, std::size_t i) {
                       const NamedPlace backing =
                           command.rights == Rights::none ? NamedPlace{} : name(command.backing);
                       payload.mappings[i] = {.address = command.address.value,
                                              .size = command.size,
                                              .offset = backing.offset,
                                              .peer_generation = backing.peer_generation,
                                              .memory = backing.memory,
                                              .rights = static_cast<std::uint8_t>(command.rights),
                                              .rights_only = command.rights_only};
                     });
}

// On hardware the bus between two devices decides. Here only a planned fault refuses.
Result<void> SoftDevice::ask_for_access(const Place& peer) const noexcept {
  if (!inject_fault(Step::peer)) return {};
  return fail(ErrorCode::unsupported,
              "device %d: access to memory of device %d refused, as planned", options_.number,
              peer.location.number());
}

int SoftDevice::host_file_at(const Place& place) const noexcept {
  return host_.file_at ? host_.file_at(Address{place.offset}) : host_.file;
}

// The place as the device process names it. Only for places that locate() has accepted.
SoftDevice::NamedPlace SoftDevice::name(const Place& place) const noexcept {
  if (place.location.is_host()) {
    const bool first = host_file_at(place) == host_.file;
    return {first ? host_memory : second_host_memory, place.offset - host_.window.begin.value, 0};
  }
  const AllocationHandle handle = AllocationHandle::of(place.allocation);
  return {static_cast<std::uint8_t>(place.location.number()), handle.offset + place.offset,
          is_peer(place) ? handle.generation : 0};
}

// Checks that the bytes are there, and makes sure that the device process knows the memory.
Result<void> SoftDevice::locate(const Place& place, std::size_t size, bool peers_allowed) {
  if (place.location.is_host()) {
    const std::size_t offset = place.offset - host_.window.begin.value;
    if (offset > host_.window.size || size > host_.window.size - offset) {
      return fail(ErrorCode::invalid_argument, "host bytes [%#zx, +%zu) are not in the window",
                  place.offset, size);
    }
    const int file = host_file_at(place);
    return file == host_.file ? Result<void>{}
                              : introduce(second_host_memory, host_.window.size, 1, file);
  }
  if (place.location.number() == options_.number) return check_allocation(place, size);
  if (!peers_allowed) return bad_allocation(place, size);
  return locate_on_peer(place, size);
}

Result<void> SoftDevice::check_allocation(const Place& place, std::size_t size) const {
  const AllocationHandle handle = AllocationHandle::of(place.allocation);
  const MutexLock lock(tables_mutex_);
  if (handle.generation == (condition_.generation.load(std::memory_order_relaxed) & 0xffff) &&
      buddy_.is_allocated(handle.offset) && place.offset <= handle.size &&
      size <= handle.size - place.offset) {
    return {};
  }
  return bad_allocation(place, size);
}

Result<void> SoftDevice::locate_on_peer(const Place& place, std::size_t size) {
  Result<void> outcome;
  const bool found = Fleet::instance().with({&sink_, place.location.number()}, [&](Member& member) {
    const auto& peer = static_cast<SoftDevice&>(member);
    outcome = peer.usable() ? peer.check_allocation(place, size) : peer.lost_error();
    if (outcome) outcome = introduce_peer(peer);
  });
  if (found) return outcome;
  return fail(ErrorCode::unknown_device, "a copy with device %d, which is not open",
              place.location.number());
}

// With the fleet's lock held, so that the peer stays.
Result<void> SoftDevice::introduce_peer(const SoftDevice& peer) {
  int file = -1;
  std::uint32_t generation = 0;
  {
    const MutexLock lock(peer.tables_mutex_);
    file = peer.memory_.file();
    generation = peer.condition_.generation.load() & 0xffff;
  }
  return introduce(static_cast<std::uint8_t>(peer.options_.number), peer.options_.memory_size,
                   generation, file);
}

Result<void> SoftDevice::introduce(std::uint8_t memory, std::size_t size, std::uint32_t generation,
                                   int file) {
  const MutexLock lock(tables_mutex_);
  if (introduced_[memory] == generation) return {};
  if (!child_->add_memory(memory, size, generation, file, options_.hang_timeout)) {
    return fail(ErrorCode::device_lost, "device %d ended while it was given another memory",
                options_.number);
  }
  introduced_[memory] = generation;
  return {};
}

}  // namespace sluice::device::soft
