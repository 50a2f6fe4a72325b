"""What the page refuses or cuts off, so that no input hangs or exhausts the server."""

from __future__ import annotations

from wsesim.config.run import Run
from wsesim.errors import InputError
from wsesim.machines.machine import machine_of

LONGEST_QUERY = 8000
"""Bytes of an address. [bytes]"""
MOST_SETTINGS = 50
"""Lines of other keys. [-]"""
LONGEST_SETTING = 300
"""Characters of one of them. [-]"""
MOST_CANDIDATES = 12
"""Clusters of a goal. [-]"""
MOST_JOBS, MOST_SIZES = 20, 8
"""Jobs that share a cluster, and numbers of devices that one of them may have. [-]"""

RUN_S, GPU_S, PLAN_S, FILE_S = 10.0, 20.0, 90.0, 90.0
"""Time after which an answer, a GPU comparison, a plan, and a file to download are cut off. [s]"""
SENSITIVITY_S = 90.0
"""The same for what single numbers do to a step, which is some hundred answers. [s]"""
MOST_MEMORY_BYTES = 3 * 2**30
"""Memory of one worker process, where the system can limit it. [bytes]"""
MOST_WAITING = 48
"""Requests that wait for a worker. [-]"""
LONGEST_WAIT_S = 20.0
"""After which it is turned away. [s]"""
RETRY_S = 2
"""After which a request that was turned away may come again. [s]"""
REQUEST_S = 10.0
"""Within which a request has to be there as a whole. [s]"""
GIVE_UP_S = 1.0
"""A job for which nobody waits any longer may take so long before its process is ended: most are done, and what the process
remembers is worth something. [s]"""
MOST_CONNECTIONS, FEWEST_CONNECTIONS = 500, 8
"""Connections at a time; fewer where the system gives few file descriptors. [-]"""

# Whether a question is small enough for a page, before anything is worked out.


def check_settings(lines: list[str]) -> None:
    """Refuse more text than anybody types."""
    if len(lines) > MOST_SETTINGS:
        raise InputError(
            f"other keys: {len(lines)} lines are more than {MOST_SETTINGS}; write a run file, and use `wsesim run`"
        )
    for line in lines:
        if len(line) > LONGEST_SETTING:
            raise InputError(
                f"other keys: {line[:40]}... has {len(line)} characters, more than {LONGEST_SETTING}; write it into a run "
                "file, and run it with `wsesim run`"
            )


def check_work(run: Run) -> None:
    """Refuse what would take longer than anybody waits in front of a page; called after the run was read."""
    machine_of(run).check_page(run)
