"""Are rectangles few enough, and do they keep the time of the spans they stand for?"""

from __future__ import annotations

from itertools import pairwise

import pictures
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsesim
from tests.report.charts.drawn import result
from wsesim.report.charts.timeline import MOST_TRACKS, Box, boxes_of, chart, merged, shown_tracks
from wsesim.study.timeline import Event, Track, timeline_of

STEPS = st.tuples(
    st.sampled_from("ab"), st.sampled_from(("gemm", "weights")), st.floats(1e-6, 1.0), st.floats(0.0, 1.0)
)


def events_of(steps: list[tuple[str, str, float, float]]) -> list[Event]:
    """Spans one after another on two tracks, with gaps."""
    now_s, found = {"a": 0.0, "b": 0.0}, []
    for track, category, duration_s, gap_s in steps:
        start_s = now_s[track] + gap_s
        now_s[track] = start_s + duration_s
        found.append(Event(track, "one", "work", category, start_s, now_s[track], num_bytes=1.0))
    return found


def spent(boxes: list[Box]) -> dict[tuple[str, str], float]:
    """Time by track and category. [s]"""
    found: dict[tuple[str, str], float] = {}
    for box in boxes:
        for (category, _), value in box.spent_s.items():
            key = (box.first.track, category)
            found[key] = found.get(key, 0.0) + value
    return found


@given(st.lists(STEPS, min_size=1, max_size=80), st.integers(2, 20))
def test_merging_keeps_time_bytes_and_order(steps: list[tuple[str, str, float, float]], most: int) -> None:
    before = boxes_of(events_of(steps))
    after, finest_s = merged(before, max(box.end_s for box in before), most)
    assert spent(after) == pytest.approx(spent(before))
    assert sum(box.num_bytes for box in after) == len(steps) == sum(box.count for box in after)
    assert all(box.count == 1 or box.end_s - box.start_s < finest_s for box in after)
    for one, other in pairwise(after):
        assert one.first.track < other.first.track or one.end_s <= other.start_s
    if len(before) <= most:
        assert after == before


def test_very_many_spans_are_few_rectangles_and_the_picture_says_so() -> None:
    picture = chart(timeline_of(result("cerebras_gpt_2.7b"), num_steps=3))
    boxes = picture.datasets["boxes"]
    assert len(boxes) <= 2500
    assert "are drawn as" in picture.notes[0]
    assert any("spans, " in row["more"] for row in boxes)


def test_rectangles_end_with_the_step() -> None:
    one = result("cerebras_gpt_111m")
    boxes = chart(timeline_of(one)).datasets["boxes"]
    assert min(row["start"] for row in boxes) >= 0.0
    assert max(row["end"] for row in boxes) == pytest.approx(1e3 * one.step_time_s)


def test_of_very_many_tracks_the_first_and_the_last_stay() -> None:
    tracks = [Track(f"{stage}.{part}", f"{part}", f"stage {stage}") for stage in range(64) for part in "ab"]
    shown = shown_tracks(tracks)
    assert len(shown) <= MOST_TRACKS
    assert (shown[0], shown[-1]) == (tracks[0], tracks[-1])


def test_of_very_many_tracks_details_are_left_out_first() -> None:
    tracks = [Track(f"{part}.{stage}", part, "", is_detail=part == "b") for stage in range(20) for part in "ab"]
    assert {track.name for track in shown_tracks(tracks)} == {"a"}
    assert shown_tracks(tracks[:MOST_TRACKS]) == tuple(tracks[:MOST_TRACKS])


def test_transfers_are_outlined_so_that_short_ones_can_be_seen() -> None:
    timeline = timeline_of(result("cerebras_gpt_111m"))
    boxes = chart(timeline).datasets["boxes"]
    outlined = {timeline.tracks[row["row"]].key for row in boxes if row["outline"] > 0.0}
    assert outlined == {"memoryx.send", "input_send.0", "port_in.0", "port_out.0", "memoryx.receive"}


def test_pieces_of_merged_spans_are_as_wide_as_their_share() -> None:
    """A forward pass whose spans alternate has a piece of each category, however short its spans are."""
    found = wsesim.simulate(wsesim.load("andromeda_13b", ["training.batch_size_per_system=900"]))
    timeline = timeline_of(found)
    picture = chart(timeline)
    row = [track.key for track in shown_tracks(timeline.tracks)].index(timeline.decisive[0])
    widths: dict[str, float] = {}
    for box in (box for box in picture.datasets["small"] if box["row"] == row):
        widths[box["category"]] = widths.get(box["category"], 0.0) + box["end"] - box["start"]
    shares = {name: value / sum(widths.values()) for name, value in widths.items()}
    for name in ("gemm", "attention"):
        assert shares[name] == pytest.approx(found.breakdown_s[name] / found.step_time_s, abs=0.02)


def test_a_still_shows_what_comes_what_is_computed_and_what_leaves() -> None:
    timeline = timeline_of(wsesim.simulate(wsesim.load("andromeda_13b", ["training.batch_size_per_system=8"])))
    picture = pictures.still(timeline, range(18, 23))
    assert {row["row"] for row in picture.datasets["forward"]} == {"weights come", "wafer computes"}
    assert {row["row"] for row in picture.datasets["backward"]} == {"weights come", "wafer computes", "gradients leave"}
    for rows in picture.datasets.values():
        assert {row["layer"] for row in rows} == {f"block {block}" for block in range(18, 23)}
        assert min(row["start"] for row in rows) == 0.0
    assert picture.description.startswith("Blocks 18 to 22 of a step of Cerebras-GPT 13B on Andromeda")
