"""What Perfetto requires of a trace, and what a test asks of one."""

import collections
import json


def load(path):
    """The document, and a complaint for each rule that it breaks."""
    document = json.loads(path.read_text())
    return document, list(broken_rules(document["traceEvents"]))


def broken_rules(events):
    """Slices of a track must contain one another or not touch; asynchronous slices and flows come in pairs; every track has a name."""
    tracks = collections.defaultdict(list)
    pairs = collections.Counter()
    named = set()
    for event in events:
        track = (event["pid"], event.get("tid"))
        match event["ph"]:
            case "X":
                begin = round(event["ts"] * 1000)
                tracks[track].append((begin, -round(event["dur"] * 1000), event["name"]))
            case "b" | "e":
                pairs[("async", event["cat"], event["id"])] += 1 if event["ph"] == "b" else -1
            case "s" | "f":
                pairs[("flow", event["cat"], event["id"])] += 1 if event["ph"] == "s" else -1
            case "M" if event["name"] == "thread_name":
                named.add(track)
            case "i" | "C" | "M" | "t":
                pass
            case other:
                yield f"a phase {other} that no test knows: {event}"
    for what, count in pairs.items():
        if count != 0:
            yield f"{what} begins {count} times more than it ends"
    for track, slices in tracks.items():
        if track not in named:
            yield f"the track {track} has no name"
        open_until = []
        for begin, negative, name in sorted(slices):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            if open_until and begin - negative > open_until[-1]:
                yield f"{name} at {begin} overlaps another slice of track {track}"
            open_until.append(begin - negative)


def of_kind(document, kind):
    return [event for event in document["traceEvents"] if event.get("cat") == kind]
