"""What the page refuses or cuts off, so that no input hangs or exhausts the server."""

from __future__ import annotations

LONGEST_QUERY = 8000
"""Bytes of an address. [bytes]"""
MOST_SETTINGS = 50
"""Lines of other keys. [-]"""
LONGEST_SETTING = 300
"""Characters of one of them. [-]"""
MOST_CANDIDATES = 12
"""Clusters of a goal. [-]"""

RUN_S, GPU_S, PLAN_S, FILE_S = 10.0, 20.0, 90.0, 90.0
"""Time after which an answer, a GPU comparison, a plan, and a file to download are cut off. [s]"""
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
