"""Pipeline schedules on numbers that can be worked out by hand.

Durations are whole seconds, so that sums and comparisons are exact. A stage passes a micro-batch
forward in `FORWARD` and backward in `BACKWARD` seconds; with several chunks or pieces, each takes its share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import accumulate, pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.engine.evaluate import Many, Plain
from wsesim.engine.program import Key, Numbers, Span
from wsesim.engine.simulate import Clock, DiscreteEvents
from wsesim.machines.gpu.pipeline import (
    PipelineShape,
    capacities_of,
    layer_equivalents,
    num_jobs,
    tasks_of,
    write_program,
)

FORWARD, BACKWARD = 120, 240
few = settings(deadline=None, max_examples=80)


def shape_of(
    num_stages: int = 1, num_micro_batches: int = 1, *, num_chunks: int = 1, num_pieces: int = 1, **others: Any
) -> PipelineShape:
    """A pipeline of 1F1B whose chunks all have as many pieces."""
    pieces = (num_pieces,) * (num_stages * num_chunks)
    return PipelineShape(num_stages, num_chunks, num_micro_batches, others.pop("schedule", "1f1b"), pieces, **others)


def numbers_of(shape: PipelineShape, **seconds: float) -> Numbers:
    """Equal stages; what is not told takes no time."""
    durations: dict[Key, list[float]] = {
        ("send_s", 0): [seconds.get("send", 0.0)],
        ("embedding_reduce_s", 0): [seconds.get("embedding", 0.0)],
    }
    for chunk, pieces in enumerate(shape.pieces):
        for direction, whole in (("forward", FORWARD), ("backward", BACKWARD)):
            durations[f"{direction}_s", chunk] = [whole / shape.num_chunks]
            durations[f"{direction}_piece_s", chunk] = [whole / shape.num_chunks / pieces]
        durations["reduce_s", chunk] = [seconds.get("reduce", 0.0)]
        durations["gather_s", chunk] = [seconds.get("gather", 0.0)]
    for stage in range(shape.num_stages):
        durations["update_s", stage] = [seconds.get("update", 0.0)]
        durations["parameter_gather_s", stage] = [seconds.get("parameter_gather", 0.0)]
    return Numbers(per_class=durations, shared={}, sizes={}, latencies={}, capacities=capacities_of(shape))


@few
@given(
    stages=st.integers(1, 3),
    chunks=st.integers(1, 2),
    micro_batches=st.integers(3, 6),
    pieces=st.integers(1, 3),
    switches=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_jobs_are_counted_without_writing_them(
    stages: int, chunks: int, micro_batches: int, pieces: int, switches: list[bool]
) -> None:
    names = ("overlaps_reduction", "gathers_parameters", "reduces", "has_norm", "ties_embedding", "updated_gather")
    given = dict(zip((*names, "blocking_sends", "shares_gradients"), switches, strict=True))
    given["gathers_parameters"] &= given["reduces"]
    given["shares_gradients"] &= given["reduces"] and not given["gathers_parameters"]
    shape = shape_of(stages, micro_batches, num_chunks=chunks, num_pieces=pieces, **given)
    assert num_jobs(shape) == len(write_program(shape).jobs)


def drive(shape: PipelineShape, numbers: Numbers, num_steps: int = 3) -> DiscreteEvents:
    """The pipeline after some steps."""
    clock = Clock()
    events = DiscreteEvents(clock, write_program(shape), numbers, 1)
    events.start()
    for step in range(num_steps):
        clock.run_until(events.step_done[step])
    return events


def step_s(shape: PipelineShape, **seconds: float) -> float:
    """One step; all steps take as long."""
    first, second, third = drive(shape, numbers_of(shape, **seconds)).step_ends_s[0]
    assert second - first == third - second == first
    return first


def spans(events: DiscreteEvents, part: str, kind: str, step: int = 1) -> list[Span]:
    """What one part did in one step, in order."""
    return [span for span in events.trace if (span.part, span.kind, span.step) == (f"{part}.0", kind, step)]


# The bubble


@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
@pytest.mark.parametrize("num_stages", [1, 2, 3, 8])
@pytest.mark.parametrize("num_micro_batches", [1, 2, 7, 8, 20])
def test_the_bubble_is_one_pass_less_than_there_are_stages(
    schedule: str, num_stages: int, num_micro_batches: int
) -> None:
    step = step_s(shape_of(num_stages, num_micro_batches, schedule=schedule))
    assert step == (num_micro_batches + num_stages - 1) * (FORWARD + BACKWARD)
    # over the ideal time: (p - 1) / m
    ideal = num_micro_batches * (FORWARD + BACKWARD)
    assert (step - ideal) / ideal == pytest.approx((num_stages - 1) / num_micro_batches)


@pytest.mark.parametrize("num_stages", [2, 3, 4, 8])
@pytest.mark.parametrize("num_chunks", [2, 3, 4])
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_interleaving_divides_the_bubble_by_the_chunks(num_stages: int, num_chunks: int, groups: int) -> None:
    num_micro_batches = groups * num_stages
    step = step_s(shape_of(num_stages, num_micro_batches, num_chunks=num_chunks))
    bubble = (num_stages - 1) * (FORWARD + BACKWARD) / num_chunks
    assert step == num_micro_batches * (FORWARD + BACKWARD) + bubble


def test_the_bubble_is_noted_as_waits_for_the_pipeline() -> None:
    shape = shape_of(4, 8)
    events = drive(shape, numbers_of(shape))
    for stage in range(4):
        window = (events.step_ends_s[0][0], events.step_ends_s[0][1])
        own = [span for span in events.trace if span.part == f"stage.{stage}.0" and span.start_s >= window[0]]
        waited = sum(span.end_s - span.start_s for span in own if span.kind == "wait_pipeline" and span.step == 1)
        ended = max(span.end_s for span in own if span.step == 1)
        # before its first micro-batch, and between; the rest of the bubble is behind its last
        assert waited + window[1] - ended == 3 * (FORWARD + BACKWARD)


def test_1f1b_passes_in_the_order_of_megatron() -> None:
    def order(stage: int) -> str:
        return " ".join(f"{task.direction[0]}{task.micro_batch}" for task in tasks_of(shape_of(3, 4), stage))

    assert order(0) == "f0 f1 f2 b0 f3 b1 b2 b3"
    assert order(1) == "f0 f1 b0 f2 b1 f3 b2 b3"
    assert order(2) == "f0 b0 f1 b1 f2 b2 f3 b3"


def test_interleaved_1f1b_passes_in_the_order_of_megatron() -> None:
    # pass, chunk, micro-batch; stage 0 has chunks 0 and 2, and passes 2 (p - 1) + p = 4 times forward to begin with
    tasks = [
        [f"{task.direction[0]}{task.chunk}{task.micro_batch}" for task in tasks_of(shape_of(2, 4, num_chunks=2), stage)]
        for stage in range(2)
    ]
    assert " ".join(tasks[0]) == "f00 f01 f20 f21 f02 b20 f03 b21 f22 b00 f23 b01 b22 b23 b02 b03"
    assert " ".join(tasks[1]) == "f10 f11 f30 b30 f31 b31 f12 b10 f13 b11 f32 b32 f33 b33 b12 b13"


# Sends


@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
def test_one_micro_batch_waits_for_every_send(schedule: str) -> None:
    assert step_s(shape_of(4, 1, schedule=schedule), send=7) == 4 * (FORWARD + BACKWARD) + 6 * 7


@pytest.mark.parametrize("num_micro_batches", [2, 4, 10])
def test_1f1b_on_two_stages_pays_two_sends_for_two_micro_batches(num_micro_batches: int) -> None:
    # stage 1 has one micro-batch waiting; the next comes after a gradient's way to stage 0, and an activation's back
    step = step_s(shape_of(2, num_micro_batches), send=7)
    assert step == (num_micro_batches + 1) * (FORWARD + BACKWARD) + num_micro_batches * 7


@pytest.mark.parametrize("num_micro_batches", [2, 4, 10])
def test_gpipe_on_two_stages_pays_one_send_each_way(num_micro_batches: int) -> None:
    step = step_s(shape_of(2, num_micro_batches, schedule="gpipe"), send=7)
    assert step == (num_micro_batches + 1) * (FORWARD + BACKWARD) + 2 * 7


def test_sends_that_are_longer_than_a_forward_pass_queue_on_their_link() -> None:
    send, num_micro_batches = FORWARD + 30, 5
    step = step_s(shape_of(2, num_micro_batches, schedule="gpipe"), send=send)
    assert step == 2 * FORWARD + num_micro_batches * send + num_micro_batches * BACKWARD + send + BACKWARD


# Reductions


@pytest.mark.parametrize("num_micro_batches", [1, 3])
@pytest.mark.parametrize("num_pieces", [1, 2, 6])
def test_of_short_reductions_only_the_last_is_exposed(num_micro_batches: int, num_pieces: int) -> None:
    shape = shape_of(1, num_micro_batches, num_pieces=num_pieces, reduces=True, overlaps_reduction=True)
    assert step_s(shape, reduce=20, update=5) == num_micro_batches * (FORWARD + BACKWARD) + 20 + 5


@pytest.mark.parametrize("num_pieces", [2, 6])
def test_long_reductions_queue(num_pieces: int) -> None:
    shape = shape_of(1, 3, num_pieces=num_pieces, reduces=True, overlaps_reduction=True)
    first_piece = BACKWARD / num_pieces
    assert step_s(shape, reduce=500) == 3 * FORWARD + 2 * BACKWARD + first_piece + num_pieces * 500


def test_without_overlap_all_reductions_are_exposed() -> None:
    shape = shape_of(1, 3, num_pieces=6, reduces=True)
    events = drive(shape, numbers_of(shape, reduce=20, update=5))
    assert events.step_ends_s[0][0] == 3 * (FORWARD + BACKWARD) + 6 * 20 + 5
    (wait,) = spans(events, "stage.0", "wait_data_parallel")
    assert wait.end_s - wait.start_s == 6 * 20


def test_without_copies_nothing_is_reduced() -> None:
    shape = shape_of(2, 3, num_pieces=6, overlaps_reduction=True)
    assert step_s(shape, reduce=20) == 4 * (FORWARD + BACKWARD)
    assert not any(job.kind == "reduce" for job in write_program(shape))


def test_later_stages_reduce_in_the_bubble() -> None:
    shape = shape_of(4, 8, num_pieces=4, reduces=True, overlaps_reduction=True)
    events = drive(shape, numbers_of(shape, reduce=20))
    assert events.step_ends_s[0][0] == 11 * (FORWARD + BACKWARD) + 20
    assert spans(events, "reduce.3", "reduce")[-1].end_s < spans(events, "stage.0", "backward")[-1].end_s


def test_an_interleaved_chunk_is_reduced_from_its_last_micro_batch_on() -> None:
    shape = shape_of(2, 4, num_chunks=2, num_pieces=3, reduces=True, overlaps_reduction=True)
    events = drive(shape, numbers_of(shape, reduce=10))
    reductions, backward = spans(events, "reduce.0", "reduce"), spans(events, "stage.0", "backward")
    assert [span.layer for span in reductions] == [2, 2, 2, 0, 0, 0]
    made = {span.end_s for span in backward}
    assert all(span.start_s in made for span in reductions)
    # chunk 2: three micro-batches as a whole, the last in three pieces; so chunk 0
    assert Counter(span.layer for span in backward) == {2: 6, 0: 6}


# Parameters that are shared out


@pytest.mark.parametrize("num_pieces", [2, 4])
def test_of_short_gathers_only_the_first_is_exposed(num_pieces: int) -> None:
    shape = shape_of(1, 3, num_pieces=num_pieces, gathers_parameters=True, reduces=True, overlaps_reduction=True)
    assert step_s(shape, gather=15, reduce=15) == 15 + 3 * (FORWARD + BACKWARD) + 15


def test_long_gathers_decide() -> None:
    shape = shape_of(1, 2, num_pieces=4, gathers_parameters=True, reduces=True, overlaps_reduction=True)
    # all gathers, and all reductions but the last two, one of which fits beside the last piece
    assert step_s(shape, gather=100, reduce=30) == 2 * 2 * 4 * 100 + 6 * 30 + BACKWARD / 4 + 30


def test_gathers_and_reductions_share_the_links() -> None:
    shape = shape_of(1, 6, num_pieces=4, gathers_parameters=True, reduces=True, overlaps_reduction=True)
    links_s = 6 * (2 * 4 * 100 + 4 * 100)
    assert links_s <= step_s(shape, gather=100, reduce=100) <= links_s + BACKWARD


def test_at_most_two_pieces_are_gathered_at_a_time() -> None:
    shape = shape_of(1, 2, num_pieces=4, gathers_parameters=True)
    events = drive(shape, numbers_of(shape, gather=1))
    gathers = spans(events, "gather.0", "gather")
    work = sorted(spans(events, "stage.0", "forward") + spans(events, "stage.0", "backward"), key=lambda span: span[6])
    assert len(gathers) == len(work) == 2 * 2 * 4
    assert all(ahead.start_s >= used.end_s for ahead, used in zip(gathers[2:], work, strict=False))


def test_shared_gradients_are_reduced_for_every_micro_batch() -> None:
    shape = shape_of(1, 3, num_pieces=4, gathers_parameters=True, reduces=True)
    events = drive(shape, numbers_of(shape, reduce=7))
    assert len(spans(events, "gather.0", "reduce")) == 3 * 4  # on the links of the gathers
    # without overlap the stage waits for each
    assert events.step_ends_s[0][0] == 3 * (FORWARD + BACKWARD) + 3 * 4 * 7


# The end of the step


def uneven(shape: PipelineShape, reduce_s: list[float], **seconds: float) -> Numbers:
    """Stages that reduce for different times."""
    numbers = numbers_of(shape, **seconds)
    numbers.per_class.update({("reduce_s", stage): [value] for stage, value in enumerate(reduce_s)})
    return numbers


def test_without_a_norm_each_stage_updates_on_its_own() -> None:
    shape = shape_of(2, 4, reduces=True)
    events = drive(shape, uneven(shape, [10, 2000], update=5))
    updates = [spans(events, f"stage.{stage}", "update")[0] for stage in range(2)]
    reductions = [spans(events, f"reduce.{stage}", "reduce")[0] for stage in range(2)]
    assert [span.start_s for span in updates] == [span.end_s for span in reductions]
    # the step ends with the later
    assert events.step_ends_s[0][1] == max(span.end_s for span in updates)


@pytest.mark.parametrize("reduces", [True, False])
def test_with_a_norm_updates_wait_for_all_stages(reduces: bool) -> None:
    shape = shape_of(3, 4, reduces=reduces, has_norm=True)
    events = drive(shape, uneven(shape, [10, 2000, 30], update=5))
    updates = [spans(events, f"stage.{stage}", "update")[0] for stage in range(3)]
    drained = spans(events, "stage.0", "backward")[-1].end_s
    ready = spans(events, "reduce.1", "reduce")[0].end_s if reduces else drained
    assert [span.start_s for span in updates] == [ready] * 3
    if reduces:
        # the last stage waits for the pipeline to run dry, and then for the slowest reduction
        last = spans(events, "stage.2", "wait_data_parallel")[-1]
        assert (last.start_s, last.end_s) == (drained, ready)


@pytest.mark.parametrize("reduces", [True, False])
@pytest.mark.parametrize("has_norm", [True, False])
def test_the_ends_of_the_pipeline_add_up_a_tied_embedding(reduces: bool, has_norm: bool) -> None:
    shape = shape_of(3, 4, reduces=reduces, ties_embedding=True, has_norm=has_norm)
    assert step_s(shape, reduce=10, embedding=40, update=5) == 6 * (FORWARD + BACKWARD) + 10 * reduces + 40 + 5
    events = drive(shape, numbers_of(shape, reduce=10, embedding=40, update=5))
    updates = [spans(events, f"stage.{stage}", "update")[0].start_s for stage in range(3)]
    assert updates[0] == updates[2]
    assert (updates[1] == updates[0]) == has_norm


def test_one_stage_has_nothing_to_add_up() -> None:
    assert step_s(shape_of(1, 4, ties_embedding=True), embedding=40) == 4 * (FORWARD + BACKWARD)


def test_updated_parameters_are_gathered_before_the_next_step() -> None:
    shape = shape_of(2, 4, reduces=True, updated_gather=True)
    assert step_s(shape, reduce=10, update=5, parameter_gather=60) == 5 * (FORWARD + BACKWARD) + 10 + 5 + 60


# Any shape

SHAPES = st.builds(
    lambda stages, chunks, groups, extra, pieces, schedule, flags: PipelineShape(
        stages,
        chunks if schedule == "1f1b" else 1,
        groups * stages + (extra if chunks == 1 or schedule == "gpipe" else 0),
        schedule,
        tuple(pieces[: stages * (chunks if schedule == "1f1b" else 1)]),
        *flags,
    ),
    stages=st.integers(1, 5),
    chunks=st.integers(1, 3),
    groups=st.integers(1, 3),
    extra=st.integers(0, 4),
    pieces=st.lists(st.integers(1, 3), min_size=15, max_size=15),
    schedule=st.sampled_from(["1f1b", "gpipe"]),
    flags=st.tuples(*[st.booleans()] * 6),
)
SECONDS = st.fixed_dictionaries(
    dict.fromkeys(["send", "reduce", "gather", "update", "embedding", "parameter_gather"], st.integers(0, 200))
)


@few
@given(SHAPES, SECONDS)
def test_jobs_need_only_jobs_before_them(shape: PipelineShape, seconds: dict[str, int]) -> None:
    program = write_program(shape)
    numbers = numbers_of(shape, **seconds)
    for index, job in enumerate(program):
        assert job.place == index
        assert job.duration is None or job.duration in numbers.per_class
        assert all(need.job < index or need.of_previous_step for need in job.needs)


@few
@given(SHAPES, SECONDS)
def test_every_pass_runs_once_and_steps_are_alike(shape: PipelineShape, seconds: dict[str, int]) -> None:
    events = drive(shape, numbers_of(shape, **seconds))
    ends = events.step_ends_s[0]
    # shares of 120 and 240 s by 2 or 3 chunks and pieces are whole or thirds: rounding of some hundred sums
    assert ends[2] - ends[1] == pytest.approx(ends[0], rel=1e-12)
    assert ends[1] - ends[0] == pytest.approx(ends[0], rel=1e-12)
    busy = defaultdict(float)
    for span in events.trace:
        if span.step == 1 and span.kind in ("forward", "backward"):
            busy[span.kind, span.layer] += span.end_s - span.start_s
    for chunk in range(len(shape.pieces)):
        share = shape.num_micro_batches / shape.num_chunks
        assert busy["forward", chunk] == pytest.approx(share * FORWARD, rel=1e-12)
        assert busy["backward", chunk] == pytest.approx(share * BACKWARD, rel=1e-12)


@few
@given(SHAPES, SECONDS)
def test_the_time_of_a_stage_is_work_and_waits_without_a_gap(shape: PipelineShape, seconds: dict[str, int]) -> None:
    events = drive(shape, numbers_of(shape, **seconds))
    causes = {"wait_pipeline", "wait_data_parallel", "wait_step"}
    for stage in range(shape.num_stages):
        own = [span for span in events.trace if span.part == f"stage.{stage}.0"]
        assert own[0].start_s == 0.0
        assert all(one.end_s == other.start_s for one, other in pairwise(own))
        assert {span.kind for span in own} <= {"forward", "backward", "update"} | causes


@few
@given(SHAPES)
def test_each_stage_passes_each_micro_batch_through_each_chunk_once_each_way(shape: PipelineShape) -> None:
    for stage in range(shape.num_stages):
        tasks = tasks_of(shape, stage)
        chunks = range(stage, len(shape.pieces), shape.num_stages)
        every = product(["forward", "backward"], chunks, range(shape.num_micro_batches))
        assert sorted(tasks) == sorted(every)


@few
@given(SHAPES)
def test_a_stage_holds_as_many_micro_batches_as_is_known(shape: PipelineShape) -> None:
    num_stages, num_chunks, num_micro_batches, schedule = shape[:4]
    for stage in range(num_stages):
        change = [1 if task.direction == "forward" else -1 for task in tasks_of(shape, stage)]
        most = max(accumulate(change))
        if schedule == "gpipe":
            assert most == num_micro_batches
        elif num_chunks == 1:
            assert most == min(num_stages - stage, num_micro_batches)
        held = layer_equivalents(num_stages, num_chunks, num_micro_batches, schedule, stage)
        assert held == most / num_chunks <= num_micro_batches


@pytest.mark.parametrize("num_stages", [2, 4, 8])
@pytest.mark.parametrize("num_chunks", [2, 3])
def test_the_first_stage_of_an_interleaved_pipeline_holds_what_korthikanti_says(
    num_stages: int, num_chunks: int
) -> None:
    expected = num_stages * (1 + (num_stages - 1) / (num_stages * num_chunks))
    assert layer_equivalents(num_stages, num_chunks, 64, "1f1b", stage=0) == pytest.approx(expected)
    # a step of one group holds no more than it has
    assert layer_equivalents(num_stages, num_chunks, num_stages, "1f1b", stage=0) == num_stages


@few
@given(SHAPES, SECONDS)
def test_all_engines_agree_to_the_last_digit(shape: PipelineShape, seconds: dict[str, int]) -> None:
    numbers = numbers_of(shape, **seconds)
    plain, many = Plain(write_program(shape), numbers, 1), Many(write_program(shape), numbers, 1, 1)
    for _ in range(3):
        plain.run_step()
        many.run_step()
    ends = drive(shape, numbers).step_ends_s[0]
    assert [step[0].end_s for step in plain.steps] == ends
    assert [float(step[0].end_s[0, 0]) for step in many.steps] == ends


def test_stages_of_different_speeds_wait_for_the_slowest() -> None:
    shape, slow = shape_of(4, 32), 3
    numbers = numbers_of(shape)
    numbers.per_class.update({("forward_s", 2): [FORWARD * slow], ("backward_s", 2): [BACKWARD * slow]})
    (first, *_) = drive(shape, numbers).step_ends_s[0]
    # the slow stage never rests; two stages pass a micro-batch before and behind it, the last one in its shadow
    assert first == (32 * slow + 2) * (FORWARD + BACKWARD)
