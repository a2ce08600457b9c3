-- The coherence protocol as a Murphi model, for rumur: the host and two devices without recoverable faults, one block of one page.
--
-- tests/plan executes plans against everyone who may load or store. What it cannot see is time: launches that start while a
-- plan is under way, kernels that are still running, accesses that wait for them, leases, and devices that die. Here every step
-- of a plan is a rule of its own, so rumur tries every order in which these things can happen.
--
-- Names are those of the code: states and transitions of src/directory/block_directory.hpp, steps and their order of
-- src/plan/plan.hpp, what each step does of src/plan/acquire.cc and eviction.cc. Left out: pages of one block that differ (a
-- block is mapped as a whole; tests/plan enumerates blocks of two), hosts that cannot share, and how a fault is delivered.
--
-- docs/coherence.md says how to run it.

const
  -- Wrong on purpose. planted_test.py sets each to true by itself and expects that rumur finds it.
  copy_before_revoke: false;     -- bytes are copied while the writer still may write
  grant_before_publish: false;   -- the page becomes visible before the directory says so
  keep_stale_copy: false;        -- a write leaves others' copies valid
  forget_downgrade: false;           -- a read leaves the writer its right
  ignore_fence: false;           -- pages are taken from a running kernel
  late_mark: false;              -- launches are let in while their block is being taken away
  overwrite_read: false;         -- newer bytes come to a device while a kernel there still reads older ones
  evict_leased: false;           -- eviction does not ask for leases
  forget_only_copy: false;       -- eviction drops what nobody else has
  map_untouched: false;        -- a device writes host memory that the directory takes for untouched
  host_stays: false;             -- the host keeps its rights to bytes that a device comes to in host memory
  host_returns: false;           -- the host gets them back while a kernel there may write, or reads, the bytes

  host: 0;
  mortal: 2;                     -- the device that may die, and that leases name; the other is like it in all else

  -- Versions of the page's bytes. Only whether a copy has the last store matters, so a store makes all others outdated.
  zeros: 0;
  outdated: 1;
  newest: 2;

type
  Location: 0..2;
  Device: 1..2;
  Value: 0..2;

  PageState: enum { untouched, exclusive, shared, lost };
  Rights: enum { Rights_none, Rights_read, Rights_write };
  Access: enum { Access_read, Access_write };
  Mapping: enum { Mapping_none, Mapping_own, Mapping_host };
  Means: enum { Means_own, Means_host_mapped };
  StepKind: enum { unmap, revoke, downgrade, copy, fill, publish, drop, discard, map, grant };

  -- Who holds the claim on the block, and so may run a plan.
  Claimant: enum { nobody, host_access, a_launch, a_lease, eviction, a_discard };
  ThreadState: enum { running, faulted, parked };

var
  -- The directory.
  resident: array [Location] of boolean;
  rights: array [Location] of Rights;
  mapping: array [Device] of Mapping;
  mapped: array [Device] of Rights;
  is_lost: boolean;

  -- The machine. Rights_none as a kernel, a launch or a lease: there is none.
  entry: Rights;                        -- the application view's page-table entry
  memory: array [Location] of Value;
  alive: array [Device] of boolean;
  kernel: array [Device] of Rights;     -- running: what it may do until its fence
  latest: Value;                        -- what a load must see: zeros, or newest once there was a store

  -- The engine.
  ready: array [Device] of Rights;      -- with what access a launch may start without a plan; kept by the gate
  wanted: array [Device] of Rights;     -- a launch that waits for its plan
  lease: Rights;                        -- somebody moves bytes at `leased_at` without asking any page table
  leased_at: Location;
  thread: array [Access] of ThreadState;  -- of the host: one that loads and one that stores
  claim: record
    holder: Claimant;
    target: Location;                       -- of an eviction: the device that is emptied
    access: Access;
    means: Means;
    step: StepKind;
  end;

-- --- the directory's queries -------------------------------------------------------------------------------------------

function copies(): 0..3;
var count: 0..3;
begin
  count := 0;
  for at: Location do
    if resident[at] then count := count + 1; end;
  end;
  return count;
end;

function state(): PageState;
begin
  if is_lost then return lost; end;
  if copies() = 0 then return untouched; end;
  if copies() = 1 then return exclusive; end;
  return shared;
end;

function allows(held: Rights; access: Access): boolean;
begin
  return held = Rights_write | (held = Rights_read & access = Access_read);
end;

function rights_for(access: Access): Rights;
begin
  if access = Access_read then return Rights_read; end;
  return Rights_write;
end;

function is_host_mapped(): boolean;
begin
  return exists device: Device do mapping[device] = Mapping_host end;
end;

function is_ready(device: Device; access: Access): boolean;
begin
  if is_lost | !allows(mapped[device], access) then return false; end;
  -- Host and device have one copy between them. Beside a kernel that writes it the host may do nothing; beside one that reads, read.
  if mapping[device] = Mapping_host then
    return host_stays | rights[host] = Rights_none | (access = Access_read & rights[host] = Rights_read);
  end;
  return mapping[device] = Mapping_own & allows(rights[device], access);
end;

-- Where a device's loads and stores go.
function seen_by(device: Device): Location;
begin
  if mapping[device] = Mapping_host then return host; end;
  return device;
end;

function is_alive(at: Location): boolean;
begin
  if at = host then return true; end;
  return alive[at];
end;

procedure store(at: Location);
begin
  for each: Location do memory[each] := outdated; end;
  memory[at] := newest;
  latest := newest;
end;

-- --- the planner: which steps a request needs --------------------------------------------------------------------------

function acquires(means: Means): boolean;
begin
  return (claim.holder = host_access | claim.holder = a_launch | claim.holder = a_lease) & claim.means = means;
end;

-- Somebody but `spared` has the right to write, to read, or a copy.
function others_write(spared: Location): boolean;
begin
  return exists at: Location do at != spared & rights[at] = Rights_write end;
end;
function others_read(spared: Location): boolean;
begin
  return exists at: Location do at != spared & rights[at] != Rights_none end;
end;
function others_hold(spared: Location): boolean;
begin
  return exists at: Location do at != spared & resident[at] end;
end;

function is_needed(step: StepKind): boolean;
var page: PageState;
begin
  page := state();
  if acquires(Means_own) then
    switch step
    case unmap: return claim.target != host & is_host_mapped();
    case revoke: return claim.access = Access_write & others_read(claim.target);
    case downgrade: return claim.access = Access_read & others_write(claim.target) & !forget_downgrade;
    case copy: return !resident[claim.target] & (page = exclusive | page = shared);
    case fill: return claim.target != host & page = untouched;
    case publish: return !resident[claim.target];
    case drop: return claim.access = Access_write & others_hold(claim.target) & !keep_stale_copy;
    case map:
      if claim.target = host then return false; end;
      return mapping[claim.target] != Mapping_own | !allows(mapped[claim.target], claim.access);
    case grant: return true;
    end;
  elsif acquires(Means_host_mapped) then
    switch step
    case unmap: return mapping[claim.target] = Mapping_own;
    case revoke: return (exists device: Device do rights[device] != Rights_none end) |
                        (claim.access = Access_write & rights[host] != Rights_none & !host_stays);
    case downgrade: return claim.access = Access_read & rights[host] = Rights_write & !host_stays;
    case copy: return !resident[host] & (page = exclusive | page = shared);
    case publish:
      return !resident[host] & (page != untouched | (claim.access = Access_write & !map_untouched));
    case drop: return others_hold(host);
    case map: return mapping[claim.target] != Mapping_host | !allows(mapped[claim.target], claim.access);
    end;
  elsif claim.holder = eviction then
    switch step
    case unmap: return mapping[claim.target] != Mapping_none;
    case copy: return resident[claim.target] & page = exclusive & !forget_only_copy;
    case publish: return resident[claim.target] & page = exclusive & !forget_only_copy;
    case drop: return resident[claim.target];
    end;
  elsif claim.holder = a_discard then
    switch step
    case unmap: return is_host_mapped();
    case revoke: return exists at: Location do rights[at] != Rights_none end;
    case discard: return page != untouched;
    end;
  end;
  return false;
end;

-- The canonical order of steps.
function position(step: StepKind): 0..11;
begin
  switch step
  case unmap: return 1;
  case revoke: return 2;
  case downgrade: return 3;
  case copy: if copy_before_revoke then return 0; end; return 4;
  case fill: return 5;
  case publish: if grant_before_publish then return 11; end; return 6;
  case drop: return 7;
  case discard: return 8;
  case map: return 9;
  case grant: return 10;
  end;
end;

-- --- the gate ----------------------------------------------------------------------------------------------------------

-- Whether a kernel on the device that may do this must end before the plan. One that only reads goes on with the bytes that it
-- began with, as long as they stay mapped and no newer ones come to their place.
function is_in_the_way(device: Device; used: Rights; holder: Claimant; target: Location; access: Access; means: Means): boolean;
begin
  if used = Rights_none then return false; end;
  if holder = a_discard then return true; end;
  if holder = eviction then return device = target; end;
  if device = target then
    if means = Means_host_mapped then return mapping[device] = Mapping_own; end;
    return mapping[device] = Mapping_host | (!resident[device] & !overwrite_read);
  end;
  if means = Means_own & mapping[device] = Mapping_host then
    if target != host then return true; end;
    -- The kernel reads the bytes that the host is about to change, or writes those that it is about to read.
    return (used = Rights_write | access = Access_write) & !host_returns;
  end;
  return used = Rights_write;
end;

function is_in_use(holder: Claimant; target: Location; access: Access; means: Means): boolean;
begin
  return !ignore_fence & exists device: Device do is_in_the_way(device, kernel[device], holder, target, access, means) end;
end;

-- Whether a lease stands in the way: a lease to write wants to be alone, one to read wants its copy to stay.
function is_leased(holder: Claimant; target: Location; access: Access; means: Means): boolean;
begin
  if lease = Rights_none then return false; end;
  if holder = a_discard then return true; end;
  if holder = eviction then return target = leased_at & !evict_leased; end;
  if means = Means_host_mapped then return leased_at != host; end;
  return target != leased_at & (access = Access_write | lease = Rights_write);
end;

function may_claim(holder: Claimant; target: Location; access: Access; means: Means): boolean;
begin
  return claim.holder = nobody & !is_in_use(holder, target, access, means) & !is_leased(holder, target, access, means);
end;

procedure refresh();
begin
  for device: Device do
    ready[device] := Rights_none;
    if alive[device] & is_ready(device, Access_read) then ready[device] := Rights_read; end;
    if alive[device] & is_ready(device, Access_write) then ready[device] := Rights_write; end;
  end;
end;

-- Launches that the plan would hurt are kept out from now on: those that write, and those that read what is given up. (A block
-- that is host-mapped is given up by all others, also for reading.)
procedure mark_unready();
begin
  for device: Device do
    if claim.access = Access_write | acquires(Means_host_mapped) |
       (claim.target != host & mapping[device] = Mapping_host) then
      ready[device] := Rights_none;
    elsif ready[device] = Rights_write then
      ready[device] := Rights_read;
    end;
  end;
end;

-- --- claims and plans --------------------------------------------------------------------------------------------------

procedure release();
begin
  claim.holder := nobody;
  claim.target := host;
  claim.access := Access_read;
  claim.means := Means_own;
  claim.step := unmap;
  refresh();
end;

procedure begin_kernel(device: Device; access: Access);
begin
  assert "a kernel begins with the last store" memory[seen_by(device)] = latest;
  kernel[device] := rights_for(access);
end;

-- What the plan was made for happens.
procedure finish();
begin
  if claim.holder = host_access then
    for access: Access do
      if thread[access] = faulted & allows(entry, access) then thread[access] := running; end;
    end;
  end;
  if claim.holder = a_launch then
    if alive[claim.target] then begin_kernel(claim.target, claim.access); end;
    wanted[claim.target] := Rights_none;
  end;
  if claim.holder = a_lease & is_alive(claim.target) then
    lease := rights_for(claim.access);
    leased_at := claim.target;
  end;
  release();
end;

-- On to the first needed step after `at` in the canonical order, or to the end.
procedure go_on(at: -1..11);
var found: boolean;
begin
  found := false;
  for step: StepKind do
    if position(step) > at & is_needed(step) then
      if !found | position(step) < position(claim.step) then claim.step := step; end;
      found := true;
    end;
  end;
  if !found then finish(); end;
end;

procedure begin_plan(holder: Claimant; target: Location; access: Access; means: Means);
begin
  claim.holder := holder;
  claim.target := target;
  claim.access := access;
  claim.means := means;
  if !late_mark then mark_unready(); end;
  -- What is there already needs no plan.
  if (acquires(Means_own) & allows(rights[target], access)) |
     (acquires(Means_host_mapped) & mapping[target] = Mapping_host & is_ready(target, access)) then
    finish();
  else
    go_on(-1);
  end;
end;

-- A device died under the plan. Rights that were taken stay taken.
procedure abandon();
begin
  if claim.holder = a_launch then wanted[claim.target] := Rights_none; end;
  release();
end;

-- --- the start ---------------------------------------------------------------------------------------------------------

startstate
begin
  for at: Location do
    resident[at] := false;
    rights[at] := Rights_none;
    memory[at] := outdated;
  end;
  memory[host] := zeros;  -- a hole of the memory file
  for device: Device do
    mapping[device] := Mapping_none;
    mapped[device] := Rights_none;
    alive[device] := true;
    kernel[device] := Rights_none;
    wanted[device] := Rights_none;
  end;
  for access: Access do thread[access] := running; end;
  is_lost := false;
  entry := Rights_none;
  latest := zeros;
  lease := Rights_none;
  leased_at := host;
  release();
end;

-- --- threads of the program --------------------------------------------------------------------------------------------

rule "host store"
  entry = Rights_write
==>
begin
  store(host);
end;

ruleset access: Access do
  rule "access fault"
    thread[access] = running & !allows(entry, access)
  ==>
  begin
    thread[access] := faulted;
  end;

  rule "answer access fault"
    thread[access] = faulted & claim.holder = nobody
  ==>
  begin
    if is_lost | allows(entry, access) then
      thread[access] := running;  -- it fails, or somebody else's plan has served it
    elsif may_claim(host_access, host, access, Means_own) then
      begin_plan(host_access, host, access, Means_own);
    else
      thread[access] := parked;
    end;
  end;

  rule "wake parked access"
    thread[access] = parked & !is_in_use(host_access, host, access, Means_own) &
    !is_leased(host_access, host, access, Means_own)
  ==>
  begin
    thread[access] := running;
  end;
end;

-- --- kernels: a queue runs one at a time -------------------------------------------------------------------------------

ruleset device: Device do
  ruleset access: Access do
    rule "launch"
      alive[device] & !is_lost & kernel[device] = Rights_none & wanted[device] = Rights_none
    ==>
    begin
      if allows(ready[device], access) then
        begin_kernel(device, access);
      else
        wanted[device] := rights_for(access);
      end;
    end;
  end;

  ruleset access: Access; means: Means do
    rule "claim for launch"
      wanted[device] = rights_for(access) & !is_lost & may_claim(a_launch, device, access, means)
    ==>
    begin
      begin_plan(a_launch, device, access, means);
    end;
  end;

  rule "launch fails"
    wanted[device] != Rights_none & is_lost & claim.holder = nobody
  ==>
  begin
    wanted[device] := Rights_none;
  end;

  rule "kernel store"
    kernel[device] = Rights_write
  ==>
  begin
    store(seen_by(device));
  end;

  rule "fence"
    kernel[device] != Rights_none
  ==>
  begin
    kernel[device] := Rights_none;
  end;
end;

-- --- what else happens to a block --------------------------------------------------------------------------------------

ruleset at: Location; access: Access do
  rule "lease"
    (at = host | at = mortal) & lease = Rights_none & !is_lost & is_alive(at) & may_claim(a_lease, at, access, Means_own)
  ==>
  begin
    begin_plan(a_lease, at, access, Means_own);
  end;
end;

rule "leased store"
  lease = Rights_write
==>
begin
  store(leased_at);
end;

rule "end lease"
  lease != Rights_none
==>
begin
  lease := Rights_none;
  leased_at := host;
end;

ruleset device: Device do
  rule "evict"
    (mapping[device] != Mapping_none | resident[device]) & may_claim(eviction, device, Access_write, Means_own)
  ==>
  begin
    begin_plan(eviction, device, Access_write, Means_own);
  end;
end;

rule "give up"
  state() != untouched & may_claim(a_discard, host, Access_write, Means_own)
==>
begin
  begin_plan(a_discard, host, Access_write, Means_own);
end;

-- The device and its memory are gone. The engine learns of it at its next step there, or when it gets to the block.
rule "device dies"
  alive[mortal]
==>
begin
  alive[mortal] := false;
  memory[mortal] := outdated;
  kernel[mortal] := Rights_none;
  ready[mortal] := Rights_none;
  if claim.holder != a_launch | claim.target != mortal then wanted[mortal] := Rights_none; end;
  if leased_at = mortal then
    lease := Rights_none;
    leased_at := host;
  end;
end;

rule "lose"
  !alive[mortal] & claim.holder = nobody
==>
begin
  if resident[mortal] & state() = exclusive then is_lost := true; end;
  resident[mortal] := false;
  rights[mortal] := Rights_none;
  mapping[mortal] := Mapping_none;
  mapped[mortal] := Rights_none;
  alive[mortal] := true;  -- after a reset
  refresh();
end;

-- --- steps -------------------------------------------------------------------------------------------------------------

rule "unmap"
  claim.holder != nobody & claim.step = unmap
==>
begin
  for device: Device do
    if (acquires(Means_own) & mapping[device] = Mapping_host) | (acquires(Means_host_mapped) & device = claim.target) |
       (claim.holder = eviction & device = claim.target) | (claim.holder = a_discard & mapping[device] = Mapping_host) then
      mapping[device] := Mapping_none;
      mapped[device] := Rights_none;
      rights[device] := Rights_none;
    end;
  end;
  go_on(position(unmap));
end;

rule "revoke"
  claim.holder != nobody & claim.step = revoke
==>
begin
  for at: Location do
    if (acquires(Means_own) & at != claim.target) |
       (acquires(Means_host_mapped) & (at != host | (claim.access = Access_write & !host_stays))) | claim.holder = a_discard then
      rights[at] := Rights_none;
      if at = host then entry := Rights_none; end;
    end;
  end;
  go_on(position(revoke));
end;

rule "downgrade"
  claim.holder != nobody & claim.step = downgrade
==>
begin
  for at: Location do
    if at != claim.target & rights[at] = Rights_write then
      rights[at] := Rights_read;
      if at = host then entry := Rights_read; end;
    end;
  end;
  go_on(position(downgrade));
end;

ruleset source: Location do
  rule "copy"
    claim.holder != nobody & claim.step = copy & resident[source] & (source = host | !resident[host])
  ==>
  var into: Location;
  begin
    into := host;
    if acquires(Means_own) then into := claim.target; end;
    if is_alive(source) & is_alive(into) then
      if into != host then
        assert "nobody reads where newer bytes come" kernel[into] = Rights_none | mapping[into] = Mapping_host;
      end;
      memory[into] := memory[source];
      go_on(position(copy));
    else
      abandon();
    end;
  end;
end;

rule "fill"
  claim.holder != nobody & claim.step = fill
==>
begin
  if alive[claim.target] then
    memory[claim.target] := zeros;
    go_on(position(fill));
  else
    abandon();
  end;
end;

rule "publish"
  claim.holder != nobody & claim.step = publish
==>
begin
  assert "lost pages come back by discard only" !is_lost;
  if acquires(Means_own) then
    resident[claim.target] := true;
  else
    resident[host] := true;
  end;
  go_on(position(publish));
end;

rule "drop"
  claim.holder != nobody & claim.step = drop
==>
begin
  assert "drop is of one of several copies" state() = shared;
  for at: Location do
    if (acquires(Means_own) & at != claim.target) | (acquires(Means_host_mapped) & at != host) |
       (claim.holder = eviction & at = claim.target) then
      resident[at] := false;
      rights[at] := Rights_none;
      memory[at] := outdated;
    end;
  end;
  assert "drop leaves a copy" state() != untouched;
  go_on(position(drop));
end;

rule "discard"
  claim.holder != nobody & claim.step = discard
==>
begin
  for at: Location do
    resident[at] := false;
    rights[at] := Rights_none;
    memory[at] := outdated;
  end;
  memory[host] := zeros;
  latest := zeros;
  is_lost := false;
  go_on(position(discard));
end;

rule "map"
  claim.holder != nobody & claim.step = map
==>
begin
  if alive[claim.target] then
    mapped[claim.target] := rights_for(claim.access);
    if acquires(Means_own) then
      mapping[claim.target] := Mapping_own;
    else
      mapping[claim.target] := Mapping_host;
    end;
    go_on(position(map));
  else
    abandon();
  end;
end;

rule "grant"
  claim.holder != nobody & claim.step = grant
==>
begin
  rights[claim.target] := rights_for(claim.access);
  if claim.target = host then entry := rights[host]; end;
  go_on(position(grant));
end;

-- --- what must hold in every state -------------------------------------------------------------------------------------

invariant "I1 rights imply a copy"
  forall at: Location do rights[at] != Rights_none -> resident[at] end;

invariant "I2 a writer is alone"
  forall at: Location do rights[at] = Rights_write -> copies() = 1 end;

invariant "I3 lost pages have no copy"
  is_lost -> copies() = 0;

invariant "I4 where a block is host-mapped nobody but the host has a copy"
  is_host_mapped() -> forall device: Device do !resident[device] end;

invariant "the host's page table gives what the directory says"
  entry = rights[host];

invariant "a copy that the directory calls valid has the last store"
  forall at: Location do resident[at] & is_alive(at) -> memory[at] = latest end;

invariant "untouched pages read as zeros"
  state() = untouched -> latest = zeros & memory[host] = zeros;

invariant "a host load sees the last store"
  entry != Rights_none -> memory[host] = latest;

invariant "what a kernel may write the host may not touch, and what one reads in host memory the host may not change"
  forall device: Device do
    (kernel[device] = Rights_write -> entry = Rights_none) &
    (kernel[device] = Rights_read & mapping[device] = Mapping_host -> entry != Rights_write)
  end;

invariant "a running kernel has the block mapped, and the last store if it may write"
  forall device: Device do
    kernel[device] != Rights_none ->
      mapping[device] != Mapping_none &
      (kernel[device] = Rights_write -> mapped[device] = Rights_write & memory[seen_by(device)] = latest)
  end;

invariant "a lease sees the last store"
  lease != Rights_none -> memory[leased_at] = latest;

-- Reachable from everywhere: nobody waits for ever.
liveness "everybody is served"
  claim.holder = nobody & lease = Rights_none &
  forall access: Access do thread[access] = running end &
  forall device: Device do wanted[device] = Rights_none & kernel[device] = Rights_none end;
