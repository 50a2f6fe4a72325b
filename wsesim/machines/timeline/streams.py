"""Communication that holds up a GPU, on a track for each stream.

How long a pass waits for its tensor-, context- and expert-parallel group is known, not in which moments. So each
stream has one event for the whole pass, as long as all its waits together; the streams of a pass follow one
another, and end with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wsesim.machines.timeline.records import Event
from wsesim.units import add_up

IN_PASS = {
    "tensor": "tensor-parallel collectives",
    "context": "context-parallel sends",
    "expert": "expert-parallel exchanges",
}
"""Parts of a pass that are communication, and what people call them."""


def parts_in_pass(parts: Mapping[str, float] | None) -> dict[str, float]:
    """Those of the parts of a pass, in any unit, that are communication."""
    return {name: parts[name] for name in IN_PASS if parts and parts.get(name, 0.0) > 0.0}


def streams_of(event: Event, stage: int, num_bytes: Mapping[str, float]) -> Iterator[Event]:
    """What the streams do during an event of a stage.

    Parameters
    ----------
    event
        A pass, or a send that the stage waits for.
    stage
        Its place in the pipeline. [-]
    num_bytes
        What a whole event moves, by stream. [bytes]
    """
    if event.category == "pipeline":
        yield event._replace(track=f"{event.phase}_link.{stage}")
    parts_s = parts_in_pass(event.parts_s)
    start_s = event.end_s - add_up(parts_s.values())
    for part, spent_s in parts_s.items():
        yield event._replace(
            track=f"{part}.{stage}",
            name=f"{event.name} {IN_PASS[part]}",
            kind="transfer",
            category=part,
            start_s=start_s,
            end_s=start_s + spent_s,
            num_bytes=num_bytes[part],
            flop=0.0,
            parts_s=None,
        )
        start_s += spent_s
