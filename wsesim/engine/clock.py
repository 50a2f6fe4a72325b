"""SimPy's environment with two additions: it counts events, and says who waits when it is stuck."""

from __future__ import annotations

import simpy

from wsesim.errors import SimulationStuck


class Clock(simpy.Environment):
    """A SimPy environment that counts the events it has processed."""

    def __init__(self) -> None:
        super().__init__()
        self.num_events = 0
        self._named: dict[str, simpy.Process] = {}

    def start(self, name: str, generator: simpy.events.ProcessGenerator) -> simpy.Process:
        """Start a process under a name that error messages can use."""
        process = self.process(generator)
        self._named[name] = process
        return process

    def run_until(self, event: simpy.Event) -> None:
        """Run until an event has been processed.

        Raises
        ------
        SimulationStuck
            No event is left, but `event` has not come; names every process that waits.
        """
        step, count = self.step, 0
        try:
            while event.callbacks is not None:  # simpy's `processed`, without a call
                step()
                count += 1
        except simpy.core.EmptySchedule:
            waiting = [name for name, process in self._named.items() if process.is_alive]
            raise SimulationStuck(
                f"simulation stopped at {self.now:g} s with {', '.join(waiting)} waiting for one another; "
                "this is a fault of wsesim, please report the run file"
            ) from None
        finally:
            self.num_events += count
