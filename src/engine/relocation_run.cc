// Relocation, step by step: mapped memory moves while the queues that may use it are stopped.
//
// No kernel runs on any device that maps the blocks, so the time without mappings is not visible,
// and pending launches that name the blocks never conflict: they run when the blocks are back.
// Claims are taken only after the queues came to rest, for a kernel may need a claim to end. Every
// device gets its list before any is waited for. Cost: for each block a copy and, on each device, a
// removal and a mapping; host memory is prepared before the queues stop. What it does not do: undo
// a move because one device refuses its mappings. That device is left without them, and the
// directory records it.
#include "engine/relocation_run.hpp"

#include <algorithm>

#include "engine/reservation.hpp"
#include "os/report.hpp"
#include "transfer/transfer.hpp"

namespace sluice::engine {
namespace {

using directory::Mapping;

device::Place on_device(const Block& block, int owner) SLUICE_REQUIRES(block.claim) {
  return {Location::device(owner), block.state().part(owner)->allocation.handle, 0};
}

}  // namespace

RelocationRun::~RelocationRun() {
  claims_.clear();
  for (const Turn& turn : turns_) {
    if (!turn.prepared) continue;
    const ScopedClaim claim(turn.block->claim);
    if (!leaves()) {
      parts_.residency.release(*turn.block, owner_);
      continue;
    }
    (void)parts_.memory.unmap_view(turn.block->span());
    parts_.host_budget.give_back(turn.block->span().size);
  }
}

// --- before the queues stop ----------------------------------------------------------------------

Result<void> RelocationRun::prepare(device::Clock::time_point until) {
  std::sort(turns_.begin(), turns_.end(),
            [](const Turn& a, const Turn& b) { return a.block->begin < b.block->begin; });
  for (Turn& turn : turns_)
    SLUICE_TRY(leaves() ? prepare_on_host(turn) : prepare_on_device(turn, until));
  return {};
}

// No other thread looks at a block's host memory while its bytes are on the device.
Result<void> RelocationRun::prepare_on_host(Turn& turn) {
  const ScopedClaim claim(turn.block->claim);
  if (is_there(turn.block->state())) return {};
  const AddressSpan span = turn.block->span();
  SLUICE_TRY(parts_.host_budget.take(span.size));
  Result<void> ready = parts_.memory.map_alias(span);
  if (ready) ready = parts_.memory.populate(span);
  if (ready) {
    turn.prepared = true;
    return {};
  }
  (void)parts_.memory.unmap_view(span);
  parts_.host_budget.give_back(span.size);
  return ready;
}

Result<void> RelocationRun::prepare_on_device(Turn& turn, device::Clock::time_point until) {
  const AllocationRequest wanted{turn.range, turn.block};
  Reservation reservation(parts_.residency, parts_.timelines, owner_);
  while (true) {
    Provision provision;
    {
      const ScopedClaim claim(turn.block->claim);
      if (is_there(turn.block->state())) return {};
      SLUICE_ASSIGN(now, reservation.attempt({&wanted, 1}));
      provision = now;
      turn.prepared = provision.count == 1;
    }
    if (turn.prepared) return {};
    if (device::Clock::now() >= until || !reservation.can_wait(provision))
      return fail(ErrorCode::out_of_device_memory, "no room for %#lx to come back: %s",
                  turn.block->begin.value,
                  std::string(parts_.residency.shortage(owner_, provision).detail()).c_str());
    (void)reservation.wait(provision, {.deadline = until});
  }
}

DeviceSet RelocationRun::devices() const {
  DeviceSet mapping;
  for (const Turn& turn : turns_) {
    const MutexLock lock(turn.block->mutex);
    const BlockState& state = turn.block->locked_state();
    if (is_there(state)) continue;
    for (const directory::DeviceHolding& held : state.directory.devices())
      if (held.mapping != Mapping::none) mapping.insert(held.device);
  }
  return mapping;
}

// --- while they are stopped ----------------------------------------------------------------------

Result<void> RelocationRun::check(const Turn& turn) const {
  const Block& block = *turn.block;
  block.claim.assert_held();
  if (!block.state().directory.lost().empty())
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on device %d, which was lost",
                block.begin.value, owner_);
  if (block.state().is_leased_by_programs())
    return fail(ErrorCode::busy, "%#lx is leased; end the lease before moving it",
                block.begin.value);
  // The prepared allocation went with the device, which may be back by now.
  if (!leaves() && block.state().part(owner_)->allocation.size == 0)
    return fail(ErrorCode::device_lost, "device %d was lost before %#lx came back to it", owner_,
                block.begin.value);
  return {};
}

Result<bool> RelocationRun::claim(DeviceSet stopped) {
  for (const Turn& turn : turns_) claims_.emplace_back(turn.block->claim);
  for (const Turn& turn : turns_) {
    if (!turn.prepared) continue;
    const Result<void> possible = check(turn);
    if (!possible) {
      release();
      return tl::unexpected<Error>(possible.error());
    }
  }
  if ((devices() - stopped).empty()) return true;
  release();
  return false;
}

void RelocationRun::run() {
  share_out();
  take_down();
  copied_ = move_bytes();
  moved_ = copied_.has_value();
  for (Turn& turn : turns_)
    if (moved_ && turn.prepared) publish(turn);
  map_again();
  for (const Turn& turn : turns_) {
    turn.block->claim.assert_held();
    parts_.readiness.refresh(*turn.range, *turn.block);
  }
}

void RelocationRun::share_out() {
  for (std::size_t index = 0; index < turns_.size(); ++index) {
    if (!turns_[index].prepared) continue;
    const Block& block = *turns_[index].block;
    block.claim.assert_held();
    for (const directory::DeviceHolding& held : block.state().directory.devices()) {
      if (held.mapping == Mapping::none) continue;
      auto share = std::find_if(shares_.begin(), shares_.end(),
                                [&](const Share& s) { return s.device == held.device; });
      if (share == shares_.end())
        share = shares_.insert(
            shares_.end(), Share{.device = held.device, .parts = {}, .commands = {}, .why = {}});
      share->parts.push_back({index, held.mapped});
    }
  }
  std::sort(shares_.begin(), shares_.end(),
            [](const Share& a, const Share& b) { return a.device < b.device; });
  for (Share& share : shares_) share.commands.reserve(share.parts.size());
}

Result<void> RelocationRun::hand_over(Share& share, bool maps) const noexcept {
  share.commands.clear();
  const std::size_t granule = device(share.device).traits().mapping_granule;
  for (const auto& [turn, rights] : share.parts) {
    const Block& block = *turns_[turn].block;
    block.claim.assert_held();
    const device::Place backing =
        block.state().in_host_memory ? device::Place::host(block.begin) : on_device(block, owner_);
    share.commands.push_back(maps ? block.mapping_at(backing, rights, granule)
                                  : block.unmapping(granule));
  }
  const auto fence = device(share.device).update_mappings(share.commands);
  share.fence = fence.value_or(device::Fence{});
  return fence ? Result<void>{} : tl::unexpected<Error>(fence.error());
}

// When the fences are complete, translations are flushed. A lost device reaches nothing.
void RelocationRun::take_down() noexcept {
  for (Share& share : shares_) (void)hand_over(share, false);
  for (const Share& share : shares_) (void)parts_.timelines.wait(share.fence, {});
  for (const Share& share : shares_)
    for (const Share::Part& part : share.parts) {
      Block& block = *turns_[part.turn].block;
      block.claim.assert_held();
      const MutexLock lock(block.mutex);
      block.change().directory.map(share.device, Mapping::none, Rights::none);
    }
}

Result<void> RelocationRun::move_bytes() noexcept {
  const std::uint64_t began = parts_.observer.clock();
  transfer::Transfer transfer(parts_.devices, parts_.timelines);
  for (const Turn& turn : turns_) {
    if (!turn.prepared) continue;
    turn.block->claim.assert_held();
    const device::Place there = on_device(*turn.block, owner_);
    const device::Place host = device::Place::host(turn.block->begin);
    const std::size_t size = turn.block->span().size;
    SLUICE_TRY(transfer.copy(leaves() ? device::CopyCommand{there, host, size}
                                      : device::CopyCommand{host, there, size}));
  }
  SLUICE_TRY(transfer.finish());
  const Location from = leaves() ? Location::device(owner_) : Location::host();
  for (const Turn& turn : turns_) {
    if (!turn.prepared) continue;
    parts_.observer.count(observe::Counter::relocated_blocks);
    parts_.observer.count(observe::Counter::bytes_relocated, turn.block->span().size);
    parts_.observer.count_moved(from, to_, turn.block->span().size);
    parts_.observer.record(EventKind::relocation, turn.block->span(), from, to_, began);
  }
  return {};
}

// --- the directory -------------------------------------------------------------------------------

// The bytes have arrived. Rights to the device's own memory come with its mapping; the host's are
// only recorded, for programs do not reach a device range at its address.
void RelocationRun::publish(Turn& turn) noexcept {
  Block& block = *turn.block;
  block.claim.assert_held();
  const PageMask all = block.every_page();
  const Location from = leaves() ? Location::device(owner_) : Location::host();
  {
    const MutexLock lock(block.mutex);
    BlockState& state = block.change();
    state.directory.publish(to_, all);
    state.directory.drop(from, all);
    if (leaves()) state.directory.grant(to_, all, Rights::write);
    state.in_host_memory = leaves();
    state.move_mapped(to_);
    for (DevicePart& part : state.parts) part.host_mapping_lasts = leaves();
  }
  turn.prepared = false;
  if (leaves()) {
    parts_.residency.release(block, owner_);
    return;
  }
  (void)parts_.memory.unmap_view(block.span());
  parts_.host_budget.give_back(block.span().size);
}

void RelocationRun::map_again() noexcept {
  for (Share& share : shares_) {
    const Result<void> handed_over = hand_over(share, true);
    ++share.dispatched;
    if (!handed_over) share.why = handed_over.error();
  }
  for (Share& share : shares_) {
    const Result<void> done = parts_.timelines.wait(share.fence, {});
    if (!done) share.why = done.error();
    if (share.why) {
      // The partial mappings are taken back; that cannot fail, and a lost device has none.
      if (hand_over(share, false)) (void)parts_.timelines.wait(share.fence, {});
      os::report("device %d: memory that was moved could not be mapped there again: %s",
                 share.device, share.why->detail().data());
    }
    record(share);
  }
}

void RelocationRun::record(const Share& share) noexcept {
  for (const auto& [turn, rights] : share.parts) {
    Block& block = *turns_[turn].block;
    block.claim.assert_held();
    const MutexLock lock(block.mutex);
    BlockState& state = block.change();
    if (share.why) {
      if (state.mapped().rights(share.device) != Rights::none)
        state.set_mapped(share.device, Rights::none, state.leases().location());
      continue;
    }
    const Mapping mapping = state.in_host_memory     ? Mapping::host
                            : share.device == owner_ ? Mapping::own
                                                     : Mapping::peer;
    state.directory.map(share.device, mapping, rights);
    if (mapping == Mapping::own)
      state.directory.grant(Location::device(owner_), block.every_page(), rights);
  }
}

Result<void> RelocationRun::outcome() const {
  if (!copied_) return copied_;
  for (const Share& share : shares_)
    if (share.why) return tl::unexpected<Error>(*share.why);
  return {};
}

MappingReport RelocationRun::report() const {
  MappingReport report;
  report.done = true;
  report.remaining = std::chrono::nanoseconds::max();
  bool gap = false;
  for (const Share& share : shares_) {
    gap = gap || share.why;
    report.prefix += gap ? 0 : 1;
    report.devices.push_back({share.device, share.why ? MappingState::failed : MappingState::mapped,
                              share.why, share.dispatched});
  }
  return report;
}

}  // namespace sluice::engine
