"""Binds an address, says where the page is, and serves it until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wsesim.errors import InputError
from wsesim.page import limits, workers
from wsesim.page.app import LOOPBACK, application
from wsesim.page.service import Service
from wsesim.study.executors import num_cores

BACKLOG = 16
"""Connections that wait to be accepted; asyncio accepts as many in one go before it looks at any. [-]"""
KINDS_OF_WORKERS, DESCRIPTORS_OF_A_WORKER = 3, 4
SPARE_DESCRIPTORS, USUALLY_OPEN = 16 + BACKLOG, 20
"""For files that are sent, and what the event loop and the server of processes hold. [-]"""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Addresses that mean every one of this machine, and one of them that a browser can open."""
FEWEST_WORKERS, MOST_WORKERS = 2, 8
"""Processes of each kind. [-]"""


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises
    ------
    InputError
        The port is in use or may not be used, or there is no such host.
    """
    if not host:
        raise InputError("--host is empty; use 127.0.0.1 for this machine alone, or 0.0.0.0 for all that can reach it")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        if sys.platform != "win32":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        raise InputError(_why_not(host, port, error)) from None
    return found


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: something listens there already; choose another, or 0 for one that is free"
    if error.errno == errno.EACCES:
        return f"--port {port}: may not be used ({error.strerror}); choose one above 1023"
    return f"--host {host}: cannot be listened at ({error.strerror or error}); use 127.0.0.1 for this machine alone"


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Protocol(H11Protocol):
    """Ends requests that do not come whole within their time, and refuses connections that are too many at the door."""

    most_connections = limits.MOST_CONNECTIONS
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is at the door."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """A request, or a part of one."""
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody has gone."""
        super().connection_lost(exc)
        self._forget_deadline()

    def _wait_for_request(self) -> None:
        is_whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if is_whole:
            self._forget_deadline()
        elif self.deadline is None and not self.transport.is_closing():
            self.deadline = self.loop.call_later(limits.REQUEST_S, self.transport.close)

    def _forget_deadline(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\ncontent-length: 9\r\n\r\ntry again"


def most_connections(num_workers: int) -> int:
    """Connections for which there are file descriptors beside those that are open, and those of workers. [-]"""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, ValueError, OSError):
        return limits.MOST_CONNECTIONS
    try:
        used = len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        used = USUALLY_OPEN
    free = soft - used - KINDS_OF_WORKERS * num_workers * DESCRIPTORS_OF_A_WORKER - SPARE_DESCRIPTORS
    return max(limits.FEWEST_CONNECTIONS, min(limits.MOST_CONNECTIONS, free))


class _Server(uvicorn.Server):
    """Gives up what it works on when it is told to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, or the end of the session."""
        self.service.stop()
        super().handle_exit(sig, frame)


def serve(host: str, port: int, *, is_to_be_opened: bool) -> None:
    """Serve the page until it is interrupted.

    Raises
    ------
    InputError
        As `bound`.
    """
    listening = bound(host, port)
    name = ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{name}:{listening.getsockname()[1]}/"
    if not is_loopback(host):
        print(
            f"warning: {host} can be reached from other machines, and the page asks nobody who they are; "
            "leave --host out to serve this machine alone",
            file=sys.stderr,
        )
    num_workers = max(FEWEST_WORKERS, min(MOST_WORKERS, num_cores()))
    service = Service(num_workers)
    _Protocol.most_connections = most_connections(num_workers)
    hosts = (*LOOPBACK, host) if is_loopback(host) else None
    config = uvicorn.Config(
        application(service, hosts),
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        http=_Protocol,
        backlog=BACKLOG,
        lifespan="on",
    )
    server = _Server(config, service)
    print(f"wsesim is at {address} (Ctrl-C ends it)", flush=True)
    if is_to_be_opened:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        workers.end()
