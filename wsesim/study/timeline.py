"""A few steps of a run as a timeline, for pictures and trace viewers, and the layers of it that are shown."""

from __future__ import annotations

from collections.abc import Collection

from wsesim.engine.repeat import collector_paused
from wsesim.errors import InputError
from wsesim.machines.machine import machine_of
from wsesim.machines.timeline import Arrow, Counter, Event, Stretch, Timeline, Track
from wsesim.results.result import Result

# When each part of the machine did what: a few steps of a run, for pictures and trace viewers.


__all__ = ["Arrow", "Counter", "Event", "Stretch", "Timeline", "Track", "timeline_of"]


def timeline_of(result: Result, *, num_steps: int = 1, layers: Collection[int] | None = None) -> Timeline:
    """Tracks, events, arrows and counters of steps in the steady state, from the start of the first one.

    Parameters
    ----------
    result
        Of a simulated run; that of a wafer-scale run is simulated once more.
    layers
        Show events of these layers only, by place in forward order (0 is the embedding), and those that
        belong to no layer.

    Examples
    --------
    >>> import wsesim
    >>> timeline = timeline_of(wsesim.simulate(wsesim.load("cerebras_gpt_111m")))
    >>> [track.name for track in timeline.tracks][:2]
    ['MemoryX sends', 'input workers send']
    """
    with collector_paused():
        return machine_of(result.run).timeline(result, num_steps, layers)


# Which layers to show, in words.


ENDS = ("embedding", "head")


def layers_in(words: str, num_blocks: int) -> frozenset[int]:
    """Places in forward order of layers that a user names.

    Parameters
    ----------
    words
        Blocks by number, ranges with both ends, names; separated by commas.

    Examples
    --------
    >>> sorted(layers_in("embedding, 0..2, block.7", num_blocks=8))
    [0, 1, 2, 3, 8]
    """
    found: set[int] = set()
    for word in words.split(","):
        found |= _layers(word.strip(), words, num_blocks)
    return frozenset(found)


def _layers(word: str, words: str, num_blocks: int) -> set[int]:
    """Layers of one number, range or name."""
    if word in ENDS:
        return {0 if word == "embedding" else num_blocks + 1}
    first, dots, last = word.partition("..")
    begin, end = _block(first), _block(last if dots else first)
    if begin is None or end is None or not begin <= end < num_blocks:
        raise InputError(
            f"--layers {words}: {word or 'nothing'} names no layers; blocks are 0..{num_blocks - 1}, and there are "
            f"embedding and head (for example --layers embedding,0..{min(3, num_blocks - 1)})"
        )
    return set(range(begin + 1, end + 2))


def _block(word: str) -> int | None:
    """Number of a block; None where it is none."""
    number = word.strip().removeprefix("block.")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else None
