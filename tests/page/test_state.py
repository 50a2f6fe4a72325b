"""The address bar holds the state: what is read from it is what was written."""

from __future__ import annotations

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from wsesim.page.state import GoalState, RunState

LINE = st.text(max_size=40)
PAIRS = st.lists(
    st.tuples(st.sampled_from([*RunState.__dataclass_fields__, *GoalState.__dataclass_fields__, "else"]), LINE),
    max_size=12,
)


def read(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


@given(PAIRS)
def test_any_query_reads_as_a_state_that_its_own_query_reproduces(pairs: list[tuple[str, str]]) -> None:
    for kind in (RunState, GoalState):
        state = kind.of(pairs)
        assert kind.of(read(state.query())) == state


def test_what_is_usual_is_not_in_the_address() -> None:
    assert RunState().query() == GoalState().query() == ""
    assert RunState.of([("systems", "8"), ("model", RunState.model)]).query() == "systems=8"


def test_no_candidate_is_not_the_usual_ones() -> None:
    state = GoalState.of([("candidates", "")])
    assert state.candidates == ()
    assert GoalState.of(read(state.query())) == state


def test_lines_of_every_browser_are_the_same() -> None:
    states = {RunState.of([("settings", text)]) for text in ("a=1\r\nb=2\r\n", "a=1\n\n b=2", "a=1\rb=2")}
    assert [state.settings for state in states] == ["a=1\nb=2"]
