"""The timeline of a GPU run: a GPU of each stage, and its streams of communication.

One GPU stands for all of its stage. What a pass is spent on is known, but not in which order, so a pass is one
event that says how its time divides, and what it waits for is shown at its end (see `wsesim.machines.timeline`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from wsesim.engine.program import Span
from wsesim.machines.gpu.memory import kept_bytes_per_block
from wsesim.machines.gpu.pipeline import PIECES_AHEAD, shape_of
from wsesim.machines.gpu.simulation import Rounds, pass_shares
from wsesim.machines.gpu.stages import blocks_of_chunks, row_of
from wsesim.machines.gpu.times import messages_of, pass_flop
from wsesim.machines.timeline import (
    IN_PASS,
    NO_LAYER,
    Arrow,
    Counter,
    Event,
    Moved,
    Stretch,
    Timeline,
    Track,
    check_size,
    fill,
    parts_in_pass,
    rate,
    streams_of,
)
from wsesim.results.result import Result

STREAMS = {
    "gather": "data-parallel collectives",
    "stage": "GPU",
    **IN_PASS,
    "forward_link": "sends of activations",
    "backward_link": "sends of gradients",
    "reduce": "data-parallel reductions",
}
"""Tracks of a stage: beginning of a part's name in the trace, and what people call it."""

LINKS = ("gather", "forward_link", "backward_link", "reduce")
"""Streams whose rate is known at every moment."""

CATEGORY = {
    "forward": "kernels",
    "backward": "kernels",
    "send": "pipeline",
    "gather": "data",
    "reduce": "data",
    "update": "optimizer",
    "host": "host",
    "wait_data_parallel": "data",
}
"""Of the breakdown, by what a span is; every other wait is a bubble."""

WORK = ("kernels", "optimizer", "host")
"""Categories in which the GPU works, and no link."""

WORDS = {
    "forward": "",
    "backward": "",
    "send": "send",
    "gather": "gather parameters",
    "reduce": "reduce gradients",
    "update": "update",
    "host": "work of the host",
    "wait_data_parallel": "waits for the data-parallel group",
    "wait_pipeline": "waits for another stage",
    "wait_step": "waits for the end of the step",
}
NEAR = 1e-6
"""A span that begins before a round by less than this share of it belongs to it. [-]"""


class Place(NamedTuple):
    """Which part of the model, and which micro-batch, a span is about.

    Attributes
    ----------
    layer, last_layer
        Places in forward order. [-]
    pieces
        Spans like it that make up a whole pass. [-]
    """

    layer: int
    last_layer: int
    micro_batch: int
    pieces: int = 1


class Chunk(NamedTuple):
    """Blocks of one chunk of the pipeline."""

    first_block: int
    num_blocks: int
    is_first: bool
    is_last: bool

    def layers(self, piece: int, pieces: int, phase: str) -> tuple[int, int]:
        """Places in forward order of a whole chunk, or of one of its pieces."""
        first, last = self.first_block + 1, self.first_block + self.num_blocks
        if pieces > 1:
            layer = first + piece if phase == "forward" else last - piece
            return layer, layer
        return first - self.is_first, last + self.is_last


def draw(result: Result, num_steps: int, layers: Collection[int] | None) -> Timeline:
    """Steps of a run; see `wsesim.study.timeline.timeline_of`."""
    return _Drawing(result, num_steps, layers).timeline()


def _track(span: Span) -> str:
    """Without the number of the class, of which there is one."""
    return span.part.rpartition(".")[0]


def _stage(part: str) -> int:
    return int(part.split(".")[1])


def _group(stage: int) -> str:
    """Heading of the tracks of a stage."""
    return f"stage {stage}"


class _Drawing:
    """Turns the spans of a simulated step into events, and repeats them: a step begins when the last is over."""

    def __init__(self, result: Result, num_steps: int, layers: Collection[int] | None) -> None:
        simulation, run = result.simulation, result.run
        self.result, self.simulation, self.num_steps = result, simulation, num_steps
        self.shown = None if layers is None else frozenset(layers)
        self.shape = shape_of(run, simulation.plan, simulation.num_simulated)
        blocks = blocks_of_chunks(run, simulation.plan)
        starts, last = [0, *accumulate(blocks)], len(blocks) - 1
        self.chunks = [
            Chunk(starts[number], blocks[number], number == 0, number == last) for number in range(len(blocks))
        ]
        self.shares = pass_shares(simulation.times)
        self.step_s = simulation.simulated_step_s
        self.last_share = result.step.last_micro_batch_size / result.micro_batch_size
        self.sizes = self._sizes()
        self.flop = self._flop()
        self.last_number = run.model.num_layers + 1
        self.spans = sorted(simulation.trace, key=lambda span: span.start_s)
        self.places = self._places()
        self.by_track: dict[str, list[int]] = defaultdict(list)
        self.by_stream: dict[str, list[int]] = defaultdict(list)
        for index, span in enumerate(self.spans):
            self.by_track[_track(span)].append(index)
            for stream in self._streams(span):
                self.by_stream[stream].append(index)

    def timeline(self) -> Timeline:
        """Spans of each stage and of its streams, what waits for what, and what memory holds."""
        kept = [place for place in range(len(self.spans)) if self._is_shown(place)]
        check_size(sum(1 + len(self._streams(self.spans[place])) for place in kept) * self.num_steps)
        one = [self._event(place) for place in kept]
        one += [event for place in kept for event in self._held_up(place)]
        one += [] if self.shown else self._ends()
        numbers = {place: number for number, place in enumerate(kept)}
        links = [
            Arrow(numbers[source], numbers[target])
            for source, target in _Jobs(self).pairs()
            if source in numbers and target in numbers
        ]
        order = sorted(range(len(one)), key=lambda number: one[number].start_s)
        ranks = {number: rank for rank, number in enumerate(order)}
        events, arrows = [one[number] for number in order], [Arrow(ranks[a], ranks[b]) for a, b in sorted(links)]
        return Timeline(
            name=self.result.name,
            tracks=tuple(self._tracks()),
            events=tuple(_later(event, step, self.step_s) for step in range(self.num_steps) for event in events),
            arrows=tuple(
                Arrow(arrow.source + step * len(events), arrow.target + step * len(events))
                for step in range(self.num_steps)
                for arrow in arrows
            ),
            counters=tuple(self._counters()),
            steps=tuple(Stretch(step, step * self.step_s, (step + 1) * self.step_s) for step in range(self.num_steps)),
            decisive=tuple(f"stage.{stage}" for stage in range(self.shape.num_stages)),
            notes=tuple(self._notes()),
        )

    def _tracks(self) -> Iterator[Track]:
        many = self.result.num_devices // self.shape.num_stages
        for stage in range(self.shape.num_stages):
            for stream, words in STREAMS.items():
                key = f"{stream}.{stage}"
                if key in self.by_track or key in self.by_stream:
                    name = f"{many:,} x {words}" if stream == "stage" and many > 1 else words
                    yield Track(key, f"stage {stage}: {name}", _group(stage), many, is_detail=key in self.by_stream)

    def _places(self) -> list[Place]:
        """Micro-batch and blocks of every span, by counting: a part takes its jobs in the order of the schedule."""
        seen: dict[tuple[str, str, int, str], int] = defaultdict(int)
        found = []
        for span in self.spans:
            is_wait = span.kind.startswith("wait_")
            key = (span.part, span.phase if is_wait else span.kind, span.layer, span.phase)
            found.append(self._place(span, seen[key]))
            seen[key] += not is_wait
        return found

    def _place(self, span: Span, number: int) -> Place:
        """Place of a part's `number`-th span of a kind for a chunk and a direction; of a wait, that of what follows."""
        shape, last = self.shape, self.shape.num_micro_batches - 1
        if span.layer == NO_LAYER:
            return Place(NO_LAYER, NO_LAYER, last)
        chunk, pieces = self.chunks[span.layer], self.shape.pieces[span.layer]
        if span.kind == "send":
            micro_batch, piece, pieces = number, 0, 1
        elif shape.gathers_parameters:
            micro_batch, piece = divmod(min(number, (last + 1) * pieces - 1), pieces)
        elif span.kind == "reduce" and number < (early := self._early_reductions()):
            each = 1 if shape.num_chunks == 1 else shape.group
            micro_batch, piece, pieces = (number + 1) * each - 1, 0, 1
        elif span.kind == "reduce":
            number -= early
            return Place(*chunk.layers(number, pieces, span.phase), last if shape.schedule == "1f1b" else 0, pieces)
        else:
            micro_batch = min(number, last)
            piece, pieces = number - micro_batch, pieces if self._is_cut(span, micro_batch) else 1
        if shape.schedule == "gpipe" and span.phase == "backward":
            micro_batch = last - micro_batch
        return Place(*chunk.layers(piece, pieces, span.phase), micro_batch, pieces)

    def _early_reductions(self) -> int:
        """Of one chunk, before that of the last micro-batch. [-]"""
        shape = self.shape
        each = 1 if shape.num_chunks == 1 else shape.group
        return (shape.num_micro_batches - 1) // each if shape.shares_gradients else 0

    def _is_cut(self, span: Span, passed: int) -> bool:
        """Whether a pass goes piece by piece: the last one backward, where reductions overlap it."""
        shape = self.shape
        return (
            shape.reduces
            and shape.overlaps_reduction
            and span.kind == "backward"
            and passed == shape.num_micro_batches - 1
        )

    def _is_shown(self, place: int) -> bool:
        """Whether a span touches one of the layers asked for, or belongs to none."""
        layer, last = self.places[place][:2]
        return self.shown is None or layer == NO_LAYER or any(one in self.shown for one in range(layer, last + 1))

    def _name(self, span: Span, place: Place) -> str:
        words = ""
        if place.layer != NO_LAYER:
            first, last = self._layer_name(place.layer), self._layer_name(place.last_layer)
            words = first if first == last else f"{first} to {last}"
        return " ".join(filter(None, (words, span.phase, WORDS[span.kind]))) or span.kind

    def _layer_name(self, layer: int) -> str:
        if layer == 0:
            return "embedding"
        return "head" if layer == self.last_number else f"block.{layer - 1}"

    def _event(self, index: int) -> Event:
        span, place = self.spans[index], self.places[index]
        category = CATEGORY.get(span.kind, "bubble")
        kind = "wait" if span.kind.startswith("wait_") else "work" if category in WORK else "transfer"
        shares, duration_s = self.shares.get(span.kind), span.end_s - span.start_s
        return Event(
            track=_track(span),
            name=self._name(span, place),
            kind=kind,
            category=category,
            start_s=span.start_s,
            end_s=span.end_s,
            num_bytes=self._size(span, place),
            flop=self.flop.get((span.kind, span.layer), 0.0) / place.pieces * self._share(place),
            layer=place.layer,
            last_layer=place.last_layer,
            phase=span.phase,
            step=0,
            micro_batch=place.micro_batch,
            times=_times(span, self.simulation.rounds),
            parts_s=shares and {part: share * duration_s for part, share in shares.items() if share > 0.0},
        )

    def _streams(self, span: Span) -> list[str]:
        """Tracks of the communication that holds up a stage during a span."""
        if not span.part.startswith("stage."):
            return []
        stage = _stage(span.part)
        if span.kind == "send":
            return [f"{span.phase}_link.{stage}"]
        return [f"{part}.{stage}" for part in parts_in_pass(self.shares.get(span.kind))]

    def _held_up(self, index: int) -> Iterator[Event]:
        """Events on those tracks."""
        span = self.spans[index]
        if self._streams(span):
            blocks = self._num_blocks(self.places[index])
            share = self._share(self.places[index])
            num_bytes = {part: share * blocks * self.sizes[f"{part}_{span.phase}"] for part in IN_PASS}
            yield from streams_of(self._event(index), _stage(span.part), num_bytes)

    def _num_blocks(self, place: Place) -> int:
        """Of the model, without its ends. [-]"""
        return place.last_layer - place.layer + 1 - (place.layer == 0) - (place.last_layer == self.last_number)

    def _ends(self) -> Iterator[Event]:
        """A stage that is ready waits for the others, as the next step begins for all at once."""
        last = self.shape.num_micro_batches - 1
        for stage in range(self.shape.num_stages):
            track = f"stage.{stage}"
            end_s = self.spans[self.by_track[track][-1]].end_s
            if end_s < self.step_s:
                yield Event(track, WORDS["wait_step"], "wait", "bubble", end_s, self.step_s, micro_batch=last)

    def _sizes(self) -> dict[str, float]:
        return messages_of(self.result.run, self.simulation.plan)._asdict()

    def _share(self, place: Place) -> float:
        """Sequences of a micro-batch over those of most. [-]"""
        return self.last_share if place.micro_batch == self.shape.num_micro_batches - 1 else 1.0

    def _size(self, span: Span, place: Place) -> float:
        """What one GPU sends, or the tensor of a collective. [bytes]"""
        if span.kind == "send":
            return self.sizes["send"] * self._share(place)
        if span.kind == "gather":
            return self.sizes["gather" if span.phase else "parameter_gather"]
        if span.kind != "reduce":
            return 0.0
        if span.layer == NO_LAYER:
            return self.sizes["embedding_reduce"]
        chunk = self.chunks[span.layer]
        ends = chunk.is_first * self.sizes["reduce_first"] + chunk.is_last * self.sizes["reduce_last"]
        return (chunk.num_blocks * self.sizes["reduce"] + ends) / place.pieces

    def _flop(self) -> dict[tuple[str, int], float]:
        """What one GPU executes in a whole pass through each chunk. [FLOP]"""
        forward, backward, head_forward, head_backward = row_of(pass_flop(self.result.run, self.simulation.plan.table))
        found = {}
        for number, chunk in enumerate(self.chunks):
            found["forward", number] = chunk.num_blocks * forward + chunk.is_last * head_forward
            found["backward", number] = chunk.num_blocks * backward + chunk.is_last * head_backward
        return found

    def _counters(self) -> Iterator[Counter]:
        window = (0.0, 0.0, self.num_steps * self.step_s)
        memory_bytes = self.result.run.cluster.gpu.memory_bytes
        for stage in range(self.shape.num_stages):
            group = _group(stage)
            yield fill(f"{group}: kept activations", group, self._again(self._kept(stage)), memory_bytes, window)
            if self.shape.gathers_parameters:
                room = PIECES_AHEAD * self.sizes["gather"]
                yield fill(f"{group}: gathered parameters", group, self._again(self._gathered(stage)), room, window)
            for stream in LINKS:
                if moved := list(self._moved(f"{stream}.{stage}")):
                    yield rate(f"{group}: rate of {STREAMS[stream]}", group, moved, math.inf, window)

    def _moved(self, track: str) -> Iterator[Moved]:
        """What one link carries in all steps."""
        indices = [*self.by_track.get(track, ()), *self.by_stream.get(track, ())]
        own = [(self.spans[index], self._size(self.spans[index], self.places[index])) for index in indices]
        for step in range(self.num_steps):
            later_s = step * self.step_s
            for span, size in own:
                if size > 0.0:
                    yield span.start_s + later_s, span.end_s + later_s, size

    def _again(self, changes: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """Room taken over all steps, from changes in one. [s], [bytes]"""
        held, points, ordered = 0, [], sorted(changes)
        for step in range(self.num_steps):
            for at_s, change in ordered:
                held += round(change)  # whole bytes, so that nothing is left at the end
                points.append((at_s + step * self.step_s, float(held)))
        return points

    def _kept(self, stage: int) -> Iterator[tuple[float, float]]:
        """Activations are kept from the start of a forward to the end of the backward pass. [s], [bytes]

        In an evaluation those of one block at a time, to the end of the forward pass.
        """
        each = kept_bytes_per_block(self.result.run, self.simulation.plan)
        for index in self.by_track[f"stage.{stage}"]:
            span, place = self.spans[index], self.places[index]
            if span.kind == "forward" and self.shape.forward_only:
                size = each * self._share(place)
                yield from ((span.start_s, size), (span.end_s, -size))
            elif span.kind in ("forward", "backward"):
                size = each * self._num_blocks(place) * self._share(place)
                yield (span.start_s, size) if span.kind == "forward" else (span.end_s, -size)

    def _gathered(self, stage: int) -> Iterator[tuple[float, float]]:
        """Parameters take room from the start of their gathering to the end of the pass. [s], [bytes]"""
        size = self.sizes["gather"]
        for index in self.by_track[f"gather.{stage}"]:
            span = self.spans[index]
            if span.kind == "gather" and span.phase:
                yield span.start_s, size
        for index in self.by_track[f"stage.{stage}"]:
            span = self.spans[index]
            if span.kind in ("forward", "backward"):
                yield span.end_s, -size

    def _notes(self) -> Iterator[str]:
        simulation = self.simulation
        yield "one GPU of each stage stands for all that do the same"
        yield (
            "what a pass is spent on is known, not in which order: its parts are in its details, and what it waits for "
            "is drawn at its end"
        )
        if simulation.rounds is not None:
            yield (
                f"a step has {self.result.num_micro_batches:,} micro-batches, of which {simulation.num_simulated} are "
                f"simulated and shown; events of one round stand for {1 + simulation.rounds.number} alike (times)"
            )


class _Jobs:
    """Which spans belong together."""

    def __init__(self, drawing: _Drawing) -> None:
        self.spans, self.places, self.shape = drawing.spans, drawing.places, drawing.shape
        self.by_task: dict[tuple[str, str, int, int], list[int]] = defaultdict(list)
        self.by_stage: dict[tuple[str, int], list[int]] = defaultdict(list)
        for index, span in enumerate(self.spans):
            self.by_stage[span.kind, _stage(span.part)].append(index)
            if span.layer != NO_LAYER:
                self.by_task[span.kind, span.phase, span.layer, self.places[index].micro_batch].append(index)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Source and target of every arrow."""
        for (kind, phase, chunk, micro_batch), indices in list(self.by_task.items()):
            if kind in ("forward", "backward"):
                yield from self._of_pass(phase, chunk, micro_batch, indices)
        for stage in range(self.shape.num_stages):
            updates = self.by_stage.get(("update", stage), [])
            yield from zip(self.by_stage.get(("reduce", stage), [])[-1:], updates, strict=False)
            gathers = [one for one in self.by_stage.get(("gather", stage), []) if not self.spans[one].phase]
            yield from zip(updates, gathers, strict=False)

    def _of_pass(self, phase: str, chunk: int, micro_batch: int, pieces: list[int]) -> Iterator[tuple[int, int]]:
        """Parameters that a pass needs, what it sends and who receives it, gradients that it makes."""
        gathers = self.by_task.get(("gather", phase, chunk, micro_batch), [])
        yield from zip(gathers, pieces, strict=False)
        following = chunk + 1 if phase == "forward" else chunk - 1
        sends = self.by_task.get(("send", phase, chunk, micro_batch), [])
        for sent in sends:
            yield pieces[-1], sent
            for received in self.by_task.get((phase, phase, following, micro_batch), [])[:1]:
                yield sent, received
        if phase == "backward":
            reduces = self.by_task.get(("reduce", phase, chunk, micro_batch), [])
            if len(reduces) == len(pieces):
                yield from zip(pieces, reduces, strict=True)
            else:
                yield from ((pieces[-1], one) for one in reduces[:1])


def _times(span: Span, rounds: Rounds | None) -> float:
    """How often the real step has a span. [-]"""
    if rounds is None:
        return 1.0
    begin_s = rounds.begins_s.get(f"stage.{_stage(span.part)}.0")
    if begin_s is None:
        return 1.0
    into_s, tolerance_s = span.start_s - begin_s, NEAR * rounds.round_s
    return 1.0 + rounds.number * (-tolerance_s <= into_s < rounds.round_s - tolerance_s)


def _later(event: Event, step: int, step_s: float) -> Event:
    if step == 0:
        return event
    return event._replace(start_s=event.start_s + step * step_s, end_s=event.end_s + step * step_s, step=step)
