"""The timeline shows a steady step, all of it, and adds up to what the metrics say."""

from __future__ import annotations

from collections import defaultdict
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import Table, small_tables, tiny_run
from tests.gpu_builders import gpu_run
from tests.timeline.checker import check_format, written
from wsesim import GPURun, Result, Run, simulate, simulate_many
from wsesim.engine.simulate import Clock, DiscreteEvents
from wsesim.errors import InputError
from wsesim.machines.wafer.metrics import bytes_per_step, executed_flop_per_step, layer_times_s, link_traffic
from wsesim.machines.wafer.simulation import run_schedule
from wsesim.machines.wafer.streaming import WEIGHT_ROOM, numbers_of, shape_of, write_program
from wsesim.study.timeline import Event, Timeline, timeline_of

NANOSECOND = 1e-9

WAFERS = {
    "alone": tiny_run(),
    "tree": tiny_run(cluster={"num_systems": 8, "swarmx": {"fan_out": 2}}, training={"global_batch_size": 64}),
    "straggler": tiny_run(
        cluster={"num_systems": 4, "exceptions": [{"systems": [2], "speed": 0.5}]}, training={"micro_batch_size": 1}
    ),
    "many micro-batches": tiny_run(training={"global_batch_size": 64, "micro_batch_size": 1}),
    "offload": tiny_run(training={"activations": "offload", "micro_batch_size": 4}),
    "recompute": tiny_run(model={"num_layers": 4}, training={"activations": "recompute", "weight_sparsity": 0.5}),
    "slow input": tiny_run(cluster={"input": {"worker_samples_per_s": 1e5}}, training={"micro_batch_size": 2}),
}
PIPELINED = {"pipeline_parallel_size": 4}
GPUS = {
    "data parallel": gpu_run(),
    "pipeline": gpu_run(parallelism=PIPELINED),
    "skipped rounds": gpu_run(parallelism=PIPELINED, training={"global_batch_size": 512}),
    "blocking sends": gpu_run(parallelism={**PIPELINED, "overlap_pipeline_communication": False}),
    "gpipe": gpu_run(parallelism={**PIPELINED, "pipeline_schedule": "gpipe", "overlap_gradient_reduction": True}),
    "interleaved": gpu_run(
        parallelism={**PIPELINED, "virtual_pipeline_size": 2, "overlap_pipeline_communication": True}
    ),
    "recompute": gpu_run(parallelism={**PIPELINED, "activation_recompute": "full"}),
    "zero 1": gpu_run(parallelism={"zero_stage": 1, "overlap_gradient_reduction": True}),
    "zero 3": gpu_run(parallelism={"zero_stage": 3, "overlap_gradient_reduction": True}),
    "zero 3, pipeline": gpu_run(parallelism={**PIPELINED, "zero_stage": 3, "overlap_gradient_reduction": True}),
    "zero 3, one after another": gpu_run(parallelism={"zero_stage": 3, "overlap_gradient_reduction": False}),
    "tensor and context": gpu_run(
        parallelism={"tensor_parallel_size": 2, "context_parallel_size": 2, "pipeline_parallel_size": 2}
    ),
    "experts": gpu_run(
        model={"num_experts": 4, "experts_per_token": 2},
        parallelism={"expert_parallel_size": 4, "activation_recompute": "full"},
    ),
}


def of_steps(timeline: Timeline) -> list[Event]:
    """Events of the steps shown, without what neighbouring steps do meanwhile."""
    steps = {one.step for one in timeline.steps}
    return [event for event in timeline.events if event.step in steps]


def sums(timeline: Timeline, track: str, field: str) -> float:
    """Of one track over one step, what was not simulated included."""
    found = sum(getattr(event, field) * event.times for event in of_steps(timeline) if event.track == track)
    return float(found) / len(timeline.steps)


def spent_s(timeline: Timeline) -> dict[str, float]:
    """Seconds by category on the tracks that decide. [s]"""
    found: dict[str, float] = defaultdict(float)
    for event in of_steps(timeline):
        if event.track in timeline.decisive:
            for category, part_s in (event.parts_s or {event.category: event.duration_s}).items():
                found[category] += part_s * event.times / len(timeline.decisive) / len(timeline.steps)
    return dict(found)


def check_times(result: Result, timeline: Timeline) -> None:
    """Every category has the time that the breakdown says; rounding may be a category of its own there."""
    found, expected = spent_s(timeline), result.breakdown_s
    for name in {**found, **expected}:
        near = pytest.approx(expected.get(name, 0.0), rel=1e-9, abs=1e-9 * result.step_time_s)
        assert found.get(name, 0.0) == near, name


def check_wafer(result: Result, timeline: Timeline) -> None:
    """Bytes and FLOP of a wafer-scale step."""
    moved = bytes_per_step(result.simulation)
    for link in link_traffic(result.simulation):
        level = link.child.split(".")[1]
        down = f"swarmx.down.{level}" if link.child.startswith("swarmx.") else "memoryx.send"
        up = f"swarmx.up.{level}" if link.child.startswith("swarmx.") else "memoryx.receive"
        assert sums(timeline, down, "num_bytes") == link.down_bytes
        assert sums(timeline, up, "num_bytes") == link.up_bytes
    flop = 0.0
    for number, kind in enumerate(result.simulation.plan.classes):
        into = moved["weights_in"] + moved["activations_in"] + moved["input_in"]
        assert sums(timeline, f"port_in.{number}", "num_bytes") == into
        assert sums(timeline, f"port_out.{number}", "num_bytes") == moved["gradients_out"] + moved["activations_out"]
        flop += sums(timeline, f"wafer.{number}", "flop") * kind.multiplicity
    assert flop == pytest.approx(executed_flop_per_step(result.simulation), rel=1e-12)


def check_counters(timeline: Timeline) -> None:
    """Counters stay between nothing and their capacity."""
    for counter in timeline.counters:
        times = [at_s for at_s, _ in counter.points]
        assert times == sorted(set(times))
        assert all(0.0 <= value <= counter.capacity for _, value in counter.points), counter.name


def check_arrows(timeline: Timeline) -> None:
    """What is made is made before it is used."""
    for source, target in timeline.arrows:
        assert timeline.events[source].end_s <= timeline.events[target].start_s + 1e-12 * timeline.steps[-1].end_s


@pytest.mark.parametrize("run", WAFERS.values(), ids=WAFERS)
@pytest.mark.parametrize("num_steps", [1, 3])
def test_wafer_scale_runs_add_up(run: Run, num_steps: int) -> None:
    result = simulate(run)
    timeline = timeline_of(result, num_steps=num_steps)
    assert [one.end_s - one.start_s for one in timeline.steps] == pytest.approx(
        [sum(window.end_s - window.start_s for window in result.simulation.windows[:1])] * num_steps, rel=1e-9
    )
    check_times(result, timeline)
    check_wafer(result, timeline)
    check_counters(timeline)
    check_arrows(timeline)
    check_format(written(timeline))


@pytest.mark.parametrize("run", GPUS.values(), ids=GPUS)
@pytest.mark.parametrize("num_steps", [1, 2])
def test_gpu_runs_add_up(run: GPURun, num_steps: int) -> None:
    check_gpu(simulate(run), num_steps)


def check_gpu(result: Result, num_steps: int) -> None:
    """Seconds and FLOP of a step on GPUs, and the rules of the format."""
    timeline = timeline_of(result, num_steps=num_steps)
    check_times(result, timeline)
    flop = sum(sums(timeline, track, "flop") for track in timeline.decisive) / len(timeline.decisive)
    assert flop * result.num_devices == pytest.approx(
        result.hfu * result.step_time_s * result.peak_flop_per_s, rel=1e-9
    )
    check_streams(result, timeline)
    check_counters(timeline)
    check_arrows(timeline)
    check_format(written(timeline))


def check_streams(result: Result, timeline: Timeline) -> None:
    """Streams that hold up the GPUs are busy for as long as the breakdown says, and their tracks are details."""
    streams = {"tensor": ["tensor"], "context": ["context"], "expert": ["expert"]}
    overlap = result.run.parallelism.overlap_pipeline_communication
    if not overlap or (overlap == "interleaved" and result.plan["virtual_pipeline_size"] == 1):
        streams["pipeline"] = ["forward_link", "backward_link"]
    details = {track.key for track in timeline.tracks if track.is_detail}
    assert {key.split(".")[0] for key in details} <= {part for parts in streams.values() for part in parts}
    for category, parts in streams.items():
        tracks = [track for track in details if track.split(".")[0] in parts]
        spent = sum(sums(timeline, track, "duration_s") for track in tracks) / len(timeline.decisive)
        assert spent == pytest.approx(result.breakdown_s.get(category, 0.0), rel=1e-9), category
        assert all(event.num_bytes > 0.0 for event in timeline.events if event.track in tracks)


@st.composite
def gpu_runs(draw: st.DrawFn) -> GPURun:
    """The small GPU run, spread in another way."""
    stages, chunks = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2]))
    is_gpipe = chunks == 1 and draw(st.booleans())
    spread = {
        "pipeline_parallel_size": stages,
        "virtual_pipeline_size": chunks if stages > 1 else 1,
        "pipeline_schedule": "gpipe" if is_gpipe else "1f1b",
        "zero_stage": draw(st.sampled_from([0, 1, 3])),
        "overlap_gradient_reduction": draw(st.booleans()),
        "overlap_pipeline_communication": draw(st.booleans()),
        "activation_recompute": draw(st.sampled_from(["none", "selective", "full"])),
    }
    batch = draw(st.sampled_from([32, 48, 64, 256]))
    training = {
        "global_batch_size": batch,
        "micro_batch_size": draw(st.sampled_from([1, 1, 3])) if batch > 32 else 1,
        "max_gradient_norm": draw(st.sampled_from([0.0, 1.0])),
    }
    return gpu_run(parallelism=spread, training=training, model={"num_layers": draw(st.sampled_from([8, 11]))})


@settings(max_examples=25, deadline=None)
@given(run=gpu_runs())
def test_random_gpu_runs_add_up(run: GPURun) -> None:
    check_gpu(simulate(run), num_steps=1)


@settings(max_examples=25, deadline=None)
@given(table=small_tables())
def test_random_wafer_scale_runs_add_up(table: Table) -> None:
    run = wsesim.from_table(table)
    assert run.machine == "wafer"
    result = simulate(run)
    timeline = timeline_of(result)
    if result.simulation.is_steady:
        check_times(result, timeline)
    check_wafer(result, timeline)
    check_counters(timeline)
    check_arrows(timeline)
    check_format(written(timeline))


def test_every_kind_of_gpu_run_is_tried() -> None:
    skipped = simulate(GPUS["skipped rounds"])
    assert skipped.simulation.rounds is not None
    assert simulate(WAFERS["many micro-batches"]).simulation.windows[1:]
    parts = {track.key.split(".")[0] for run in GPUS.values() for track in timeline_of(simulate(run)).tracks}
    assert parts == {"stage", "forward_link", "backward_link", "reduce", "gather", "tensor", "context", "expert"}


def test_both_engines_show_the_same() -> None:
    run = WAFERS["straggler"]
    timeline = timeline_of(simulate(run))
    assert timeline_of(simulate_many([run])[0]) == timeline
    assert timeline_of(simulate(run)) == timeline


def test_tracks_follow_what_comes_down_and_goes_up() -> None:
    timeline = timeline_of(simulate(WAFERS["tree"]))
    assert [track.name for track in timeline.tracks] == [
        "MemoryX sends",
        "SwarmX level 1 down",
        "2 x SwarmX level 2 down",
        "4 x SwarmX level 3 down",
        "8 x input workers send",
        "8 x port in",
        "8 x wafer",
        "8 x port out",
        "4 x SwarmX level 3 up",
        "2 x SwarmX level 2 up",
        "SwarmX level 1 up",
        "MemoryX receives",
        "optimizer",
    ]


def test_every_track_of_a_wafer_shows_something() -> None:
    for run in WAFERS.values():
        timeline = timeline_of(simulate(run))
        assert {event.track for event in timeline.events} == {track.key for track in timeline.tracks}
    assert "input.0" in {track.key for track in timeline_of(simulate(WAFERS["slow input"])).tracks}


def test_classes_of_systems_have_their_own_tracks() -> None:
    timeline = timeline_of(simulate(WAFERS["straggler"]))
    wafers = {track.key: (track.name, track.multiplicity) for track in timeline.tracks if "wafer." in track.key}
    assert wafers == {"wafer.0": ("3 x wafer (CS 0-1, 3)", 3), "wafer.1": ("wafer (CS 2)", 1)}
    assert timeline.decisive == ("wafer.1",)


def test_an_arrow_leads_from_a_broadcast_over_its_compute_and_its_reduction_to_the_update() -> None:
    timeline = timeline_of(simulate(WAFERS["alone"]), num_steps=2)
    tracks = {(timeline.events[a].track, timeline.events[b].track) for a, b in timeline.arrows}
    assert {("memoryx.send", "wafer.0"), ("wafer.0", "memoryx.receive")} <= tracks
    names = {(timeline.events[a].name, timeline.events[b].name) for a, b in timeline.arrows}
    assert ("block.1 backward weights", "block.1 backward gemm") in names
    assert ("block.1 gradient gemm", "block.1 gradient gradients") in names
    assert ("block.1 gradient gradients", "block.1 update") in names
    assert ("block.1 update", "block.1 forward weights") in names


def test_layers_take_as_long_as_the_table_of_layers_says() -> None:
    result = simulate(WAFERS["many micro-batches"])
    timeline = timeline_of(result)
    found: dict[tuple[int, str], float] = defaultdict(float)
    for event in of_steps(timeline):
        if event.track == "wafer.0":
            found[event.layer, event.phase] += event.duration_s * event.times
    expected = {key: sum(times.values()) for key, times in layer_times_s(run_schedule(result.run)).items()}
    assert dict(found) == pytest.approx(expected, rel=1e-9)


def test_buffers_are_as_full_as_the_engine_fills_them() -> None:
    result = simulate(tiny_run(cluster={"num_systems": 2, "exceptions": [{"systems": [1], "speed": 0.3}]}))
    timeline, plan = timeline_of(result), result.simulation.plan
    clock = Clock()
    events = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(plan), plan.num_micro_batches)
    events.start()
    seen: dict[float, list[int]] = {}
    while len(events.step_ends_s[1]) <= result.simulation.num_steps:
        clock.step()
        rooms = [lane.room[WEIGHT_ROOM] for lane in events.lanes]
        seen[clock.now] = [room.capacity - room.free for room in rooms]
    origin_s = events.step_ends_s[1][result.simulation.num_steps - 2]
    counters = [one for one in timeline.counters if one.name.startswith("weight buffer")]
    for number, counter in enumerate(counters):
        for at_s, value in counter.points[1:]:
            moment_s = min(seen, key=lambda moment_s: abs(moment_s - origin_s - at_s))
            assert seen[moment_s][number] == value
        assert max(value for _, value in counter.points) > 0.5 * max(taken[number] for taken in seen.values())


def test_layers_that_are_not_chosen_are_left_out() -> None:
    result = simulate(tiny_run(model={"num_layers": 6}))
    whole, part = timeline_of(result), timeline_of(result, layers={0, 3})
    assert {event.layer for event in part.events} == {-1, 0, 3}
    assert set(part.events) < set(whole.events)
    assert len(part.arrows) < len(whole.arrows)
    check_format(written(part))


def test_chunks_of_a_pipeline_are_shown_where_they_hold_a_chosen_layer() -> None:
    part = timeline_of(simulate(GPUS["pipeline"]), layers={1})
    assert {(event.layer, event.last_layer) for event in part.events} == {(-1, -1), (0, 2), (1, 1)}
    check_format(written(part))


def test_steps_of_gpus_follow_one_another() -> None:
    one, two = (timeline_of(simulate(GPUS["pipeline"]), num_steps=number) for number in (1, 2))
    assert len(two.events) == 2 * len(one.events)
    assert len(two.arrows) == 2 * len(one.arrows)
    assert [step.start_s for step in two.steps] == [0.0, one.steps[0].end_s]


def test_a_trace_says_which_micro_batches_stand_for_others() -> None:
    result = simulate(WAFERS["many micro-batches"])
    assert any("64 micro-batches, of which 4 are simulated" in note for note in timeline_of(result).notes)
    assert {event.times for event in timeline_of(result).events} == {1.0, 61.0}
    skipped = simulate(GPUS["skipped rounds"])
    assert any("micro-batches, of which" in note for note in timeline_of(skipped).notes)


def test_more_than_viewers_take_is_refused() -> None:
    with mock.patch("wsesim.machines.timeline.MOST_EVENTS", 100):
        with pytest.raises(InputError, match="show fewer steps or layers"):
            timeline_of(simulate(GPUS["pipeline"]))
        with pytest.raises(InputError, match="or a run with fewer layers"):
            timeline_of(simulate(WAFERS["alone"]))
        with pytest.raises(InputError, match=r"show fewer steps \(--steps\)"):
            timeline_of(simulate(WAFERS["alone"]), num_steps=5, layers={0})
