"""Bounded buffers between processes."""

from __future__ import annotations

from collections import deque
from typing import Any

import simpy


class Credits:
    """Room in a bounded buffer. A sender takes room before it sends; the reader gives it back.

    Grants are first-in-first-out. Sizes are whole bytes, so that nothing is lost to rounding.
    """

    def __init__(self, env: simpy.Environment, capacity: int) -> None:
        self.env = env
        self.capacity = capacity
        self.free = capacity
        self.lowest_free = capacity
        self._waiting: deque[tuple[simpy.Event, int]] = deque()

    def take(self, size: int) -> simpy.Event | None:
        """Take room; an event to wait for, or None where there is room at once."""
        if not self._waiting and size <= self.free:
            self.free -= size
            self.lowest_free = min(self.lowest_free, self.free)
            return None
        event = self.env.event()
        self._waiting.append((event, size))
        return event

    def give(self, size: int) -> None:
        """Give room back, and let the next in line have it."""
        self.free += size
        while self._waiting and self._waiting[0][1] <= self.free:
            event, wanted = self._waiting.popleft()
            self.free -= wanted
            self.lowest_free = min(self.lowest_free, self.free)
            event.succeed()


class WatchedCredits(Credits):
    """Credits that remember how much room was taken, and since when."""

    def __init__(self, env: simpy.Environment, capacity: int) -> None:
        super().__init__(env, capacity)
        self.taken: list[tuple[float, int]] = [(0.0, 0)]

    def take(self, size: int) -> simpy.Event | None:
        """As of `Credits`."""
        event = super().take(size)
        self._note()
        return event

    def give(self, size: int) -> None:
        """As of `Credits`."""
        super().give(size)
        self._note()

    def _note(self) -> None:
        self.taken.append((self.env.now, self.capacity - self.free))


class Mailbox:
    """Unbounded first-in-first-out queue with one reader, who takes from `items` or waits."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.items: deque[Any] = deque()
        self._reader: simpy.Event | None = None

    def put(self, item: Any = None) -> None:
        """Add an item."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.succeed(item)
        else:
            self.items.append(item)

    def put_value(self, event: simpy.Event) -> None:
        """Add what an event brings; a callback."""
        self.put(event.value)

    def wait(self) -> simpy.Event:
        """Event that brings the next item, where `items` is empty."""
        self._reader = self.env.event()
        return self._reader


class Turnstile:
    """A resource that its users pass one after another, in an order that is fixed beforehand."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.now_serving = 0
        self._waiting: dict[int, simpy.Event] = {}

    def take(self, ticket: int) -> simpy.Event | None:
        """Ask for the resource; an event to wait for, or None where all earlier tickets are through."""
        if ticket == self.now_serving:
            return None
        event = self.env.event()
        self._waiting[ticket] = event
        return event

    def give(self) -> None:
        """Let the next ticket through."""
        self.now_serving += 1
        event = self._waiting.pop(self.now_serving, None)
        if event is not None:
            event.succeed()
