-- One access of a kernel on a device with recoverable faults, as a Murphi model for rumur: it needs several pages together, the device's
-- memory has room for one block, and the host and other devices take pages away whenever they may.
--
-- That "everybody is served" can be reached from every state would be too little here: an access that has to be lucky could be served,
-- too. So faults are counted, and there are never more of them than pages, and one. src/plan/stalled_access.hpp has the rule, and
-- src/engine/device_access.cc what it leads to. Left out: how pages are brought, and what the device says when an access has retired.

const
  -- Wrong on purpose. planted_test.py sets each to true by itself and expects that rumur finds it.
  never_together: false;  -- an access gets one page at a time, however often it comes back
  take_kept: false;       -- others take pages that are kept until the access has retired
  forget_set: false;      -- an access that faults while its pages are kept begins anew

  last: 2;  -- the access needs pages 0 to last, and touches them in this order
  most_faults: 4;

type
  Page: 0..last;
  State: enum { runs, stalled };

var
  there: array [Page] of boolean;     -- on the device, with the rights that the access needs
  had: array [Page] of boolean;       -- given since the last access retired
  together: array [Page] of boolean;  -- must be there at once
  kept: array [Page] of boolean;      -- under a claim
  state: State;
  at: Page;                           -- where it stalls
  faults: 0..most_faults + 1;

function first_missing(): 0..last + 1;
begin
  for page: Page do
    if !there[page] then return page; end;
  end;
  return last + 1;
end;

procedure let_go();
begin
  for page: Page do kept[page] := false; end;
end;

procedure begin_access();
begin
  for page: Page do
    had[page] := false;
    together[page] := false;
  end;
  let_go();
  state := runs;
  at := 0;
  faults := 0;
end;

startstate
begin
  for page: Page do there[page] := false; end;
  begin_access();
end;

rule "fault"
  state = runs & first_missing() <= last & faults <= most_faults
==>
var was_kept: boolean;
begin
  was_kept := exists page: Page do kept[page] end;
  let_go();
  if was_kept & forget_set then
    for page: Page do
      had[page] := false;
      together[page] := false;
    end;
  end;
  at := first_missing();
  state := stalled;
  faults := faults + 1;
end;

rule "answer fault"
  state = stalled
==>
begin
  if !never_together & (had[at] | exists page: Page do together[page] end) then
    for page: Page do
      if had[page] | page = at then together[page] := true; end;
      -- What the device's memory has no room for is host-mapped.
      if together[page] then
        there[page] := true;
        kept[page] := true;
      end;
    end;
  else
    for page: Page do there[page] := false; end;  -- it makes room
    there[at] := true;
    had[at] := true;
  end;
  state := runs;
end;

-- The host, another device, an eviction for somebody else.
ruleset page: Page do
  rule "others take a page"
    there[page] & (!kept[page] | take_kept)
  ==>
  begin
    there[page] := false;
  end;
end;

rule "retire"
  state = runs & first_missing() = last + 1
==>
begin
  begin_access();
end;

invariant "an access retires after few faults, whatever others do"
  faults <= most_faults;
