"""What was answered lately, up to a number of bytes; and one answer for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 32_000_000
"""Of all remembered answers. [bytes]"""


@dataclass
class _Coming:
    """An answer on its way, and how many wait for it."""

    task: asyncio.Task[Any]
    num_waiting: int = 0


class Answers:
    """Remembers what was used last.

    Parameters
    ----------
    most_bytes
        Of all answers together. [bytes]
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._coming: dict[Hashable, _Coming] = {}
        self.num_bytes = 0

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a question: remembered, on its way, or made now.

        It is given up when nobody waits for it any longer.
        """
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key][0]
        coming = self._coming.get(key)
        if coming is None:
            coming = self._coming[key] = _Coming(asyncio.ensure_future(self._make(key, make)))
            coming.task.add_done_callback(lambda _, own=coming: self._forget(key, own))  # type: ignore[misc]
        coming.num_waiting += 1
        try:
            return await asyncio.shield(coming.task)
        finally:
            coming.num_waiting -= 1
            if not coming.num_waiting and not coming.task.done():
                coming.task.cancel()
                self._forget(key, coming)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        answer = await make()
        self._remember(key, answer)
        return answer

    def _forget(self, key: Hashable, coming: _Coming) -> None:
        if self._coming.get(key) is coming:
            del self._coming[key]

    def _remember(self, key: Hashable, answer: Any) -> None:
        size = len(pickle.dumps(answer))
        if size > self._most_bytes:
            return
        self._known[key] = answer, size
        self.num_bytes += size
        while self.num_bytes > self._most_bytes:
            _, (_, freed) = self._known.popitem(last=False)
            self.num_bytes -= freed
