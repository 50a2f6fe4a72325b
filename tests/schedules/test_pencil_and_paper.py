"""Weight streaming on plans that can be worked out by hand.

One system behind a port of 1 GB/s, so that a megabyte takes a millisecond, and gradients that
come back at half of that. Times are in milliseconds; a plan says what each device alone takes,
the tests say who waits for whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import laid_over, tiny_run
from wsesim.engine.program import Span
from wsesim.engine.simulate import Clock, DiscreteEvents
from wsesim.errors import SimulationStuck
from wsesim.machines.wafer.metrics import bytes_per_step
from wsesim.machines.wafer.plan import Pass, Phase, Plan, Visit, make_plan, transport_of
from wsesim.machines.wafer.simulation import run_schedule
from wsesim.machines.wafer.spec import ClusterSpec
from wsesim.machines.wafer.streaming import numbers_of, shape_of, write_program
from wsesim.machines.wafer.swarmx import system_classes
from wsesim.machines.wafer.wafer import Lanes
from wsesim.workload.transformer import Layer

MS, MB = 1e-3, 1_000_000
UP = 2.0
"""Time of a gradient on its way up over that of its weights on their way down. [-]"""

MILLISECONDS = st.floats(0.01, 100.0)
few = settings(deadline=None, max_examples=60)


class PassInMs(NamedTuple):
    """A layer passes over the wafer once: weights come in, or, in a gradient pass, gradients go out."""

    layer: int
    phase: Phase
    stream_ms: float
    compute_ms: float
    num_chunks: int = 1
    streams_table: bool = False
    saved_ms: float = 0.0
    fetched_ms: float = 0.0
    late_ms: float = 0.0

    def in_seconds(self, spec: ClusterSpec) -> Pass:
        """The same in bytes and seconds."""
        return Pass(
            phase=self.phase,
            streams_table=self.streams_table,
            chunk_bytes=max(1, round(self.stream_ms * MB / self.num_chunks)),
            num_chunks=self.num_chunks,
            gemm_s=self.compute_ms * MS,
            attention_s=0.0,
            latency_s=self.late_ms * MS,
            rate_bytes_per_s=transport_of(spec, system_classes(spec)).down_bytes_per_s,
            saved_bytes=round(self.saved_ms * MB),
            fetched_bytes=round(self.fetched_ms * MB),
        )


def cluster(**overrides: Any) -> ClusterSpec:
    """One system whose port is the bottleneck of the way down, and MemoryX that of the way up."""
    base = {
        "system": {"wafer": {"io_bytes_per_s": "1 GB/s"}},
        "memoryx": {"egress_bytes_per_s": "1 TB/s", "ingress_bytes_per_s": 1e9 / UP, "tensor_latency_s": 0.0},
        "swarmx": {"link_bytes_per_s": "1 TB/s", "hop_latency_s": 0.0},
    }
    return tiny_run(cluster=laid_over(base, overrides)).cluster


def plan_of(
    spec: ClusterSpec,
    passes: Sequence[PassInMs],
    *,
    update_ms: Sequence[float] = (),
    waits_for_norm: bool = False,
    num_micro_batches: int = 1,
    micro_batch_size: int = 1,
) -> Plan:
    """A plan by hand; every layer is its own, and its input takes no time."""
    num_layers = 1 + max(one.layer for one in passes)
    layer = Layer("layer", "block", 0, 0, 1, 0.0, 0.0, 0.0, 0.0)
    return Plan(
        visits=tuple(Visit(one.layer, kind) for kind, one in enumerate(passes)),
        kinds=tuple(one.in_seconds(spec) for one in passes),
        layers=(layer,) * num_layers,
        update_kinds=tuple(range(num_layers)),
        update_s=tuple(time * MS for time in (update_ms or [0.0] * num_layers)),
        waits_for_norm=waits_for_norm,
        micro_batch_size=micro_batch_size,
        num_micro_batches=num_micro_batches,
        sequences_per_pass=float(micro_batch_size),
        input_bytes=0,
        input_workers=1,
        lanes=Lanes(1, 1, 1, 1, 1, "sram", 1),
        classes=system_classes(spec),
        transport=transport_of(spec, system_classes(spec)),
        software_release="",
        release_rate=1.0,
    )


def drive(spec: ClusterSpec, plan: Plan, num_steps: int = 3) -> DiscreteEvents:
    """The plan after some steps."""
    clock = Clock()
    events = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(plan), plan.num_micro_batches)
    events.start()
    for step in range(num_steps):
        clock.run_until(events.step_done[step])
    return events


def step_ms(spec: ClusterSpec, plan: Plan) -> float:
    """One step in the steady state."""
    (ends,) = drive(spec, plan, num_steps=5).step_ends_s
    return (ends[-1] - ends[-2]) / MS


def spans(events: DiscreteEvents, part: str, kind: str, phase: str = "", step: int = 1) -> list[Span]:
    """What one part did in one step, in order."""
    return [
        span for span in events.trace if (span.part, span.kind, span.step) == (part, kind, step) and phase in span.phase
    ]


def there_and_back(num_layers: int, stream_ms: float, compute_ms: float, num_chunks: int = 1) -> list[PassInMs]:
    """Equal layers, forward, and back with the gradients of their inputs and then of their weights."""
    passes = [PassInMs(layer, "forward", stream_ms, compute_ms, num_chunks) for layer in range(num_layers)]
    for layer in reversed(range(num_layers)):
        passes += [PassInMs(layer, phase, stream_ms, compute_ms, num_chunks) for phase in ("backward", "gradient")]
    return passes


def forward_ms(spec: ClusterSpec, passes: list[PassInMs]) -> float:
    """From the first weight sent to the end of the forward pass, in the first step."""
    ends = [one.end_s for one in drive(spec, plan_of(spec, passes), num_steps=1).trace if is_forward(one)]
    return max(ends) / MS


def is_forward(span: Span) -> bool:
    return span.phase == "forward" and span.step == 0


# Bytes are whole: a megabyte is a millisecond to six digits, and times are of at least a hundredth.
WHOLE_BYTES = 1e-3


# One system, one layer


@few
@given(MILLISECONDS, MILLISECONDS, MILLISECONDS, MILLISECONDS, MILLISECONDS, MILLISECONDS)
def test_one_layer_is_three_passes_in_series_and_the_update(
    stream: float, way: float, forward: float, backward: float, gradient: float, update: float
) -> None:
    spec = cluster(memoryx={"tensor_latency_s": way * MS})
    passes = [
        PassInMs(0, "forward", stream, forward),
        PassInMs(0, "backward", stream, backward),
        PassInMs(0, "gradient", stream, gradient),
    ]
    # each pass takes its work or its stream, and one that takes weights waits for their way
    with_weights = 2 * way + max(stream, forward) + max(stream, backward)
    expected = with_weights + max(UP * stream, gradient) + update
    assert step_ms(spec, plan_of(spec, passes, update_ms=[update])) == pytest.approx(expected, rel=WHOLE_BYTES)


@few
@given(MILLISECONDS, MILLISECONDS, MILLISECONDS)
def test_latency_that_is_not_hidden_follows_each_pass(stream: float, compute: float, late: float) -> None:
    spec = cluster()
    passes = [one._replace(late_ms=late) for one in there_and_back(1, stream, compute)]
    expected = 2 * max(stream, compute) + max(UP * stream, compute) + 3 * late
    assert step_ms(spec, plan_of(spec, passes)) == pytest.approx(expected, rel=WHOLE_BYTES)


def test_a_tree_adds_its_hops_to_every_pass() -> None:
    passes = there_and_back(1, stream_ms=1.0, compute_ms=10.0)
    alone, many = cluster(), cluster(num_systems=16, swarmx={"hop_latency_s": "5 ms"})
    longer = step_ms(many, plan_of(many, passes)) - step_ms(alone, plan_of(alone, passes))
    # sixteen systems hang three hops of 5 ms below MemoryX: two passes wait for weights, and 2 ms of gradients with 15 ms of
    # way up are 7 ms longer than 10 ms of work
    assert longer == pytest.approx(2 * 3 * 5.0 + 7.0, rel=1e-9)


# Passes do not overlap


@few
@given(st.integers(1, 8), MILLISECONDS, MILLISECONDS, MILLISECONDS)
def test_equal_layers_take_the_longer_of_stream_and_work_each(
    num_layers: int, stream: float, compute: float, way: float
) -> None:
    spec = cluster(memoryx={"tensor_latency_s": way * MS})
    expected = num_layers * (way + max(stream, compute))
    found = forward_ms(spec, there_and_back(num_layers, stream, compute))
    assert found == pytest.approx(expected, rel=WHOLE_BYTES)


def test_compute_bound_layers_hide_their_streams() -> None:
    spec = cluster()
    events = drive(spec, plan_of(spec, there_and_back(6, stream_ms=1.0, compute_ms=5.0)))
    work = spans(events, "wafer.0", "gemm")
    assert len(work) == 18
    # the wafer never pauses once it has begun: the next piece starts at the very moment
    assert all(one.end_s == other.start_s for one, other in pairwise(work))


def test_no_weight_comes_before_the_pass_before_it_is_over() -> None:
    spec = cluster()
    events = drive(spec, plan_of(spec, there_and_back(6, stream_ms=5.0, compute_ms=7.0, num_chunks=3)))
    sent, work = spans(events, "swarmx_down", "transfer", "forward"), spans(events, "wafer.0", "gemm", "forward")
    ends = {span.layer: span.end_s for span in work}
    assert all(one.start_s >= ends[one.layer - 1] for one in sent if one.layer > 0)


@few
@given(st.integers(1, 16), MILLISECONDS, MILLISECONDS)
def test_however_many_chunks_a_pass_takes_its_stream_or_its_work(
    num_chunks: int, stream: float, compute: float
) -> None:
    spec = cluster()
    found = forward_ms(spec, there_and_back(1, stream, compute, num_chunks))
    # a sixteenth of a hundredth of a millisecond is 625 bytes
    assert found == pytest.approx(max(stream, compute), rel=2 * WHOLE_BYTES)


# Bounded buffers


def test_a_buffer_of_three_chunks_is_enough() -> None:
    three = cluster(system={"wafer": {"weight_buffer_bytes": 3.0 * 3 * MB}})
    passes = there_and_back(6, stream_ms=12.0, compute_ms=8.0, num_chunks=4)
    # one on its way while another is used; differences of times around 0.1 s
    assert forward_ms(three, passes) == pytest.approx(forward_ms(cluster(), passes), rel=1e-9)


def test_gradients_without_room_stop_the_wafer() -> None:
    tight = cluster(system={"wafer": {"gradient_buffer_bytes": 1.5 * MB}})
    passes = there_and_back(1, stream_ms=4.0, compute_ms=2.0, num_chunks=4)
    events = drive(tight, plan_of(tight, passes))
    # a gradient of 1 MB leaves in 2 ms and is made in 0.5: each but the first waits until the one before is gone
    waits = [
        span for span in spans(events, "wafer.0", "wait_gradients", "gradient") if span.end_s - span.start_s > 1e-4
    ]
    assert len(waits) == 3
    # without a bound it waits for the last gradient alone, which leaves when the others have
    free = spans(drive(cluster(), plan_of(cluster(), passes)), "wafer.0", "wait_gradients", "gradient")
    assert len({span.end_s for span in free}) == 2


@few
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([2.0, 3.5, 100.0]))
def test_what_was_sent_is_used_and_every_buffer_empties(num_layers: int, num_chunks: int, room: float) -> None:
    buffer = {"weight_buffer_bytes": room * MB, "gradient_buffer_bytes": room * MB}
    spec = cluster(system={"wafer": buffer})
    passes = there_and_back(num_layers, 1.0, 1.0, num_chunks)
    events = drive(spec, plan_of(spec, passes, update_ms=[1000.0] * num_layers, waits_for_norm=True))
    events.clock.run_until(events.clock.timeout(100.0 * MS))  # the last gradient is in, and the long update has begun
    (lane,) = events.lanes
    for name in ("weight_room", "gradient_room"):
        assert lane.room[name].free == lane.room[name].capacity
        assert 0 <= lane.room[name].lowest_free < lane.room[name].capacity


# The optimizer


def ends_of_gradient_passes(events: DiscreteEvents) -> list[float]:
    """When the last gradient of each layer is in, which ends its pass: here never before its work."""
    return [
        max(up.end_s, work.end_s)
        for up, work in zip(
            spans(events, "swarmx_up", "transfer"), spans(events, "wafer.0", "gemm", "gradient"), strict=True
        )
    ]


def test_without_a_norm_each_layer_is_updated_when_its_gradient_is_in() -> None:
    spec = cluster()
    plan = plan_of(spec, there_and_back(4, stream_ms=1.0, compute_ms=5.0), update_ms=[0.5] * 4)
    events = drive(spec, plan)
    updates = spans(events, "optimizer", "update")
    assert [span.layer for span in updates] == [3, 2, 1, 0]
    assert [span.start_s for span in updates] == ends_of_gradient_passes(events)


def test_with_a_norm_the_first_update_waits_for_the_last_gradient() -> None:
    spec = cluster()
    plan = plan_of(spec, there_and_back(4, stream_ms=1.0, compute_ms=5.0), update_ms=[0.5] * 4, waits_for_norm=True)
    events = drive(spec, plan)
    updates = spans(events, "optimizer", "update")
    assert [span.layer for span in updates] == [0, 1, 2, 3]
    assert updates[0].start_s == ends_of_gradient_passes(events)[-1]
    # and the next step's first weight waits for the first update
    assert spans(events, "swarmx_down", "transfer", step=2)[0].start_s == updates[0].end_s


def test_the_norm_costs_the_updates_that_could_have_been_made_before() -> None:
    spec = cluster()
    passes = there_and_back(2, stream_ms=1.0, compute_ms=10.0)
    with_norm = plan_of(spec, passes, update_ms=[1.0, 30.0], waits_for_norm=True)
    without = plan_of(spec, passes, update_ms=[1.0, 8.0], waits_for_norm=False)
    # without: the long update runs while layer 0 goes backward, and only the last one counts
    assert step_ms(spec, without) == pytest.approx(6 * 10.0 + 1.0, rel=1e-9)
    # with: layer 1 waits for both updates, layer 0 works meanwhile
    assert step_ms(spec, with_norm) == pytest.approx(6 * 10.0 + 1.0 + 30.0 - 10.0, rel=1e-9)


@pytest.mark.parametrize("waits_for_norm", [False, True])
def test_no_weight_leaves_before_its_update(waits_for_norm: bool) -> None:
    spec = cluster()
    plan = plan_of(
        spec, there_and_back(4, stream_ms=1.0, compute_ms=0.1), update_ms=[3.0] * 4, waits_for_norm=waits_for_norm
    )
    events = drive(spec, plan)
    updated = {span.layer: span.end_s for span in spans(events, "optimizer", "update", step=1)}
    for sent in spans(events, "swarmx_down", "transfer", step=2):
        assert sent.start_s >= updated[sent.layer]


def test_the_work_on_a_layer_does_not_begin_before_its_weights_are_updated() -> None:
    spec = cluster()
    plan = plan_of(spec, there_and_back(2, stream_ms=1.0, compute_ms=5.0), update_ms=[50.0, 50.0])
    events = drive(spec, plan)
    updated = {span.layer: span.end_s for span in spans(events, "optimizer", "update", step=1)}
    for work in spans(events, "wafer.0", "gemm", "forward", step=2):
        assert work.start_s >= updated[work.layer]


# Evaluation


def test_an_evaluation_is_the_forward_pass_again_and_again() -> None:
    spec = cluster()
    passes = [one for one in there_and_back(3, stream_ms=2.0, compute_ms=5.0) if one.phase == "forward"]
    assert step_ms(spec, plan_of(spec, passes, num_micro_batches=2)) == pytest.approx(2 * 3 * 5.0, rel=1e-9)


# Tied embeddings


def tied(head_last: bool) -> list[PassInMs]:
    """An embedding whose table the head streams, too, and a block between them."""
    forward = [
        PassInMs(0, "forward", 1.0, 1.0),
        PassInMs(1, "forward", 1.0, 1.0),
        PassInMs(2, "forward", 2.0, 1.0, streams_table=True),
    ]
    head = [
        PassInMs(2, "backward", 2.0, 1.0, streams_table=True),
        PassInMs(2, "gradient", 2.0, 1.0, streams_table=True),
    ]
    block = [PassInMs(1, "backward", 1.0, 1.0), PassInMs(1, "gradient", 1.0, 1.0)]
    embedding = [PassInMs(0, "gradient", 1.0, 1.0)]
    return forward + ([*embedding, *block, *head] if head_last else [*head, *block, *embedding])


@pytest.mark.parametrize("head_last", [False, True])
def test_a_tied_embedding_waits_for_both_contributions(head_last: bool) -> None:
    spec = cluster()
    events = drive(spec, plan_of(spec, tied(head_last), update_ms=[0.5, 0.5, 0.5]))
    table = next(span for span in spans(events, "optimizer", "update") if span.layer == 0)
    contributions = [span.end_s for span in spans(events, "swarmx_up", "transfer") if span.layer in (0, 2)]
    assert len(contributions) == 2
    assert table.start_s >= max(contributions)


def test_a_tied_head_waits_for_the_update_of_the_table() -> None:
    spec = cluster()
    passes = tied(head_last=True)
    events = drive(spec, plan_of(spec, passes[2:3] + passes[:2] + passes[3:], update_ms=[7.0, 0.5, 0.5]))
    table = next(span for span in spans(events, "optimizer", "update", step=1) if span.layer == 0)
    head = spans(events, "swarmx_down", "transfer", "forward", step=2)[0]
    assert head.layer == 2
    assert head.start_s >= table.end_s


# Gradient accumulation


def test_every_micro_batch_streams_the_weights_again() -> None:
    spec = cluster()
    passes = there_and_back(3, stream_ms=1.0, compute_ms=2.0, num_chunks=2)
    events = drive(spec, plan_of(spec, passes, num_micro_batches=5, update_ms=[1.0] * 3))
    assert len(spans(events, "swarmx_down", "transfer")) == 5 * 6 * 2
    assert len(spans(events, "swarmx_up", "transfer")) == 5 * 3 * 2
    assert [span.layer for span in spans(events, "optimizer", "update")] == [2, 1, 0]


@few
@given(st.integers(1, 6), MILLISECONDS, MILLISECONDS, MILLISECONDS)
def test_compute_bound_micro_batches_follow_without_a_gap(
    num_micro_batches: int, stream: float, extra: float, update: float
) -> None:
    compute = UP * stream + extra
    spec = cluster()
    passes = there_and_back(1, stream, compute)
    plan = plan_of(spec, passes, num_micro_batches=num_micro_batches, update_ms=[update])
    assert step_ms(spec, plan) == pytest.approx(num_micro_batches * 3 * compute + update, rel=WHOLE_BYTES)


# Activations


def offloading(num_layers: int, move_ms: float) -> list[PassInMs]:
    """Layers whose activations leave after the forward pass and come back before the backward pass."""
    passes = there_and_back(num_layers, stream_ms=0.1, compute_ms=1.0)
    moved = {"forward": {"saved_ms": move_ms}, "backward": {"fetched_ms": move_ms}, "gradient": {}}
    return [one._replace(**moved[one.phase]) for one in passes]


@pytest.mark.parametrize("move_ms", [0.2, 1.0, 5.0])
def test_activations_are_back_before_the_backward_pass(move_ms: float) -> None:
    spec = cluster()
    events = drive(spec, plan_of(spec, offloading(5, move_ms)))
    saved = spans(events, "port_out_activations.0", "activations")
    fetched = spans(events, "port_in_activations.0", "activations")
    work = spans(events, "wafer.0", "gemm", "backward")
    assert [span.layer for span in saved] == [0, 1, 2, 3, 4]
    assert [span.layer for span in fetched] == [span.layer for span in work] == [4, 3, 2, 1, 0]
    assert fetched[0].start_s >= saved[-1].end_s
    assert all(back.end_s <= used.start_s for back, used in zip(fetched, work, strict=True))


def test_gradients_leave_after_the_activations_that_were_there_before() -> None:
    spec = cluster()
    passes = there_and_back(2, stream_ms=0.1, compute_ms=1.0)
    passes[0] = passes[0]._replace(saved_ms=50.0)
    passes[4] = passes[4]._replace(fetched_ms=50.0)
    events = drive(spec, plan_of(spec, passes))
    (saved,) = spans(events, "port_out_activations.0", "activations")
    # made after three pieces of work of 1 ms, the first gradient waits for the port until the 50 ms are over
    assert spans(events, "swarmx_up", "transfer")[0].start_s == saved.end_s


def test_activations_come_back_at_most_two_layers_ahead() -> None:
    spec = cluster()
    events = drive(spec, plan_of(spec, offloading(6, move_ms=0.01)))
    fetched = spans(events, "port_in_activations.0", "activations")
    work = spans(events, "wafer.0", "gemm", "backward")
    assert all(ahead.start_s >= used.start_s for ahead, used in zip(fetched[2:], work, strict=False))


def test_a_port_that_is_slow_for_activations_decides() -> None:
    spec = cluster()
    num_layers, move = 6, 20.0
    # all leave one after another and come back one after another; the rest hides behind that, but for
    # the first layer that makes them and the last that uses them
    expected = 1.0 + 2 * num_layers * move + 2 * 1.0
    # chunks of weights pass the same port between them
    assert step_ms(spec, plan_of(spec, offloading(num_layers, move))) == pytest.approx(expected, abs=num_layers * 0.1)


# Input


def test_a_starved_wafer_runs_at_the_rate_of_its_input_workers() -> None:
    spec = cluster(input={"worker_samples_per_s": 100.0})
    passes = there_and_back(1, 0.1, 1.0)
    plan = plan_of(spec, passes, num_micro_batches=3, micro_batch_size=4)
    # 12 samples at 100 a second; sums of a few dozen doubles
    assert step_ms(spec, plan) == pytest.approx(120.0, rel=1e-9)


def test_workers_share_the_preparation() -> None:
    run = tiny_run(
        training={"global_batch_size": 16},
        cluster={"input": {"worker_samples_per_s": 10.0, "num_workers_per_system": 4}},
    )
    # 16 samples, four workers at 10 a second; sums of a few dozen doubles
    assert run_schedule(run).step_time_s == pytest.approx(0.4, rel=1e-9)


def test_fast_input_costs_nothing() -> None:
    passes = there_and_back(2, stream_ms=0.1, compute_ms=1.0)
    fast, endless = cluster(input={"worker_samples_per_s": 1e6}), cluster()
    assert step_ms(fast, plan_of(fast, passes)) == pytest.approx(step_ms(endless, plan_of(endless, passes)), rel=1e-9)


# Stragglers


def test_a_straggler_at_80_percent_makes_a_compute_bound_step_a_quarter_longer() -> None:
    passes = there_and_back(3, stream_ms=1e-6, compute_ms=1.0)
    equal, mixed = cluster(num_systems=4), cluster(num_systems=4, exceptions=[{"systems": [2], "speed": 0.8}])
    plan = plan_of(mixed, passes)
    ends = drive(mixed, plan, num_steps=5).step_ends_s
    longest = max(end[-1] - end[-2] for end in ends) / MS
    # a byte down and up takes some nanoseconds of six milliseconds
    assert longest / step_ms(equal, plan_of(equal, passes)) == pytest.approx(1.0 / 0.8, rel=1e-5)


def test_a_straggler_that_has_time_to_spare_costs_nothing() -> None:
    passes = there_and_back(3, stream_ms=5.0, compute_ms=1.0)
    mixed, equal = cluster(num_systems=4, exceptions=[{"systems": [2], "speed": 0.8}]), cluster(num_systems=4)
    slower = max(end[-1] - end[-2] for end in drive(mixed, plan_of(mixed, passes), num_steps=5).step_ends_s) / MS
    # every pass is as long as its stream of 5 or 10 ms
    assert slower == pytest.approx(step_ms(equal, plan_of(equal, passes)), rel=1e-6)


# The plan of a run


def phases(activations: str, num_layers: int) -> list[tuple[int, str]]:
    plan = make_plan(tiny_run(model={"num_layers": num_layers}, training={"activations": activations}))
    return [(visit.layer, plan.kinds[visit.kind].phase) for visit in plan.visits]


def test_layers_pass_forward_and_then_in_reverse() -> None:
    assert phases("offload", 2) == [
        *[(layer, "forward") for layer in range(4)],
        *[(layer, phase) for layer in (3, 2, 1) for phase in ("backward", "gradient")],
        (0, "gradient"),
    ]


def test_an_evaluation_passes_forward_alone() -> None:
    plan = make_plan(tiny_run(training={"mode": "evaluation"}))
    assert [(visit.layer, plan.kinds[visit.kind].phase) for visit in plan.visits] == [
        (layer, "forward") for layer in range(4)
    ]
    assert sum(one.saved_bytes for one in plan.passes()) == 0


def test_recomputation_streams_all_but_the_last_block_of_a_segment_again() -> None:
    # four blocks in two segments of two: the inputs of blocks 1 and 3 are kept
    both = ("backward", "gradient")
    assert phases("recompute", 4)[6:] == [
        *[(5, phase) for phase in both],
        (3, "recompute"),
        *[(layer, phase) for layer in (4, 3) for phase in both],
        (1, "recompute"),
        *[(layer, phase) for layer in (2, 1) for phase in both],
        (0, "gradient"),
    ]


def test_sparse_weights_stream_with_their_index() -> None:
    dense, sparse = (run_schedule(tiny_run(training={"weight_sparsity": share})) for share in (0.0, 0.75))
    ratio = bytes_per_step(sparse)["weights_in"] / bytes_per_step(dense)["weights_in"]
    # a quarter of the weights, each 2 bytes and 1 byte of index; chunks are whole bytes
    assert ratio == pytest.approx(0.25 * 1.5, rel=1e-4)


# What cannot go on


def test_a_chunk_larger_than_the_buffer_is_a_stuck_simulation_that_names_memoryx() -> None:
    spec = cluster(system={"wafer": {"weight_buffer_bytes": 0.5 * MB}})
    with pytest.raises(SimulationStuck, match="swarmx_down"):
        drive(spec, plan_of(spec, there_and_back(1, stream_ms=1.0, compute_ms=1.0)))


def test_plans_cut_layers_so_that_a_chunk_fits_the_buffer() -> None:
    run = tiny_run(cluster={"system": {"wafer": {"weight_buffer_bytes": 10_000, "gradient_buffer_bytes": 7_000}}})
    assert all(one.chunk_bytes <= 7_000 for one in make_plan(run).kinds)
    assert run_schedule(run).is_steady
