"""How much is drawn."""

from __future__ import annotations

from wsesim.errors import InputError

MOST_EVENTS = 2_000_000
"""An event takes about 1 kB while it is drawn and 300 B in a file, and viewers take no more. [-]"""


def check_size(num_events: int) -> None:
    """Refuse more events than a viewer takes.

    Raises
    ------
    InputError
        With what makes fewer.
    """
    if num_events > MOST_EVENTS:
        raise InputError(
            f"{num_events:,} events are more than viewers take, {MOST_EVENTS:,}; show fewer steps or layers "
            "(--steps, --layers)"
        )


def check_simulated(num_jobs: int) -> None:
    """Refuse more jobs than are kept in mind, of all layers, before some are chosen.

    Raises
    ------
    InputError
        With what makes fewer.
    """
    if num_jobs > MOST_EVENTS:
        raise InputError(
            f"{num_jobs:,} jobs of so many steps are more than are recorded, {MOST_EVENTS:,}; show fewer steps (--steps), or a "
            "run with fewer layers or chunks"
        )
