"""The clock counts events, and says who waits when nothing can happen any more."""

from __future__ import annotations

import pytest
import simpy

from wsesim.engine.simulate import Clock, Credits, Mailbox
from wsesim.errors import SimulationStuck

Process = simpy.events.ProcessGenerator


def ticking(clock: Clock, ticks: int) -> Process:
    for _ in range(ticks):
        yield clock.timeout(1.0)


def reading(box: Mailbox) -> Process:
    yield box.wait()


def test_every_event_counts() -> None:
    clock = Clock()
    process = clock.start("clock", ticking(clock, 10))
    clock.run_until(process)
    # ten ticks, the start of the process and its end
    assert clock.num_events == 12
    assert clock.now == 10.0


def test_it_runs_no_further_than_asked() -> None:
    clock = Clock()
    clock.start("clock", ticking(clock, 10))
    clock.run_until(clock.timeout(3.5))
    assert clock.now == 3.5
    before = clock.num_events
    clock.run_until(clock.timeout(2.0))
    assert clock.num_events > before
    assert clock.now == 5.5


def test_an_event_that_is_over_is_not_waited_for() -> None:
    clock = Clock()
    early = clock.timeout(1.0)
    clock.run_until(clock.timeout(2.0))
    clock.run_until(early)
    assert clock.now == 2.0


def test_a_stuck_simulation_names_those_who_wait_and_only_them() -> None:
    clock = Clock()
    clock.start("the reader", reading(Mailbox(clock)))
    clock.start("the one that is done", ticking(clock, 2))
    with pytest.raises(SimulationStuck, match=r"stopped at 2 s with the reader waiting") as caught:
        clock.run_until(clock.event())
    assert "done" not in str(caught.value)


def test_two_that_wait_for_each_other_are_both_named() -> None:
    clock = Clock()
    weights, gradients = Credits(clock, 1), Credits(clock, 1)

    def greedy(first: Credits, second: Credits) -> Process:
        first.take(1)
        yield clock.timeout(1.0)
        room = second.take(1)
        if room is not None:
            yield room

    clock.start("MemoryX", greedy(weights, gradients))
    clock.start("SwarmX", greedy(gradients, weights))
    with pytest.raises(SimulationStuck, match="MemoryX, SwarmX"):
        clock.run_until(clock.event())


def test_events_before_the_end_count_even_when_stuck() -> None:
    clock = Clock()
    clock.start("the one that is done", ticking(clock, 2))
    with pytest.raises(SimulationStuck):
        clock.run_until(clock.event())
    assert clock.num_events == 4


def test_a_fault_in_a_process_is_not_hidden() -> None:
    clock = Clock()

    def faulty() -> Process:
        yield clock.timeout(1.0)
        raise ValueError("a fault")

    clock.start("faulty", faulty())
    with pytest.raises(ValueError, match="a fault"):
        clock.run_until(clock.event())
