"""Jobs that share a cluster: schedules by pencil and paper, laws of the scheduler, files and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.front_door import answer, call
from wsesim.errors import AnswerIsNo, DoesNotFit, InputError
from wsesim.study.portfolio import Policy, Schedule, Task, from_table, schedule, search, seconds_after, why_not

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "portfolio.toml"
POLICIES: tuple[Policy, ...] = ("first-come", "priority", "deadline")


def starts(found: Schedule) -> dict[str, float]:
    return {one.name: one.start_s for one in found.placements}


# Pencil and paper: a cluster of four systems

FOUR = [
    Task("wide", {3: 10.0}, priority=1, deadline_s=100.0),
    Task("whole", {4: 10.0}, priority=2, deadline_s=30.0),
    Task("short", {1: 8.0}, priority=0),
    Task("long", {1: 15.0}, priority=3, deadline_s=15.0),
]


def test_first_come_without_backfill() -> None:
    assert starts(schedule(FOUR, 4, backfill=False)) == {"wide": 0, "whole": 10, "short": 20, "long": 20}


def test_first_come_with_backfill() -> None:
    # `short` ends before `whole` can start at 10 and goes ahead; `long` would not, and waits
    found = schedule(FOUR, 4)
    assert starts(found) == {"wide": 0, "short": 0, "whole": 10, "long": 20}
    assert {one.name for one in found.placements if one.is_backfilled} == {"short"}
    assert next(one for one in found.placements if one.name == "whole").reserved_s == 10
    assert (found.makespan_s, found.utilization) == (35.0, (30 + 40 + 8 + 15) / (4 * 35))
    assert [one.name for one in found.missed] == ["long"]
    assert found.mean_wait_s == (10 + 20) / 4


def test_backfill_may_outlast_the_reservation_on_systems_that_it_leaves_over() -> None:
    tasks = [Task("three", {3: 10.0}), Task("next", {3: 10.0}), Task("long", {1: 50.0}), Task("more", {1: 50.0})]
    found = schedule(tasks, 4)
    assert starts(found) == {"three": 0, "long": 0, "next": 10, "more": 20}


def test_priority() -> None:
    # `long` and, of what then fits first, `whole` has the reservation at 15; `wide` and `short` do not end later
    assert starts(schedule(FOUR, 4, "priority")) == {"long": 0, "wide": 0, "whole": 15, "short": 25}
    assert starts(schedule(FOUR, 4, "priority", backfill=False)) == {"long": 0, "whole": 15, "wide": 25, "short": 25}


def test_deadline_first() -> None:
    found = schedule(FOUR, 4, "deadline")
    assert starts(found) == {"long": 0, "wide": 0, "whole": 15, "short": 25}
    assert not found.missed


def test_the_policy_counts_among_those_that_have_arrived() -> None:
    tasks = [Task("low", {4: 10.0}), Task("high", {4: 10.0}, priority=9, earliest_s=1.0)]
    assert starts(schedule(tasks, 4, "priority")) == {"low": 0, "high": 10}


def test_what_arrives_when_another_one_ends_is_considered_then() -> None:
    tasks = [Task("first", {4: 10.0}), Task("low", {4: 5.0}), Task("high", {4: 5.0}, priority=1, earliest_s=10.0)]
    assert starts(schedule(tasks, 4, "priority")) == {"first": 0, "high": 10, "low": 15}


def test_a_job_takes_the_size_with_which_it_ends_first() -> None:
    # Now on one system until 30, or from 10 on on four until 18; with two of them free, now until 15
    tasks = [Task("busy", {3: 10.0}), Task("job", {1: 30.0, 4: 8.0})]
    assert [(one.systems, one.start_s) for one in schedule(tasks, 4).placements] == [(3, 0), (4, 10)]
    tasks = [Task("busy", {2: 10.0}), Task("job", {2: 15.0, 4: 8.0})]
    assert [(one.systems, one.start_s) for one in schedule(tasks, 4).placements] == [(2, 0), (2, 0)]


def test_a_job_that_needs_more_than_there_is() -> None:
    with pytest.raises(DoesNotFit, match="whole needs 4 systems, and there are 3"):
        schedule(FOUR, 3)


def fewest_systems(tasks: list[Task], by_s: float, most: int, policy: Policy = "first-come") -> Schedule:
    found = search(tasks, by_s, most, policy)
    if found.best is None or not found.is_enough:
        raise AnswerIsNo(why_not(tasks, found, most))
    return found.best


def test_fewest_systems() -> None:
    tasks = [Task("a", {2: 10.0}), Task("b", {2: 10.0}), Task("c", {2: 10.0}, earliest_s=5.0)]
    assert [fewest_systems(tasks, by, 16).num_systems for by in (15.0, 20.0, 29.0, 30.0)] == [6, 4, 4, 2]
    with pytest.raises(AnswerIsNo, match=r"c ends after 15\.0 s, 1\.00 s too late"):
        fewest_systems(tasks, 14.0, 16)
    with pytest.raises(AnswerIsNo, match="on up to 4 systems"):
        fewest_systems(tasks, 15.0, 4)
    with pytest.raises(AnswerIsNo, match="their work alone would keep 60 systems busy"):
        fewest_systems(tasks, 1.0, 4)


def test_deadlines_count_for_the_fewest_systems() -> None:
    tasks = [Task("a", {2: 10.0}), Task("b", {2: 10.0}, deadline_s=12.0)]
    assert fewest_systems(tasks, 20.0, 8).num_systems == 4
    assert fewest_systems(tasks, 20.0, 8, "deadline").num_systems == 2


# Laws


@st.composite
def portfolios(draw: st.DrawFn) -> list[Task]:
    """Up to ten jobs for six systems; whole seconds, so that many things happen at once."""
    seconds = st.integers(1, 20).map(float)
    return [
        Task(
            f"job {number}",
            draw(st.dictionaries(st.integers(1, 6), seconds, min_size=1, max_size=3)),
            draw(st.integers(0, 3)),
            float(draw(st.integers(0, 15))),
            draw(st.one_of(st.none(), st.integers(1, 60).map(float))),
        )
        for number in range(draw(st.integers(1, 10)))
    ]


each = {"tasks": portfolios(), "policy": st.sampled_from(POLICIES), "backfill": st.booleans()}


@given(**each)
@settings(deadline=None)
def test_laws_of_every_schedule(tasks: list[Task], policy: Policy, backfill: bool) -> None:
    found = schedule(tasks, 6, policy, backfill=backfill)
    by_name = {task.name: task for task in tasks}
    assert sorted(one.name for one in found.placements) == sorted(by_name)
    for one in found.placements:
        assert one.start_s >= by_name[one.name].earliest_s
        assert one.end_s == one.start_s + by_name[one.name].duration_s[one.systems]
        in_use = sum(other.systems for other in found.placements if other.start_s <= one.start_s < other.end_s)
        assert in_use <= 6
        assert backfill or not one.is_backfilled
    assert 0.0 < found.utilization <= 1.0
    assert found == schedule(tasks, 6, policy, backfill=backfill)


@given(tasks=portfolios())
@settings(deadline=None)
def test_backfill_never_delays_the_head_of_the_queue(tasks: list[Task]) -> None:
    """First come, first served: nobody displaces the head, so that it starts when it was promised, or before."""
    for one in schedule(tasks, 6).placements:
        assert one.reserved_s is None or one.start_s <= one.reserved_s


@given(tasks=portfolios(), policy=st.sampled_from(POLICIES))
@settings(deadline=None)
def test_without_backfill_nobody_goes_ahead(tasks: list[Task], policy: Policy) -> None:
    if policy == "first-come":
        order = [one.name for one in schedule(tasks, 6, policy, backfill=False).placements]
        places = {task.name: place for place, task in enumerate(tasks)}
        ranked = sorted(tasks, key=lambda task: (task.earliest_s, places[task.name]))
        assert order == [task.name for task in ranked]


@given(tasks=portfolios(), by_s=st.floats(10.0, 200.0))
@settings(deadline=None, max_examples=50)
def test_the_fewest_systems_do_and_fewer_do_not(tasks: list[Task], by_s: float) -> None:
    try:
        found = fewest_systems(tasks, by_s, 20)
    except AnswerIsNo:
        return
    assert found.makespan_s <= by_s
    assert not found.missed
    for fewer in range(max(min(task.duration_s) for task in tasks), found.num_systems):
        other = schedule(tasks, fewer)
        assert other.makespan_s > by_s or other.missed


# Files

JOB = {"name": "a", "duration_s": "2 days", "systems": [2]}


def portfolio(*jobs: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"cluster": {"name": "cs2", "num_systems": 4}, "jobs": list(jobs)} | rest


def shared(table: dict[str, Any], **options: Any) -> wsesim.SharedCluster:
    """The jobs of a portfolio file that holds a table."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "jobs.toml"
        file.write_text(tomli_w.dumps(table), encoding="utf-8")
        return wsesim.portfolio(file, **options)


def test_times_are_durations_or_dates() -> None:
    job = {**JOB, "earliest_start": "12 h", "deadline": date(2026, 1, 4)}
    (task,) = from_table(portfolio(job, start=date(2026, 1, 1))).tasks
    assert (task.earliest_s, task.deadline_s) == (43_200.0, 3 * 86_400.0)
    assert seconds_after(datetime(2026, 1, 1, 6), date(2026, 1, 1), "") == 6 * 3600.0


def test_a_job_takes_its_steps_or_its_life() -> None:
    job = {"name": "small", "run": "cerebras_gpt_111m", "systems": [1, 2]}
    cluster = {"name": "cs2", "software_release": "1.7"}  # that of the portfolio, not that of the run
    alone = from_table(portfolio(job, lifetime=False, cluster=cluster)).tasks[0].duration_s
    assert alone == from_table(portfolio(job, lifetime=False)).tasks[0].duration_s  # its run file says 1.7
    whole = from_table(portfolio(job, cluster=cluster)).tasks[0].duration_s
    one_run = answer("run", "cerebras_gpt_111m", "--json", "--set", "cluster.name=cs2").json
    assert alone[1] == pytest.approx(one_run["training"]["time_s"])
    assert alone[2] < alone[1]
    for systems in (1, 2):
        assert whole[systems] > alone[systems] + 34 * 60  # it compiles, at least


def test_a_job_of_a_run_file_is_that_run() -> None:
    job = {"name": "13B", "run": "cerebras_gpt_13b", "systems": [8, 12]}
    task = from_table({"cluster": {"name": "andromeda"}, "jobs": [job], "lifetime": False}).tasks[0]
    alone = wsesim.simulate("cerebras_gpt_13b")
    assert task.steps[12].software == "1.7"
    assert task.steps[12].step_time_s == pytest.approx(alone.step_time_s, rel=1e-12)  # another engine adds up otherwise
    assert task.steps[12].cost_usd == pytest.approx(alone.job.cost_usd.value, rel=1e-12)
    newer = {"name": "andromeda", "software_release": "2.1"}  # what the portfolio names holds for all of its jobs
    assert from_table({"cluster": newer, "jobs": [job], "lifetime": False}).tasks[0].steps[12].software == "2.1"


def test_no_number_of_systems_keeps_a_deadline() -> None:
    job = {"name": "13B", "run": "cerebras_gpt_13b", "deadline": "9 days"}
    found = shared(
        portfolio(job, {**JOB, "deadline": "20 days"}, lifetime=False) | {"cluster": {"name": "andromeda"}},
        by="30 days",
    )
    assert not found.is_met
    said = found.portfolio.why_not(found.search)
    assert "all jobs can end by 30.0 days, but on up to 16 systems not each by its own deadline" in said
    assert "13B misses its deadline by 1.19 days" in said


def test_gpus_are_called_gpus_and_come_in_nodes() -> None:
    job = {"name": "small", "run": "cerebras_gpt_111m_gpu", "systems": [4, 12], "tokens": 1e9}
    found = shared({"cluster": {"name": "dgx_h100", "num_gpus": 16}, "jobs": [job], "lifetime": False}, by="9 days")
    assert found.schedule.num_systems == 8
    from wsesim.report.pages.goal import portfolio_sections

    said = str(portfolio_sections(found))
    assert "8 H100 SXM 80 GB GPUs (1 node of DGX H100) are enough" in said
    assert "one node fewer" in said
    assert "system" not in said
    owned, rented = (
        shared({"cluster": {"name": "dgx_h100", "num_gpus": 16}, "jobs": [job], "lifetime": False}, paying=way)
        for way in ("owned", "rented")
    )
    assert owned.to_dict()["cost_usd"] != rented.to_dict()["cost_usd"]


def test_a_portfolio_of_gpu_runs() -> None:
    job = {"name": "small", "run": "cerebras_gpt_111m_gpu", "systems": [8], "tokens": 1e9}
    found = from_table({"cluster": {"name": "dgx_h100", "num_gpus": 16}, "jobs": [job], "lifetime": False})
    assert (found.num_systems, list(found.tasks[0].duration_s)) == (16, [8])


@pytest.mark.parametrize(
    ("jobs", "rest", "words"),
    [
        ([{**JOB, "deadlin": "3 days"}], {}, "jobs.0.deadlin is not a known key; did you mean deadline?"),
        ([{"name": "a", "systems": [2]}], {}, "give one of run, model, duration_s"),
        ([{**JOB, "run": "bert_large"}], {}, "run and duration_s"),
        ([{**JOB, "deadline": date(2026, 1, 1)}], {}, "jobs.a.deadline is a date, but the portfolio has no start"),
        ([{**JOB, "deadline": "soon"}], {}, "jobs.a.deadline is 'soon'; write a duration"),
        ([{**JOB, "earliest_start": "-3 days"}], {}, "is -3.00 days, before the start"),
        ([JOB, JOB], {}, "names 'a' twice"),
        ([], {}, "jobs is empty; add one, for example [[jobs]] with name, run, model"),
        ([{**JOB, "tokens": 1e9}], {}, "tokens says nothing beside duration_s"),
        ([{"name": "a", "run": "bert_large", "training": {}}], {}, "training says nothing beside run"),
        (
            [{**JOB, "deadline": date(2025, 1, 1)}],
            {"start": date(2026, 1, 1)},
            "is 2025-01-01, before the start on 2026-01-01",
        ),
        ([{**JOB, "systems": [0]}], {}, "it must be more than 0"),
        ([JOB], {"cluster": {"name": "andromda"}}, "did you mean andromeda?"),
        ([{"name": "a", "run": "cerebras_gpt_111m_gpu"}], {}, "a cluster of another kind"),
        ([{"name": "a", "run": "bert_larg"}], {}, "jobs.a.run: run 'bert_larg' is not in the catalogue; did you mean"),
    ],
)
def test_wrong_files(jobs: Sequence[dict[str, Any]], rest: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        shared(portfolio(*jobs, **rest))
    assert words in str(error.value)


def test_a_job_that_fits_on_none_of_its_sizes() -> None:
    with pytest.raises(DoesNotFit, match=r"jobs\.a: 500 systems, and .* has 192"):
        shared(portfolio({"name": "a", "run": "cerebras_gpt_111m", "systems": [500]}))
    with pytest.raises(DoesNotFit, match=r"300 systems, and .* has 192"):
        shared(portfolio(JOB), num_systems=300)


# The command


def test_the_example() -> None:
    found = answer("portfolio", EXAMPLE, "--policy", "deadline", "--json").json
    assert (found["num_systems"], found["missed"], len(found["jobs"])) == (16, [], 5)
    fewest = answer("portfolio", EXAMPLE, "--by", "30 days", "--policy", "deadline", "--json").json
    assert fewest["num_systems"] == 16  # with fewer, 2.7B waits for 13B and misses its deadline
    assert fewest["makespan_s"] <= 30 * 86400
    assert fewest["by"] == {"by_s": 30 * 86400, "is_enough": True}
    assert [one["name"] for one in fewest["one_fewer"]["late"]] == ["2.7B, twice the tokens"]
    said = answer("portfolio", EXAMPLE, "--by", "30 days", "--policy", "deadline").out
    assert "16 CS-2 systems (Andromeda) are enough to be done within 30.0 days; with 15, 2.7B, twice" in said
    shown = answer("portfolio", EXAMPLE, "--policy", "deadline").out
    assert "█" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_a_missed_deadline_is_the_answer_no() -> None:
    found = call("portfolio", EXAMPLE, "--systems", "15", "--json")
    assert found.code == 1
    assert "1 deadline missed: 2.7B, twice the tokens by" in found.err
    assert json.loads(found.out)["missed"] == ["2.7B, twice the tokens"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--by", "5 days"], 1, "the jobs cannot end by 5.00 days on up to 16 systems: their work alone"),
        (["--by", "soon"], 2, "--by is 'soon'; write a duration"),
        (["--by", "0 s"], 2, "give it time"),
        (["--by", "2026-03-01"], 2, "the portfolio has no start"),
        (["--by", "5 days", "--systems", "4"], 2, "drop one of the two"),
        (["--systems", "4"], 1, "13B needs 8 systems, and there are 4"),
        (["--systems", "17"], 1, "17 systems, and Andromeda has 16"),
    ],
)
def test_what_cannot_be_answered(words: list[str], code: int, message: str) -> None:
    found = call("portfolio", EXAMPLE, *words)
    assert (found.code, found.out) == (code, "")
    assert message in found.err


def test_lifetime_command() -> None:
    words = ("lifetime", "cerebras_gpt_1.3b", "--replications", "5")
    shown = answer(*words).out
    for part in ("calendar time", "goodput", "checkpoint", "Daly's formula", "simulated optimum", "prices from"):
        assert part in shown
    found = answer(*words, "--seed", "3", "--json").json
    assert sum(found["spent_s"].values()) == pytest.approx(found["calendar_s"]["mean"])
    assert (found["seed"], found["replications"]) == (3, 5)
