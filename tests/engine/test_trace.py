"""Windows and spans: how much of what lies inside."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.engine.program import Span, Window, overlap_s, within

TIMES = st.floats(0.0, 100.0)
few = settings(deadline=None, max_examples=100)


def span(start_s: float, end_s: float) -> Span:
    return Span("wafer.0", "gemm", 0, "forward", 0, 0, start_s, end_s)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[float, float]:
    start_s, end_s = sorted((draw(TIMES), draw(TIMES)))
    return start_s, end_s


def test_a_window_stands_for_as_many_stretches_as_it_weighs() -> None:
    assert Window(2.0, 5.0).duration_s == 3.0
    assert Window(2.0, 5.0, weight=4.0).duration_s == 12.0
    assert Window(0.0, 10.0, weight=0.5).duration_s == 5.0


@pytest.mark.parametrize(
    ("start_s", "end_s", "inside_s"),
    [
        (0.0, 1.0, 0.0),
        (0.0, 2.0, 0.0),
        (1.0, 3.0, 1.0),
        (3.0, 4.0, 1.0),
        (4.0, 9.0, 1.0),
        (0.0, 9.0, 3.0),
        (5.0, 9.0, 0.0),
    ],
)
def test_overlap_is_what_both_have(start_s: float, end_s: float, inside_s: float) -> None:
    assert overlap_s(start_s, end_s, Window(2.0, 5.0)) == inside_s


@few
@given(stretches(), stretches())
def test_overlap_is_never_more_than_either(one: tuple[float, float], other: tuple[float, float]) -> None:
    inside_s = overlap_s(*one, Window(*other))
    assert 0.0 <= inside_s <= min(one[1] - one[0], other[1] - other[0])
    assert inside_s == overlap_s(*other, Window(*one))


@few
@given(stretches(), st.lists(TIMES, min_size=2, max_size=6, unique=True))
def test_windows_side_by_side_miss_nothing(stretch: tuple[float, float], cuts: list[float]) -> None:
    cuts.sort()
    parts = sum(overlap_s(*stretch, Window(*pair)) for pair in pairwise(cuts))
    # a handful of additions of numbers up to 100
    assert parts == pytest.approx(overlap_s(*stretch, Window(cuts[0], cuts[-1])), abs=1e-12)


def test_only_spans_that_touch_a_window_are_seen_with_its_weight() -> None:
    spans = [span(0.0, 1.0), span(1.0, 3.0), span(4.0, 6.0), span(6.0, 7.0)]
    found = list(within(spans, [Window(2.0, 5.0), Window(6.0, 6.5, weight=10.0)]))
    assert found == [(spans[1], 1.0), (spans[2], 1.0), (spans[3], 5.0)]
