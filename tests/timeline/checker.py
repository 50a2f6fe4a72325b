"""The rules of the Chrome trace-event format, as viewers need them."""

from __future__ import annotations

import bisect
import json
from collections import defaultdict
from typing import Any

from wsesim.report.chrome_trace import pieces
from wsesim.study.timeline import Timeline

Entry = dict[str, Any]
NEEDED = {"ph", "ts", "pid", "tid", "name"}


def written(timeline: Timeline) -> Entry:
    """What a reader of the file finds."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    found: Entry = json.loads("".join(pieces(timeline)), parse_constant=refuse)
    return found


def nanoseconds(value: float) -> int:
    """As Perfetto reads times: times 1000, without what is behind the point."""
    return int(value * 1000.0)


def check_format(trace: Entry) -> None:
    """Every rule, for a whole file."""
    assert trace["displayTimeUnit"] == "ms"
    assert all(isinstance(value, str) for value in trace["otherData"].values())
    entries = trace["traceEvents"]
    for entry in entries:
        assert set(entry) >= NEEDED, entry
        assert entry["ts"] >= 0.0, entry
        assert entry["ph"] in "MXsfCi", entry
    times = [entry["ts"] for entry in entries if entry["ph"] != "M"]
    assert times == sorted(times)
    tracks = check_tracks(entries)
    check_flows(entries, tracks)
    check_counters(entries)


def check_tracks(entries: list[Entry]) -> dict[int, list[tuple[int, int]]]:
    """Events of a track follow one another, and every track has one name and one place in the order."""
    names: dict[str, list[int]] = defaultdict(list)
    tracks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for entry in entries:
        if entry["ph"] == "M":
            names[entry["name"]].append(entry["tid"])
        elif entry["ph"] == "X":
            assert entry["dur"] >= 0.0, entry
            start = nanoseconds(entry["ts"])
            own = tracks[entry["tid"]]
            assert not own or own[-1][1] <= start, entry
            own.append((start, start + nanoseconds(entry["dur"])))
    assert len(set(names["thread_name"])) == len(names["thread_name"])
    assert names["thread_name"] == names["thread_sort_index"]
    assert set(tracks) <= set(names["thread_name"])
    processes = {entry["pid"] for entry in entries}
    assert names["process_name"] == names["process_sort_index"] == sorted(processes)  # of a name that is no thread's
    assert len(tracks) == 0 or len({entry["tid"]: entry["pid"] for entry in entries}) >= len(tracks)
    return tracks


def check_flows(entries: list[Entry], tracks: dict[int, list[tuple[int, int]]]) -> None:
    """Each arrow starts once and ends once, later, both inside an event."""
    begins, ends = ({entry["id"]: entry for entry in entries if entry["ph"] == phase} for phase in "sf")
    assert len(begins) + len(ends) == sum(entry["ph"] in "sf" for entry in entries)
    assert set(begins) == set(ends)
    for number, begin in begins.items():
        end = ends[number]
        assert begin["ts"] <= end["ts"], begin
        assert (begin["name"], begin["cat"]) == (end["name"], end["cat"])
        assert end["bp"] == "e"
        for one in (begin, end):
            at = nanoseconds(one["ts"])
            own = tracks[one["tid"]]
            place = bisect.bisect_right(own, (at, 1 << 62)) - 1
            assert own[place][0] <= at <= own[place][1], one


def check_counters(entries: list[Entry]) -> None:
    """A counter has one value at a time, which is not negative."""
    last: dict[str, float] = {}
    for entry in entries:
        if entry["ph"] == "C":
            assert len(entry["args"]) == 1
            assert all(value >= 0.0 for value in entry["args"].values()), entry
            assert last.get(entry["name"], -1.0) < entry["ts"], entry
            last[entry["name"]] = entry["ts"]
