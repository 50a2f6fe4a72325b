"""Everything that can go wrong, as one tree::

WsesimError                 one message: place, finding, remedy
|-- InputError              the input is wrong             exit code 2
|   |-- ConfigError         a file or a key of it
|   |-- UnknownNameError    a name that the catalogue does not hold
|   `-- MeasurementError    a table of measurements or a log file
|-- AnswerIsNo              the input is right, the answer is no   exit code 1
|   |-- DoesNotFit          more than the machine holds
|   `-- PastTolerance       a prediction that misses its stated tolerance
`-- SimulationStuck         processes wait for one another for ever   exit code 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WsesimError(Exception):
    """Root of the tree. `str(error)` is the whole message."""

    exit_code = 1


class InputError(WsesimError):
    """The input is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """One or several problems of one file, each with its key."""


class UnknownNameError(InputError):
    """A name that the catalogue does not hold."""


class MeasurementError(InputError):
    """A measurement table or log file that cannot be used."""


class AnswerIsNo(WsesimError):
    """The question was understood; the machine cannot do it."""


class DoesNotFit(AnswerIsNo):
    """More bytes, systems or layers than the machine holds."""


class PastTolerance(AnswerIsNo):
    """A prediction misses the published value by more than the stated tolerance."""


class SimulationStuck(WsesimError):
    """The event queue ran dry while processes were still waiting."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean sram_bytes?"``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
