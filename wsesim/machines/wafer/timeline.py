"""The timeline of a wafer-scale run: weights come down the tree, wafers compute, gradients go up.

Shown are all jobs of the steps asked for, also where they begin before the step or end behind it, and what
neighbouring steps do meanwhile. The tree forwards a chunk while it receives it, so that all its levels and the
ports carry a chunk at the same time; the latency of the way passes between its end and its first use.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from math import inf, isinf
from typing import NamedTuple

from wsesim.engine.program import Span
from wsesim.machines.timeline import (
    NO_LAYER,
    Arrow,
    Counter,
    Event,
    Moved,
    Stretch,
    Timeline,
    Track,
    check_simulated,
    check_size,
    fill,
    rate,
)
from wsesim.machines.wafer.simulation import Recording, Simulation, record
from wsesim.machines.wafer.streaming import GRADIENT_ROOM, WEIGHT_ROOM, numbers_of, shape_of, write_program
from wsesim.machines.wafer.swarmx import SystemClass, nodes_per_level
from wsesim.results.result import Result

DOWN, UP = "MemoryX to the wafers", "the wafers to MemoryX"
PARTS = {
    "input": "input workers prepare",
    "input_send": "input workers send",
    "port_in": "port in",
    "wafer": "wafer",
    "port_out": "port out",
}
"""Tracks of a class of systems: beginning of the key, and what people call it."""

UPDATE_WAIT = "waits for the update, and for word of it"
"""Of MemoryX before a forward pass: what follows the end of the pass before."""
NO_CHUNK = -1
"""Of an event that is no chunk. [-]"""
Place = tuple[int, int, int, str]
"""Step, micro-batch, layer and phase: a layer's turn."""


class Kind(NamedTuple):
    """What events of one kind of span have in common."""

    tracks: tuple[str, ...]
    kind: str
    category: str
    words: str


def draw(result: Result, num_steps: int, layers: Collection[int] | None) -> Timeline:
    """Steps of a run, from the one on which its numbers rest; see `wsesim.study.timeline.timeline_of`."""
    simulation = result.simulation
    num_jobs = len(write_program(shape_of(simulation.plan)).jobs) * simulation.num_simulated_micro_batches
    check_simulated(num_jobs * (simulation.num_steps + num_steps - 1))
    recording = record(simulation, num_steps, (WEIGHT_ROOM, GRADIENT_ROOM))
    return _Drawing(result, recording, num_steps, layers).timeline()


class _Drawing:
    """Turns the spans of a recording into events."""

    def __init__(self, result: Result, recording: Recording, num_steps: int, layers: Collection[int] | None) -> None:
        self.result, self.recording = result, recording
        self.simulation: Simulation = result.simulation
        self.plan = self.simulation.plan
        self.layers = None if layers is None else {NO_LAYER, *layers}
        first = self.simulation.num_steps - 1
        self.shown = range(first, first + num_steps)
        ends = [0.0, *recording.step_ends_s[self.simulation.decisive_class]]
        self.origin_s = ends[first]
        self.steps = tuple(
            Stretch(step, ends[step] - self.origin_s, ends[step + 1] - self.origin_s) for step in self.shown
        )
        self.repeated, self.times = _repeated(self.simulation)
        self.kinds: dict[tuple[str, str], Kind] = {}
        self.names: dict[tuple[int, str, str], str] = {}
        self.flop = self._flop()
        kinds = [(visit.layer, self.plan.kinds[visit.kind]) for visit in self.plan.visits]
        self.chunk_s = {(layer, kind.phase): kind.gemm_s / kind.num_chunks for layer, kind in kinds if kind.num_apart}
        self.num_levels = len(self._nodes())

    def _nodes(self) -> tuple[int, ...]:
        cluster = self.result.run.cluster
        return nodes_per_level(cluster.num_systems, cluster.swarmx.fan_out)

    def timeline(self) -> Timeline:
        """Spans of every part, what waits for what, and how full buffers are."""
        events, arrows = self._events()
        low_s = min([event.start_s for event in events], default=0.0)
        high_s = max([event.end_s for event in events], default=0.0)
        return Timeline(
            name=self.result.name,
            tracks=tuple(self._tracks()),
            events=tuple(events),
            arrows=tuple(arrows),
            counters=tuple(self._counters(min(0.0, low_s), max(high_s, self.steps[-1].end_s))),
            steps=self.steps,
            decisive=(f"wafer.{self.simulation.decisive_class}",),
            notes=tuple(self._notes()),
        )

    def _tracks(self) -> Iterator[Track]:
        levels = list(enumerate(self._nodes(), start=1))
        yield Track("memoryx.send", "MemoryX sends", DOWN)
        for level, nodes in levels:
            yield Track(f"swarmx.down.{level}", _times(nodes, f"SwarmX level {level} down"), DOWN, nodes)
        for number, kind in enumerate(self.plan.classes):
            for part, words in PARTS.items():
                if part == "input" and isinf(kind.worker_samples_per_s):
                    continue  # workers that are never too slow spend no time on it
                name = _times(kind.multiplicity, words) + self._members(kind)
                yield Track(f"{part}.{number}", name, self._group(kind), kind.multiplicity)
        for level, nodes in reversed(levels):
            yield Track(f"swarmx.up.{level}", _times(nodes, f"SwarmX level {level} up"), UP, nodes)
        yield Track("memoryx.receive", "MemoryX receives", UP)
        yield Track("optimizer", "optimizer", UP)

    def _members(self, kind: SystemClass) -> str:
        """Which systems a class stands for, where there are others."""
        return f" (CS {_ranges(kind.members)})" if len(self.plan.classes) > 1 else ""

    def _group(self, kind: SystemClass) -> str:
        """Heading of a class of systems."""
        return _times(kind.multiplicity, "CS system") + self._members(kind)

    def _kind_of(self, span: Span) -> Kind:
        """Tracks and words of a span, looked up once for each kind."""
        key = (span.part, span.kind)
        if key not in self.kinds:
            self.kinds[key] = self._make_kind(*key)
        return self.kinds[key]

    def _make_kind(self, part: str, kind: str) -> Kind:
        classes, levels = range(len(self.plan.classes)), range(1, self.num_levels + 1)
        name, _, number = part.partition(".")
        if part == "swarmx_down":
            tree = tuple(f"swarmx.down.{level}" for level in levels)
            tracks = ("memoryx.send", *tree, *(f"port_in.{one}" for one in classes))
            return Kind(tracks, "transfer", "weights", "weights")
        if part == "swarmx_up":
            tree = tuple(f"swarmx.up.{level}" for level in reversed(levels))
            tracks = ("memoryx.receive", *tree, *(f"port_out.{one}" for one in classes))
            return Kind(tracks, "transfer", "gradients", "gradients")
        if name.startswith("port_"):
            sender = (f"input_send.{number}",) if kind == "input" else ()
            return Kind((*sender, f"{name.rpartition('_')[0]}.{number}"), "transfer", kind, kind)
        if kind.startswith("wait_"):
            cause = kind.removeprefix("wait_")
            return Kind((part,), "wait", cause, f"waits for {cause}")
        if kind in ("update", "prepare"):
            return Kind((part,), "work", "optimizer" if kind == "update" else "input", kind)
        return Kind((part,), "work", kind, kind)

    def _name_of(self, span: Span, words: str) -> str:
        key = (span.layer, span.phase, words)
        if key not in self.names:
            layer = "" if span.layer == NO_LAYER else self.plan.layers[span.layer].name
            self.names[key] = " ".join(filter(None, (layer, span.phase, words)))
        return self.names[key]

    def _flop(self) -> dict[tuple[int, str, str], float]:
        """What a wafer executes in one span, by layer, phase and kind. [FLOP]"""
        found: dict[tuple[int, str, str], float] = {}
        for visit in self.plan.visits:
            layer_pass, layer = self.plan.kinds[visit.kind], self.plan.layers[visit.layer]
            attention = layer.attention_flop_per_sequence
            gemm = layer_pass.executed_flop_per_sequence - attention
            found[visit.layer, layer_pass.phase, "attention"] = attention * self.plan.sequences_per_pass
            found[visit.layer, layer_pass.phase, "gemm"] = gemm * self.plan.sequences_per_pass / layer_pass.num_chunks
        return found

    def _flop_of(self, span: Span) -> float:
        """What a span executes; a piece that stands for many chunks lasts as long as those. [FLOP]"""
        flop = self.flop.get((span.layer, span.phase, span.kind), 0.0)
        chunk_s = self.chunk_s.get((span.layer, span.phase), 0.0) if span.kind == "gemm" else 0.0
        if chunk_s <= 0.0:
            return flop
        speed = self.plan.classes[int(span.part.rpartition(".")[2])].speed
        num_chunks: int = round((span.end_s - span.start_s) * speed / chunk_s)
        return flop * max(1, num_chunks)

    def _is_shown(self, span: Span) -> bool:
        """Jobs of the steps shown, and what else happens meanwhile."""
        if self.layers is not None and span.layer not in self.layers:
            return False
        begin_s, end_s = self.origin_s, self.steps[-1].end_s + self.origin_s
        return span.step in self.shown or (span.start_s < end_s and span.end_s > begin_s)

    def _events(self) -> tuple[list[Event], list[Arrow]]:
        events: list[Event] = []
        jobs = _Jobs(len(self.plan.classes))
        chunks = self._chunks()
        shown = sorted(filter(self._is_shown, self.recording.trace), key=lambda one: one.start_s)
        check_size(sum(len(self._kind_of(span).tracks) for span in shown))
        for span in shown:
            kind, step = self._kind_of(span), span.step
            name = self._name_of(span, kind.words)
            start_s, end_s = span.start_s - self.origin_s, span.end_s - self.origin_s
            flop = self._flop_of(span)
            times = self.times if step in self.shown and span.micro_batch in self.repeated else 1.0
            if step in self.shown:
                jobs.note(span, len(events))
            about = (span.num_bytes, flop, span.layer, span.layer, span.phase, step, span.micro_batch, times)
            what = (name, kind.kind, kind.category, start_s, end_s, *about)
            events += [Event(track, *what, chunk=chunks.get(span, NO_CHUNK)) for track in kind.tracks]
        arrows = jobs.arrows()
        return self._with_waits(events, arrows)

    def _chunks(self) -> dict[Span, int]:
        """Numbers of chunks: those of a layer and pass go one after another."""
        seen: dict[tuple[str, Place], int] = defaultdict(int)
        found = {}
        for span in sorted(self.recording.trace, key=lambda one: one.start_s):
            if span.kind == "gemm" or span.part in ("swarmx_down", "swarmx_up"):
                key = (span.part, (span.step, span.micro_batch, span.layer, span.phase))
                found[span] = seen[key]
                seen[key] += 1
        return found

    def _with_waits(self, events: list[Event], arrows: list[Arrow]) -> tuple[list[Event], list[Arrow]]:
        """What MemoryX waits for before it sends: room in the weight buffer of a wafer, or the pass before and the update."""
        sends = [one for one in events if one.track == "memoryx.send"]
        begin_s, end_s = 0.0, self.steps[-1].end_s
        waits: list[Event] = []
        for kind, waited in zip(self.plan.classes, self.recording.waited[WEIGHT_ROOM], strict=True):
            for start_s, stop_s in waited:
                low_s, high_s = start_s - self.origin_s, stop_s - self.origin_s
                if high_s > low_s and high_s > begin_s and low_s < end_s:
                    name = f"weight buffer full{self._members(kind)}"
                    waits.append(Event("memoryx.send", name, "wait", "weights", low_s, high_s, step=self.shown[0]))
        full = list(_in_gaps(waits, sends))
        works = [one for one in events if one.track.startswith("wafer.") and one.kind == "work"]
        busy = sorted([*sends, *full], key=lambda one: one.start_s)
        others = (
            _held_up(busy, works, end_s) if self.layers is None else ()
        )  # else it is not known what was sent between
        held = sorted([*events, *full, *others], key=lambda one: one.start_s)
        if len(held) == len(events):
            return events, arrows
        places = {id(one): place for place, one in enumerate(held)}
        moved = [places[id(one)] for one in events]
        return held, sorted(Arrow(moved[one.source], moved[one.target]) for one in arrows)

    def _counters(self, low_s: float, high_s: float) -> Iterator[Counter]:
        low_s, high_s = low_s + self.origin_s, high_s + self.origin_s
        moved: dict[str, list[Moved]] = defaultdict(list)
        for span in self.recording.trace:
            if span.num_bytes and span.end_s > low_s and span.start_s < high_s:
                for track in self._kind_of(span).tracks:
                    moved[track].append((span.start_s, span.end_s, span.num_bytes))
        window = (self.origin_s, low_s, high_s)
        yield rate("link rate down", DOWN, moved["memoryx.send"], self.plan.transport.down_bytes_per_s, window)
        capacities = numbers_of(self.plan).capacities
        for number, kind in enumerate(self.plan.classes):
            group, members = self._group(kind), self._members(kind)
            for buffer, words in ((WEIGHT_ROOM, "weight buffer"), (GRADIENT_ROOM, "gradient buffer")):
                taken = self.recording.taken[buffer][number]
                yield fill(words + members, group, taken, capacities[buffer], window)
            for port, words in (("port_in", "port in rate"), ("port_out", "port out rate")):
                own = sorted(moved[f"{port}.{number}"])
                yield rate(words + members, group, own, kind.io_bytes_per_s, window)
        yield rate("link rate up", UP, moved["memoryx.receive"], self.plan.transport.up_bytes_per_s, window)

    def _notes(self) -> Iterator[str]:
        first, simulation = self.shown[0], self.simulation
        yield f"step {first} is the one on which the run's numbers rest, after {first} steps of running in"
        if self.repeated:
            count, number = simulation.num_simulated_micro_batches, self.plan.num_micro_batches
            yield (
                f"a step has {number:,} micro-batches, of which {count} are simulated and shown; events of "
                f"micro-batch {_from_to(self.repeated)} stand for {self.times:.6g} alike (times)"
            )
        if not simulation.is_steady:
            yield "steps do not repeat exactly; the run's numbers are means, which this step does not add up to"
        if self.num_levels:
            yield (
                "the tree forwards a chunk while it receives it: all levels and ports carry it at the same time, "
                "and the latency of the way passes before its first use"
            )


def _in_gaps(waits: Sequence[Event], sends: Sequence[Event]) -> Iterator[Event]:
    """Waits between what is sent, one at a time: of several classes, the one that is over last."""
    free_s, place = -inf, 0
    for wait in sorted(waits, key=lambda one: (one.start_s, -one.end_s)):
        while place < len(sends) and sends[place].start_s <= wait.start_s:
            free_s = max(free_s, sends[place].end_s)
            place += 1
        next_s = sends[place].start_s if place < len(sends) else inf
        start_s, end_s = max(free_s, wait.start_s), min(next_s, wait.end_s)
        if end_s > start_s:
            yield wait._replace(start_s=start_s, end_s=end_s)
            free_s = end_s


def _held_up(busy: Sequence[Event], works: Sequence[Event], end_s: float) -> Iterator[Event]:
    """Gaps before a layer is sent: the wafers are at the pass before, then its weights are updated or word is on its way."""
    ends = sorted(one.end_s for one in works)
    for last, following in pairwise(busy):
        if last.end_s >= following.start_s or following.end_s <= 0.0 or last.start_s >= end_s:
            continue
        place = bisect_right(ends, following.start_s)
        over_s = min(following.start_s, max(last.end_s, ends[place - 1] if place else last.end_s))
        told = ((last.end_s, over_s, "waits until the pass before is over"), (over_s, following.start_s, UPDATE_WAIT))
        for start_s, stop_s, name in told:
            is_update = name == UPDATE_WAIT
            if stop_s > start_s and not (is_update and following.phase != "forward"):
                category = "optimizer" if is_update else "weights"
                yield following._replace(
                    name=name,
                    kind="wait",
                    category=category,
                    start_s=start_s,
                    end_s=stop_s,
                    num_bytes=0.0,
                    chunk=NO_CHUNK,
                )


class _Jobs:
    """Which events belong together: a broadcast and its compute, compute and its reduction, the update."""

    def __init__(self, num_classes: int) -> None:
        self.classes = range(num_classes)
        self.sent: dict[Place, list[int]] = defaultdict(list)
        self.used: list[dict[Place, list[int]]] = [defaultdict(list) for _ in self.classes]
        self.reduced: dict[Place, list[int]] = defaultdict(list)
        self.updated: dict[tuple[int, int], tuple[int, int]] = {}
        self.wafers = {f"wafer.{number}": self.used[number] for number in self.classes}

    def note(self, span: Span, index: int) -> None:
        """Remember the event of a span."""
        place = (span.step, span.micro_batch, span.layer, span.phase)
        if span.part == "swarmx_down":
            self.sent[place].append(index)
        elif span.part == "swarmx_up":
            self.reduced[place].append(index)
        elif span.part == "optimizer":
            self.updated[span.step, span.layer] = (index, span.micro_batch)
        elif span.kind == "gemm":
            self.wafers[span.part][place].append(index)

    def arrows(self) -> list[Arrow]:
        """From a chunk that is there to the work on the next one, which begins then, and from work to the gradient behind it."""
        found: list[Arrow] = []
        for used in self.used:
            for place, work in used.items():
                found += map(Arrow, self.sent.get(place, [])[:-1], work[1:])
                found += map(Arrow, work[:-1], self.reduced.get(place, [])[1:])
        for (step, layer), (index, micro_batch) in self.updated.items():
            found += [Arrow(one, index) for one in self.reduced.get((step, micro_batch, layer, "gradient"), [])[-1:]]
            found += [Arrow(index, one) for one in self.sent.get((step + 1, 0, layer, "forward"), [])[:1]]
        return sorted(found)


def _repeated(simulation: Simulation) -> tuple[range, float]:
    """Micro-batches that stand for others that were not simulated, and for how many each. [-]"""
    if len(simulation.windows) == 1:
        return range(0), 1.0
    count, weight = simulation.num_simulated_micro_batches, simulation.windows[1].weight
    over = round((simulation.plan.num_micro_batches - count) / weight)
    return range(count - 1 - over, count - 1), 1.0 + weight


def _from_to(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _times(multiplicity: int, words: str) -> str:
    """A track that stands for several."""
    return words if multiplicity == 1 else f"{multiplicity:,} x {words}"


def _ranges(numbers: Sequence[int], most: int = 4) -> str:
    """Numbers in few words.

    Examples
    --------
    >>> _ranges([0, 1, 2, 4, 7, 8])
    '0-2, 4, 7-8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    words = ["-".join(map(str, run)) for run in runs]
    return ", ".join(words if len(words) <= most else [*words[:most], "..."])
