// Journey 3: finds the mappings that each device lacks, places the bytes, hands each device one
// list of mappings, and records each outcome.
//
// All blocks are claimed while devices work, as by a launch; a kernel in the way is waited for
// without claims, and then the run starts again from what is missing. The lists that undo are made
// before the first list is handed over, and consist of removals and changes of rights only, which
// cannot fail for want of resources. Neighbouring blocks are one command: mapping 1 GiB of host
// memory on a device is one entry of one list. What it does not do: move bytes back to their old
// place after an operation that failed. Programs cannot see where the bytes are.
#include "engine/mapping_run.hpp"

#include <algorithm>

namespace sluice::engine {
namespace {

using directory::Mapping;

// The location of all mapped bytes of the block.
Location placement_of(const Range& range, const BlockState& state) noexcept {
  return range.kind == Kind::device && !state.in_host_memory ? Location::device(range.device)
                                                             : Location::host();
}

// The mapping through which a device reaches that place.
Mapping mapping_to(const Range& range, const BlockState& state, int device) noexcept {
  if (range.kind != Kind::device || state.in_host_memory) return Mapping::host;
  return device == range.device ? Mapping::own : Mapping::peer;
}

// The rights that the device's page table gives at that place now, for any reason.
Rights mapped_rights(const Range& range, const BlockState& state, int device) noexcept {
  return state.directory.mapping(device) == mapping_to(range, state, device)
             ? state.directory.mapped(device)
             : Rights::none;
}

void record_mapping(const Range& range, BlockState& state, int device, Rights rights) {
  if (device == range.device) rights = Rights::write;
  state.directory.map(device, mapping_to(range, state, device), rights);
  state.forget_old_mapping(device);
  if (device == range.device && !state.in_host_memory)
    state.directory.grant(Location::device(device), state.directory.every_page(), rights);
}

// A command that continues the last one is joined to it.
bool goes_on(const device::MappingCommand& last, const device::MappingCommand& next) noexcept {
  if (last.address + last.size != next.address || last.rights != next.rights ||
      last.rights_only != next.rights_only)
    return false;
  return next.rights == Rights::none ||
         (last.backing.location.is_host() && next.backing.location.is_host());
}

// `starts`: a range begins here. Host memory of two ranges may lie in two files, and a command's
// bytes lie in one.
void add(std::vector<device::MappingCommand>& commands, const device::MappingCommand& next,
         bool starts) {
  if (!starts && !commands.empty() && goes_on(commands.back(), next))
    commands.back().size += next.size;
  else
    commands.push_back(next);
}

}  // namespace

// --- the journey ---------------------------------------------------------------------------------

void MappingRun::run(const MappingRunParts& parts, MappingTask& task) noexcept {
  try {
    try_until_done(parts, task);
  } catch (const std::bad_alloc&) {
    // This error precedes any hand-over: all memory needed afterwards was allocated before it.
    refuse(task, Error(ErrorCode::out_of_host_memory,
                       "no memory for the records of a mapping operation"));
  }
}

void MappingRun::try_until_done(const MappingRunParts& parts, MappingTask& task) {
  while (true) {
    // From here to release() no other thread changes the blocks. Existing mappings are not made
    // again.
    MappingRun attempt(parts, task);
    attempt.plan();

    // The bytes go where all can reach them. That counts as the first device's work; the others
    // find it done.
    const Result<std::optional<ActiveUse>> placed = attempt.place();

    // A kernel in the way is waited for without claims.
    if (const auto obstacle = placed.value_or(std::nullopt)) {
      attempt.release();
      (void)parts.timelines.wait(obstacle->fence, {});
      continue;
    }

    // Every device gets its list before any is waited for. Then each has an outcome of its own, and
    // mappings that must not stay are taken back; only after that is the outcome visible.
    if (placed) {
      attempt.dispatch();
      attempt.collect();
      attempt.undo();
    } else {
      attempt.refuse(placed.error());
    }
    attempt.publish();
    attempt.release();
    attempt.tell_lost();
    return;
  }
}

// --- its steps -----------------------------------------------------------------------------------

MappingRun::MappingRun(const MappingRunParts& parts, MappingTask& task)
    : parts_(parts), task_(task), shares_(task.request.devices.size()) {
  for (std::size_t i = 0; i < task.ranges.size(); ++i) {
    Range& range = *task.ranges[i];
    const AddressSpan& part = task.request.parts[i];
    for (std::size_t b = range.index_of(part.begin); b <= range.index_of(part.end() - 1); ++b)
      turns_.push_back({&range, &range.blocks[b]});
  }
  const auto before = [](const Turn& a, const Turn& b) { return a.block->begin < b.block->begin; };
  const auto same = [](const Turn& a, const Turn& b) { return a.block == b.block; };
  std::sort(turns_.begin(), turns_.end(), before);
  turns_.erase(std::unique(turns_.begin(), turns_.end(), same), turns_.end());
  undone_.reserve(shares_.size());
  claims_.reserve(turns_.size());
  for (const Turn& turn : turns_) claims_.emplace_back(turn.block->claim);
}

Rights MappingRun::wanted() const noexcept {
  if (!maps()) return Rights::none;
  return rights_for(task_.request.access);
}

// --- what is lacking -----------------------------------------------------------------------------

void MappingRun::plan() {
  change([](mapping::Operation& operation) { operation.restart(); });
  const std::vector<int>& devices = task_.request.devices;
  for (std::size_t index = 0; index < devices.size(); ++index) {
    Share& share = shares_[index];
    for (std::size_t block = 0; block < turns_.size(); ++block)
      plan_block(block, devices[index], share);
    const Result<void> possible = check_device(devices[index]);
    change([&](mapping::Operation& operation) {
      if (!possible)
        operation.fail(index, possible.error());
      else if (!lacks_anything(share))
        operation.found(index);
    });
    if (!possible) share = {};
  }
}

// Adds what the block lacks on the device to its share.
void MappingRun::plan_block(std::size_t index, int device, Share& share) {
  const auto& [range, block] = turns_[index];
  block->claim.assert_held();
  // The owner of a device range has it for ever, unless it refused to map it again after a
  // relocation.
  const bool owns = device == range->device;
  if (owns && block->state().directory.mapping(device) != Mapping::none) return;
  const Rights want = owns ? Rights::write : wanted();
  const Rights have = mapped_rights(*range, block->state(), device);
  if (have == want && block->state().mapped().rights(device) == want) return;
  share.blocks.push_back(index);
  block->admit(device);
  if (have == want) return;

  const device::Traits& traits = parts_.devices[device].traits();
  device::MappingCommand command =
      block->mapping_at(device::Place::host(block->begin), want, traits.mapping_granule);
  if (const Location placement = placement_of(*range, block->state()); placement.is_device())
    command.backing = {placement, block->state().part(range->device)->allocation.handle, 0};
  command.rights_only = want != Rights::none && have != Rights::none;
  const bool starts = block->begin == range->pages.begin;
  add(share.commands, command, starts);
  command.rights = have;
  command.rights_only = command.rights != Rights::none;
  add(share.undo, command, starts);
}

Result<void> MappingRun::check_device(int device) const {
  const device::Device& back_end = parts_.devices[device];
  // Before the engine has processed the loss, the directory may still say that it is mapped there.
  if (maps() && back_end.lost()) return fail(ErrorCode::device_lost, "device %d is lost", device);
  const device::Traits& traits = back_end.traits();
  for (const Turn& turn : turns_) {
    const Range& range = *turn.range;
    if (!maps() && device == range.device)
      return fail(ErrorCode::unsupported,
                  "%#lx is memory of device %d, which reaches it until it is freed",
                  range.pages.begin.value, device);
    if (!maps() || device == range.device) continue;
    if (range.kind == Kind::shared && !traits.maps_host_memory)
      return fail(ErrorCode::unsupported, "device %d cannot map host memory", device);
    if (range.kind == Kind::device && !traits.maps_peers)
      return fail(ErrorCode::unsupported, "device %d cannot reach memory of device %d", device,
                  range.device);
  }
  return {};
}

// --- placing -------------------------------------------------------------------------------------

Result<std::optional<ActiveUse>> MappingRun::place() {
  const auto first = std::find_if(shares_.begin(), shares_.end(),
                                  [this](const Share& s) { return lacks_anything(s); });
  if (first == shares_.end()) return std::optional<ActiveUse>{};
  change([&](mapping::Operation& operation) {
    operation.attempt(static_cast<std::size_t>(first - shares_.begin()));
  });
  for (std::size_t block = 0; block < turns_.size(); ++block) {
    auto obstacle = place_block(block);
    if (!obstacle || *obstacle) return obstacle;
  }
  return std::optional<ActiveUse>{};
}

// Devices that lose a mapping of the block, or the right to write through it: their kernels must
// have ended.
DeviceSet MappingRun::devices_losing(std::size_t block) const {
  const auto& [range, claimed] = turns_[block];
  claimed->claim.assert_held();
  DeviceSet losing;
  for (std::size_t index = 0; index < shares_.size(); ++index) {
    const auto& blocks = shares_[index].blocks;
    const int device = task_.request.devices[index];
    if (!std::binary_search(blocks.begin(), blocks.end(), block)) continue;
    const bool own = maps() && claimed->state().directory.mapping(device) == Mapping::own;
    if (own || mapped_rights(*range, claimed->state(), device) > wanted()) losing.insert(device);
  }
  return losing;
}

Result<std::optional<ActiveUse>> MappingRun::place_block(std::size_t index) {
  const auto& [range, block] = turns_[index];
  block->claim.assert_held();
  if (maps() && !block->state().directory.lost().empty())
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                block->begin.value);
  const BlockLeases& leases = block->state().leases();
  if (maps() && leases.any() && leases.location() != placement_of(*range, block->state()))
    return fail(ErrorCode::busy, "%#lx is leased on device %d", block->begin.value,
                leases.location().number());
  std::optional<ActiveUse> obstacle;
  if (const DeviceSet losing = devices_losing(index); !losing.empty())
    obstacle = parts_.readiness.take(
        *range, *block,
        {.span = block->span(), .access = Access::write, .unmapped = losing, .mapping_only = true});
  // The host gets all rights permanently: it uses the memory together with the devices.
  if (!obstacle && maps() && range->kind == Kind::shared) {
    SLUICE_ASSIGN(
        in_the_way,
        parts_.mover.bring(*range, *block, {Location::host(), block->every_page(), Access::write},
                           Cause::mapping));
    obstacle = in_the_way;
    if (!obstacle) parts_.source.wake(block->span());
  }
  if (obstacle) parts_.readiness.refresh(*range, *block);
  return obstacle;
}

void MappingRun::refuse(const Error& why) {
  change([&](mapping::Operation& operation) {
    for (std::size_t index = 0; index < shares_.size(); ++index)
      if (operation.state(index) == MappingState::pending) operation.fail(index, why);
  });
  for (Share& share : shares_) share = {};
}

void MappingRun::refuse(MappingTask& task, const Error& why) noexcept {
  const MutexLock lock(task.mutex);
  for (std::size_t index = 0; index < task.request.devices.size(); ++index) {
    const MappingState state = task.operation.state(index);
    if (state == MappingState::not_tried) task.operation.attempt(index);
    if (state == MappingState::not_tried || state == MappingState::pending)
      task.operation.fail(index, why);
  }
}

// --- the devices ---------------------------------------------------------------------------------

void MappingRun::dispatch() {
  for (std::size_t index = 0; index < shares_.size(); ++index) {
    Share& share = shares_[index];
    if (!lacks_anything(share)) continue;
    const bool hand_over = !share.commands.empty();
    device::Device& device = parts_.devices[task_.request.devices[index]];
    Result<device::Fence> fence =
        hand_over ? device.update_mappings(share.commands) : device::Fence{};
    change([&](mapping::Operation& operation) {
      if (operation.state(index) == MappingState::not_tried) operation.attempt(index);
      if (hand_over) operation.count_dispatch(index);
      if (!fence && maps()) operation.fail(index, fence.error());
    });
    // A lost device reaches nothing, so unmapping has succeeded there.
    share.fence = fence.value_or(device::Fence{});
    if (!fence && maps()) take_back(index);
  }
}

void MappingRun::collect() {
  for (std::size_t index = 0; index < shares_.size(); ++index) {
    if (!lacks_anything(shares_[index])) continue;
    const Result<void> done = parts_.timelines.wait(shares_[index].fence, {});
    if (state(index) != MappingState::pending) continue;  // refused before, and now taken back
    const bool good = done || !maps();
    change([&](mapping::Operation& operation) {
      if (good)
        operation.succeed(index);
      else
        operation.fail(index, done.error());
    });
    if (good) continue;
    take_back(index);
    (void)parts_.timelines.wait(shares_[index].fence, {});
  }
}

// Only a lost device refuses this, and it has no mappings left. The caller waits for the new fence.
void MappingRun::take_back(std::size_t index) {
  Share& share = shares_[index];
  device::Device& device = parts_.devices[task_.request.devices[index]];
  share.fence = device.update_mappings(share.undo).value_or(device::Fence{});
}

void MappingRun::undo() {
  bool must = false;
  change([&](mapping::Operation& operation) { must = operation.must_undo(); });
  if (!must) return;
  for (std::size_t index = 0; index < shares_.size(); ++index) {
    if (state(index) != MappingState::mapped || !lacks_anything(shares_[index])) continue;
    take_back(index);
    undone_.push_back(index);
  }
  for (const std::size_t index : undone_) {
    (void)parts_.timelines.wait(shares_[index].fence, {});
    change([&](mapping::Operation& operation) { operation.undo(index); });
  }
}

// --- the directory -------------------------------------------------------------------------------

void MappingRun::publish() {
  for (std::size_t index = 0; index < shares_.size(); ++index) {
    const MappingState ended = state(index);
    for (const std::size_t block : shares_[index].blocks)
      publish_block(index, turns_[block], ended);
  }
  for (const Turn& turn : turns_) {
    turn.block->claim.assert_held();
    parts_.readiness.refresh(*turn.range, *turn.block);
  }
}

void MappingRun::publish_block(std::size_t index, const Turn& turn, MappingState ended) {
  const auto& [range, block] = turn;
  block->claim.assert_held();
  const int device = task_.request.devices[index];
  const bool holds = ended == MappingState::mapped || ended == MappingState::unmapped;
  const bool mapped = mapped_rights(*range, block->state(), device) != Rights::none;
  const bool replaced = maps() && block->state().directory.mapping(device) == Mapping::own;
  {
    const MutexLock lock(block->mutex);
    BlockState& state = block->change();
    if (holds && maps())
      record_mapping(*range, state, device, wanted());
    else if (holds ? mapped : replaced)
      state.directory.map(device, Mapping::none, Rights::none);
    if (holds && device != range->device)
      state.set_mapped(device, wanted(), placement_of(*range, state));
  }
  if (holds && maps())
    parts_.observer.record(EventKind::map_remote, block->span(),
                           placement_of(*range, block->state()), Location::device(device));
  // Its own memory is of no use for a block that it reaches elsewhere, and a search for room there
  // would unmap the block.
  if (maps() && (holds || replaced) && device != range->device)
    parts_.residency.release(*block, device);
}

void MappingRun::tell_lost() {
  bool concerned = false;
  change([&](mapping::Operation& operation) {
    for (const DeviceMapping& device : operation.devices())
      concerned = concerned || (device.why && (device.why->code() == ErrorCode::device_lost ||
                                               device.why->code() == ErrorCode::data_lost));
  });
  if (!concerned) return;
  parts_.losses.await_every_loss();
  std::size_t pages = 0;
  for (const Turn& turn : turns_) {
    const MutexLock lock(turn.block->mutex);
    pages += turn.block->locked_state().directory.lost().count();
  }
  const MutexLock lock(task_.mutex);
  task_.lost = pages * page_size;
}

}  // namespace sluice::engine
