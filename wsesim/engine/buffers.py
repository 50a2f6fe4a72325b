"""Bounded buffers between processes."""

from __future__ import annotations

from collections import deque

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


class Mailbox:
    """Unbounded first-in-first-out queue with one reader."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._items = 0
        self._reader: simpy.Event | None = None

    def put(self, _event: simpy.Event | None = None) -> None:
        """Add an item; usable as a callback of an event."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.succeed()
        else:
            self._items += 1

    def get(self) -> simpy.Event | None:
        """Take the next item; an event to wait for, or None where one is there."""
        if self._items:
            self._items -= 1
            return None
        self._reader = self.env.event()
        return self._reader


class Turn:
    """A resource that one user holds at a time, granted first-in-first-out."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.busy = False
        self._waiting: deque[simpy.Event] = deque()

    def take(self) -> simpy.Event | None:
        """Ask for the resource; an event to wait for, or None where it is free."""
        if not self.busy:
            self.busy = True
            return None
        event = self.env.event()
        self._waiting.append(event)
        return event

    def give(self) -> None:
        """Hand the resource on."""
        if self._waiting:
            self._waiting.popleft().succeed()
        else:
            self.busy = False
