"""When each part of the machine did what: a few steps of a run, for pictures and trace viewers."""

from __future__ import annotations

from collections.abc import Collection

from wsesim.engine.repeat import collector_paused
from wsesim.machines.machine import machine_of
from wsesim.machines.timeline.records import Arrow, Counter, Event, Stretch, Timeline, Track
from wsesim.result import Result

__all__ = ["Arrow", "Counter", "Event", "Stretch", "Timeline", "Track", "timeline_of"]


def timeline_of(result: Result, *, num_steps: int = 1, layers: Collection[int] | None = None) -> Timeline:
    """Tracks, events, arrows and counters of steps in the steady state.

    Parameters
    ----------
    result
        Of a simulated run; that of a wafer-scale run is simulated once more.
    num_steps
        Steps in a row. [-]
    layers
        Show events of these layers only, by place in forward order (0 is the embedding), and those that
        belong to no layer.

    Returns
    -------
    Timeline
        Times count from the start of the first step shown.

    Examples
    --------
    >>> import wsesim
    >>> timeline = timeline_of(wsesim.simulate(wsesim.load("cerebras_gpt_111m")))
    >>> [track.name for track in timeline.tracks][:2]
    ['MemoryX sends', 'input workers send']
    """
    with collector_paused():
        return machine_of(result.run).timeline(result, num_steps, layers)
