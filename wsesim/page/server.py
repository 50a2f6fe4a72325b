"""Binds an address, says where the page is, and serves it until it is interrupted."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import threading
import webbrowser
from types import FrameType

import uvicorn

from wsesim.errors import InputError
from wsesim.page import workers
from wsesim.page.app import LOOPBACK, application
from wsesim.page.service import Service
from wsesim.study.executors import num_cores

BACKLOG = 128
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
    service = Service(max(FEWEST_WORKERS, min(MOST_WORKERS, num_cores())))
    hosts = (*LOOPBACK, host) if is_loopback(host) else None
    config = uvicorn.Config(
        application(service, hosts),
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
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
