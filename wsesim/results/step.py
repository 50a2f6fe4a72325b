"""One optimizer step of a run, as a kind of machine takes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from wsesim.config.run import Run
from wsesim.engine.program import Span
from wsesim.results.intervals import NOTHING_KNOWN, Bounds

FASTER = 1.1
"""A change of a part, so that effects can be compared: a rate ten per cent higher, a latency as much shorter. [-]"""


class Step(ABC):
    """One optimizer step in its steady state; SI units. Every machine has a subclass of its own.

    Properties are values, or worked out of values; none simulates. What simulates is a method.
    """

    run: Run[Any, Any]

    @property
    @abstractmethod
    def time_s(self) -> float:
        """How long it takes. [s]"""

    @property
    @abstractmethod
    def spent_s(self) -> Mapping[str, float]:
        """What the time goes into, by cause; adds up to it. Empty where the time alone was asked for. [s]"""

    @property
    def micro_batch_size(self) -> int:
        """Sequences of one copy of the model and pass, of the fullest device where the batch does not divide. [-]"""
        return -(-self.run.training.global_batch_size // self.run.num_devices)

    @property
    def num_micro_batches(self) -> int:
        """Passes. [-]"""
        return 1

    @property
    def last_micro_batch_size(self) -> int:
        """Sequences of the last pass, which may be fewer. [-]"""
        return self.micro_batch_size

    @property
    @abstractmethod
    def flop(self) -> float:
        """What all devices execute, recomputation included and skipped zero weights left out. [FLOP]"""

    @property
    @abstractmethod
    def peak_flop_per_s(self) -> float:
        """Dense peak of all devices at the run's precision. [FLOP/s]"""

    @property
    def usable_share(self) -> float:
        """Share of the devices' peak that software can use, where a part of the cores is claimed and not to be had. [-]"""
        return 1.0

    @property
    def utilization(self) -> Mapping[str, float]:
        """Share of the step in which each part of the machine works. [-]"""
        return {}

    @property
    def memory(self) -> Mapping[str, float]:
        """What is held and what would fit, by key; the glossary lists the keys of ours. Sizes end in `_bytes`."""
        return {}

    @property
    def plan(self) -> Mapping[str, Any]:
        """How the model is spread over the devices, in the words of ``[parallelism]``; empty where there is no choice."""
        return {}

    @property
    def kinds_of_parallelism(self) -> tuple[str, ...]:
        """Which there are."""
        return ()

    @property
    def num_settings(self) -> int:
        """Settings that had to be right. [-]"""
        return 1

    @property
    def software(self) -> str:
        """Release or profile of the software that it is a step of; empty where the machine knows of none."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers."""
        return ()

    @property
    def is_extrapolated(self) -> bool:
        """Whether nothing was measured on such a machine, or of such a size."""
        return True

    @property
    def bounds(self) -> Bounds:
        """By how much it may be faster or slower in nine cases of ten, and what that rests on."""
        return NOTHING_KNOWN

    @property
    def trace(self) -> tuple[Span, ...]:
        """What each part did when, as far as that is kept."""
        return ()

    @property
    def num_events(self) -> int:
        """SimPy events. [-]"""
        return 0

    @property
    def wall_s(self) -> float:
        """Wall time of the simulation, the search of a plan included. [s]"""
        return 0.0

    @property
    def simulator(self) -> Mapping[str, Any]:
        """What ran it, for JSON."""
        return {"engine": "simpy", "events": self.num_events}

    @property
    def bytes_moved(self) -> Mapping[str, float]:
        """What crosses each kind of link of one device. [bytes]"""
        return {}

    def uses(self, key: str) -> bool:
        """Whether a number of the run file or the catalogue had a part in it."""
        return bool(key)

    def bottleneck(self) -> str:
        """What takes most of it, and what would move it; simulates the changes."""
        largest = max(self.spent_s, key=self.spent_s.__getitem__)
        return f"{self.spent_s[largest] / self.time_s:.0%} of the step is {largest}"

    def changes(self) -> dict[str, float]:
        """Changes of the machine, and by what share of it each shortens the step; where nothing overlaps unless said. [-]"""
        return {
            f"{name} 10 % faster": (1.0 - 1.0 / FASTER) * spent_s / self.time_s
            for name, spent_s in self.spent_s.items()
        }

    def lost_s(self) -> dict[str, float]:
        """By what part a step is longer than its share of the step of one device with the same batch; may simulate. [s]"""
        return {}

    @abstractmethod
    def efficiency(self) -> tuple[float, float]:
        """Speed over that of one device, or one copy of the model, times their number; simulates it. [-]

        At the same batch of each (weak), and at the same batch of all (strong).
        """
