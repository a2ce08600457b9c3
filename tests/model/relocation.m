-- Relocation as a Murphi model, for rumur: one block in the memory of a device, mapped on a peer, moves while kernels of user-mode
-- queues use it that nobody knows of.
--
-- Names are those of the code: stopping and in_kernel of src/device/soft/control_area.hpp, the steps of
-- src/engine/relocation_run.hpp. What is shown: no kernel ever finds the block unmapped that it was mapped for, no store is lost,
-- and a relocation comes to its end if kernels do. Left out: the deadline of a stop (it only gives up), the rate, failures of the
-- copy (then nothing moves), and devices that die.
--
-- docs/coherence.md says how to run it.

const
  -- Wrong on purpose. planted_test.py sets each to true by itself and expects that rumur finds it.
  stop_nobody: false;            -- memory moves under running queues
  look_before_saying: false;     -- a queue looks whether it may begin, and only then says that it does
  claim_before_stopping: false;  -- the block is claimed while a kernel may need the claim to end
  ignore_newcomer: false;        -- a device that came to map the block after the queues were asked is not stopped
  restart_early: false;          -- the queues go on before the block is mapped again
  publish_nothing: false;        -- the block is mapped again where it was

  owner: 1;
  peer: 2;

type
  Device: 1..2;
  Place: enum { nowhere, on_device, on_host };
  Queue: enum { idle, looked, said, running, stalled };
  Mover: enum { rest, chosen, asked, settled, claimed, down, moved, up };
  Claimant: enum { nobody, relocation };

var
  mapped: array [Device] of boolean;    -- in the books; programs use it only there
  page_table: array [Device] of Place;     -- the page tables
  newest: array [Place] of boolean;     -- has the last store
  away: boolean;
  stopping: array [Device] of boolean;
  in_kernel: array [Device] of boolean;
  queue: array [Device] of Queue;
  mover: Mover;
  asked_of: array [Device] of boolean;  -- whose queues were asked to stop
  claim: Claimant;

function where_it_is(): Place;
begin
  if away then return on_host; else return on_device; end;
end;

procedure restart();
begin
  for device: Device do
    stopping[device] := false;
    asked_of[device] := false;
  end;
end;

startstate
begin
  for device: Device do
    mapped[device] := true;
    page_table[device] := on_device;
    stopping[device] := false;
    in_kernel[device] := false;
    asked_of[device] := false;
    queue[device] := idle;
  end;
  newest[nowhere] := false;
  newest[on_device] := true;
  newest[on_host] := false;
  away := false;
  mover := rest;
  claim := nobody;
end;

-- --- kernels ---------------------------------------------------------------------------------------------------------------

ruleset device: Device do
  rule "a queue says that it is about to run a kernel"
    !look_before_saying & queue[device] = idle & mapped[device]
  ==>
    in_kernel[device] := true;
    queue[device] := said;
  end;

  rule "looks first (wrong)"
    look_before_saying & queue[device] = idle & mapped[device] & !stopping[device]
  ==>
    queue[device] := looked;
  end;

  rule "and says so then (wrong)"
    queue[device] = looked
  ==>
    in_kernel[device] := true;
    queue[device] := running;
  end;

  rule "looks, and begins or waits"
    queue[device] = said
  ==>
    if stopping[device] | !mapped[device] then
      in_kernel[device] := false;
      queue[device] := idle;
    else
      queue[device] := running;
    end;
  end;

  rule "a kernel stores"
    queue[device] = running
  ==>
    assert page_table[device] != nowhere "a kernel found it unmapped";
    for place: Place do newest[place] := false; end;
    newest[page_table[device]] := true;
  end;

  rule "a kernel loads"
    queue[device] = running
  ==>
    assert page_table[device] != nowhere "a kernel found it unmapped";
    assert newest[page_table[device]] "a store was lost";
  end;

  rule "a kernel waits for an answer to an access fault"
    queue[device] = running
  ==>
    queue[device] := stalled;
  end;

  rule "which somebody gives who needs a claim"
    queue[device] = stalled & claim = nobody
  ==>
    queue[device] := running;
  end;

  rule "a kernel ends"
    queue[device] = running
  ==>
    in_kernel[device] := false;
    queue[device] := idle;
  end;
end;

-- --- mapping operations on the peer -----------------------------------------------------------------------------------------

rule "map"
  claim = nobody & !mapped[peer]
==>
  page_table[peer] := where_it_is();
  mapped[peer] := true;
end;

rule "unmap, when no kernel uses it any more"
  claim = nobody & mapped[peer] & queue[peer] = idle
==>
  page_table[peer] := nowhere;
  mapped[peer] := false;
end;

-- --- a relocation -----------------------------------------------------------------------------------------------------------

rule "choose the devices"
  mover = rest & (!claim_before_stopping | claim = nobody)
==>
  if claim_before_stopping then claim := relocation; end;
  for device: Device do asked_of[device] := mapped[device]; end;
  mover := chosen;
end;

rule "ask their queues to stop"
  mover = chosen
==>
  for device: Device do
    if asked_of[device] & !stop_nobody then stopping[device] := true; end;
  end;
  mover := asked;
end;

rule "all have come to rest"
  mover = asked & (stop_nobody | forall device: Device do !asked_of[device] | !in_kernel[device] end)
==>
  mover := settled;
end;

rule "claim, and look who maps it now"
  mover = settled & (claim = nobody | claim_before_stopping)
==>
  if ignore_newcomer | forall device: Device do !mapped[device] | asked_of[device] end then
    claim := relocation;
    mover := claimed;
  else
    claim := nobody;
    restart();
    mover := rest;
  end;
end;

rule "take the mappings down"
  mover = claimed
==>
  for device: Device do page_table[device] := nowhere; end;
  if restart_early then restart(); end;
  mover := down;
end;

rule "copy, and publish"
  mover = down
==>
  if away then
    newest[on_device] := newest[on_host];
    newest[on_host] := false;
  else
    newest[on_host] := newest[on_device];
    newest[on_device] := false;
  end;
  if !publish_nothing then away := !away; end;
  mover := moved;
end;

ruleset refused: boolean do
  rule "map again; a peer may refuse"
    mover = moved
  ==>
    if refused then mapped[peer] := false; end;
    for device: Device do
      if mapped[device] then page_table[device] := where_it_is(); end;
    end;
    mover := up;
  end;
end;

rule "release, and restart"
  mover = up
==>
  claim := nobody;
  restart();
  mover := rest;
end;

-- --- what must hold ----------------------------------------------------------------------------------------------------------

invariant "the last store is somewhere"
  exists place: Place do newest[place] end;

invariant "who has it in the books reaches it, but for a move"
  mover = down | mover = moved |
  forall device: Device do !mapped[device] | page_table[device] = where_it_is() end;

-- Without this a relocation that waits for ever beside others' steps would not be seen.
invariant "what waits for a claim gets it"
  !(mover = asked & claim = relocation &
    exists device: Device do asked_of[device] & queue[device] = stalled end);
