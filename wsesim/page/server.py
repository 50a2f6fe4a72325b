"""The page: an ASGI application with its addresses and failures, who is not answered, and the server it runs in."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import html
import ipaddress
import json
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Coroutine
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote, urlsplit

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from wsesim import pool
from wsesim.errors import Fault, InputError, WsesimError, fault, is_debugging
from wsesim.page import limits, work
from wsesim.page.form import beside, controls, goal_controls, jobs_controls, labels, ready_runs, ready_state
from wsesim.page.limits import LONGEST_QUERY
from wsesim.page.run_file import GOAL_FIELDS, GOAL_FILE, GPU_FILE, JOBS_FIELDS, JOBS_FILE, RUN_FILE
from wsesim.page.service import Compared, Repairs, Service, status_of, told_by_control
from wsesim.page.state import (
    PINNED,
    GoalState,
    JobsState,
    RunState,
    State,
    WrongAddress,
    address_of,
    check_keys,
    differences,
    pinned_of,
    pinned_text,
)
from wsesim.page.work import render
from wsesim.report.html import style
from wsesim.study.workers import num_cores
from wsesim.version import __version__

# What every answer says to browsers, and which requests are not answered at all.


POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Vega writes the style of its pictures and tooltips
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Adds headers; refuses other methods than GET and HEAD, long addresses, and what other sites ask for.

    Parameters
    ----------
    hosts
        Names under which browsers may know the page, against DNS rebinding; None is any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = _refused(scope, self.hosts)
        await (refused or self.app)(scope, receive, send_with_headers)


def _refused(scope: Scope, hosts: tuple[str, ...] | None) -> Response | None:
    headers = Headers(scope=scope)
    if hosts is not None and _host(headers) not in hosts:
        return PlainTextResponse(
            f"this page is not known by that name; open it as {hosts[0]}, or let it have any with `wsesim serve --host 0.0.0.0`",
            400,
        )
    if scope["method"] not in ("GET", "HEAD"):
        return PlainTextResponse("this page only answers GET", 405, {"allow": "GET, HEAD"})
    size = len(scope["query_string"])
    if size > LONGEST_QUERY:
        return PlainTextResponse(
            f"the address has {size:,} characters after its question mark, more than {LONGEST_QUERY:,}; drop some of the "
            "other keys, or write a run file and run it with `wsesim run`",
            414,
        )
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):  # of one site are all ports of a machine
        if headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("other sites may link to this page, but not ask it", 403)
        return _linked(scope)
    return None


def _linked(scope: Scope) -> HTMLResponse:
    """What a link of another site opens: a link to what it wants, so that no other site makes this one work."""
    query = scope["query_string"].decode("ascii", "replace")
    address = html.escape(quote(scope["path"], safe="/") + (f"?{query}" if query else ""), quote=True)
    return HTMLResponse(_LINK.format(address=address))


_LINK = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A link to wsesim</title></head>
<body><h1>Another site links to this page</h1>
<p>Nothing was simulated yet: <a href="{address}">open {address}</a></p></body></html>
"""


def _host(headers: Headers) -> str | None:
    """The name by which a browser knows the page, without its port."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return None


# The page as an ASGI application: its addresses, and what becomes of every failure.


STATIC = Path(__file__).with_name("static")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOOK_S = 0.1
"""Between two looks whether a browser still waits. [s]"""
CLIENT_GONE = 499
"""Status of an answer that nobody reads."""
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
"""Of files whose address has a digest of their content."""


def application(service: Service, hosts: tuple[str, ...] | None = LOOPBACK) -> Starlette:
    """The page.

    Parameters
    ----------
    service
        What answers.
    hosts
        Names under which browsers may know the page; None is any.
    """
    page = _Page(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_unheard)
        starting = asyncio.gather(service.start(), asyncio.to_thread(controls, RunState()))
        yield
        service.stop()
        starting.cancel()

    routes = [
        *(Route("/", page.run), Route("/comparison", page.comparison), Route("/plan", page.plan)),
        Route("/plan/progress", page.progress),
        Route("/runs/{name}", page.ready_run),
        *(Route(f"/{RUN_FILE}", page.run_file), Route(f"/{GPU_FILE}", page.gpu_file)),
        *(Route(f"/{GOAL_FILE}", page.goal_file), Route(f"/{work.REPORT_FILE}", page.report)),
        *(Route("/portfolio", page.portfolio), Route(f"/{JOBS_FILE}", page.jobs_file)),
        *(Route("/api/portfolio", page.api_portfolio), Route("/part/{name}", page.part)),
        *(Route("/sensitivity", page.sensitivity), Route("/api/sensitivity", page.api_sensitivity)),
        *(Route("/scaling.svg", page.scaling), Route("/health", page.health)),
        *(Route("/api/run", page.api_run), Route("/api/gpus", page.api_gpus), Route("/api/plan", page.api_plan)),
        *(Route("/style.css", _style), Route("/pictures.js", page.pictures)),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guards = [Middleware(Guard, hosts=hosts), Middleware(_LastResort)]
    handlers: dict[Any, Any] = {HTTPException: _http_error, WsesimError: _wsesim_error, Fault: _broken}
    return Starlette(routes=routes, middleware=guards, exception_handlers=handlers, lifespan=lifespan)


class _Page:
    """What each address answers."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def run(self, request: Request) -> Response:
        """The form of a run and its answer; for the form itself the answer alone."""
        pairs = request.query_params.multi_items()
        state = RunState.of(pairs)
        is_part = "hx-request" in request.headers
        values: dict[str, Any] = {"main": None, "compared": Compared(), "message": "", "problems": {}, "repairs": []}
        status, most, pinned = 200, None, None
        try:
            check_keys(RunState, pairs, (PINNED,))
            pinned = pinned_of(pairs)
            answering = self.service.answered(state, pinned, is_patient=not is_part)
            main, compared = await _while_somebody_waits(request, answering)
            values |= {"main": main, "compared": compared, "problems": compared.problems}
            most = main.most
        except WsesimError as error:
            message, problems = told_by_control(error, state)
            helps = _shown(await self.service.repairs(error, state), state, pinned)
            values |= {"message": message, "problems": problems, "repairs": helps}
            values["is_of_address"] = isinstance(error, WrongAddress)
            status = status_of(error)
        helps = _shown(values["compared"].repairs, state, pinned)
        values |= {"gpu_repairs": helps, "state": state, "query": state.query()} | _pins(state, pinned)
        values["address"] = address_of(state, pinned)
        values["is_file"] = status == 422  # well-formed, but too much for the machine or for the page
        values |= {"controls": controls(state, most), "ready": ready_runs()}
        return self._shown("run", request, values, status)

    async def ready_run(self, request: Request) -> Response:
        """To the state of a run of the catalogue, with what the address changes of it."""
        pairs = request.query_params.multi_items()
        check_keys(RunState, pairs, (PINNED,))
        try:
            known = ready_state(request.path_params["name"])
        except WsesimError as error:
            raise HTTPException(404, str(error)) from None
        state = RunState.of([*vars(known).items(), *pairs])
        return RedirectResponse(address_of(state, pinned_of(pairs)), 303)

    async def comparison(self, request: Request) -> Response:
        """The comparison alone, for an answer that did not wait for it."""
        state, pinned = _asked(request, RunState, (PINNED,)), pinned_of(request.query_params.multi_items())
        found = await _while_somebody_waits(request, self.service.compared(state, pinned, is_patient=True))
        query = address_of(state, pinned).partition("?")[2]
        helps = _shown(found.repairs, state, pinned)
        values = {"compared": found, "state": state, "query": query, "is_late": True, "gpu_repairs": helps}
        return HTMLResponse(render("compared.html", **values))

    async def sensitivity(self, request: Request) -> Response:
        """What single numbers do to the step: a page of its own, or what a fold of the answer is opened for."""
        state = _asked(request, RunState)
        return await self._part(request, state, None, "Sensitivity", self.service.sensitivity(state))

    async def part(self, request: Request) -> Response:
        """Another part of the answer, likewise."""
        name = request.path_params["name"]
        if name not in work.PARTS:
            raise HTTPException(404)
        state, pinned = _asked(request, RunState, (PINNED,)), pinned_of(request.query_params.multi_items())
        title = work.PARTS[name].title
        return await self._part(request, state, pinned, title, self.service.part(name, state, pinned))

    async def _part(
        self, request: Request, state: RunState, pinned: RunState | None, title: str, answer: Coroutine[Any, Any, str]
    ) -> Response:
        is_part = "hx-request" in request.headers
        found, message, status = "", "", 200
        try:
            found = await _while_somebody_waits(request, answer)
        except WsesimError as error:
            message, status = str(error), status_of(error)
        headers = {"vary": "hx-request", **({"retry-after": str(limits.RETRY_S)} if status == 503 else {})}
        values = {"state": state, "query": state.query(), "back": address_of(state, pinned), "title": title}
        values |= {"found": found, "message": message, "is_part": is_part, "digests": _digests()}
        return HTMLResponse(render("part.html", **values), status, headers)

    async def plan(self, request: Request) -> Response:
        """The form of a goal, and its answer; where that takes long, the page comes first, and asks for it."""
        pairs = request.query_params.multi_items()
        state, asked = GoalState.of(pairs), request.query_params.get("answer", "")
        query = "&".join(part for part in (state.query(), "answer=yes" if asked else "") if part)
        later = "&".join(part for part in (state.query(), "answer=wait") if part)
        values: dict[str, Any] = {"planned": "", "message": "", "problems": {}, "later": later}
        status = 200
        try:
            check_keys(GoalState, pairs)
            answer = self.service.plan(state) if asked == "wait" else self.service.plan_if_soon(state)
            values["planned"] = await _while_somebody_waits(request, answer)
        except WsesimError as error:
            values |= {"message": str(error), "problems": beside(str(error), GOAL_FIELDS)}
            values["is_of_address"] = isinstance(error, WrongAddress)
            status = status_of(error)
        values["is_file"] = status == 422
        values |= {"state": state, "query": state.query(), "address": f"/plan?{query}".rstrip("?")}
        return self._shown("plan", request, values | {"controls": goal_controls(state)}, status)

    async def progress(self, request: Request) -> Response:
        """How far the plan of a goal is."""
        return PlainTextResponse(self.service.how_far(_asked(request, GoalState)))

    async def portfolio(self, request: Request) -> Response:
        """The form of jobs that share a cluster, and its answer once the form was sent."""
        pairs = request.query_params.multi_items()
        state, is_asked = JobsState.of(pairs), "answer" in request.query_params
        query = "&".join(part for part in (state.query(), "answer=yes" if is_asked else "") if part)
        values: dict[str, Any] = {"found": "", "message": "", "problems": {}, "is_asked": is_asked}
        status = 200
        try:
            check_keys(JobsState, pairs)
            if is_asked:
                values["found"] = await _while_somebody_waits(request, self.service.portfolio(state))
        except WsesimError as error:
            values |= {"message": str(error), "problems": beside(str(error), JOBS_FIELDS)}
            values["is_of_address"] = isinstance(error, WrongAddress)
            status = status_of(error)
        values |= {"state": state, "query": state.query(), "address": f"/portfolio?{query}".rstrip("?")}
        return self._shown("portfolio", request, values | {"controls": jobs_controls(state)}, status)

    def _shown(self, name: str, request: Request, values: dict[str, Any], status: int) -> Response:
        """A whole page, or what the form puts in the place of the last answer."""
        is_part = "hx-request" in request.headers
        headers = {"vary": "hx-request"}
        if is_part:
            if request.query_params.get("answer") != "wait":
                headers["hx-push-url"] = values["address"]
            if values["message"]:  # the last answer stays
                headers |= {"hx-retarget": "#refused", "hx-reswap": "innerHTML"}
        if status == 503:
            headers["retry-after"] = str(limits.RETRY_S)
        template = f"{name}_answer.html" if is_part else f"{name}_page.html"
        shared = {"version": __version__, "digests": _digests(), "is_part": is_part, "is_late": False, "limits": limits}
        return HTMLResponse(render(template, **shared, **values), status, headers)

    async def run_file(self, request: Request) -> Response:
        """The run file."""
        return await self._file(request, work.run_file, RunState, RUN_FILE, "application/toml")

    async def gpu_file(self, request: Request) -> Response:
        """The run file of the GPUs."""
        return await self._file(request, work.gpu_file, RunState, GPU_FILE, "application/toml")

    async def goal_file(self, request: Request) -> Response:
        """The goal file."""
        return await self._file(request, work.goal_file, GoalState, GOAL_FILE, "application/toml")

    async def jobs_file(self, request: Request) -> Response:
        """The portfolio file."""
        return await self._file(request, work.jobs_file, JobsState, JOBS_FILE, "application/toml")

    async def report(self, request: Request) -> Response:
        """The report as one file."""
        return await self._file(request, work.report, RunState, work.REPORT_FILE, "text/html")

    async def scaling(self, request: Request) -> Response:
        """The scaling curve, for browsers without JavaScript."""
        theme = "dark" if request.query_params.get("theme") == "dark" else "light"
        state = _asked(request, RunState, ("theme",))
        picture = await _while_somebody_waits(request, self.service.make(work.scaling_picture, state, theme))
        return Response(picture, media_type="image/svg+xml")

    async def _file(self, request: Request, job: Any, kind: type[State], name: str, media_type: str) -> Response:
        made = await self._made(request, job, kind)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(made, media_type=media_type, headers=headers)

    async def _made(self, request: Request, job: Any, kind: type[State]) -> Any:
        return await _while_somebody_waits(request, self.service.make(job, _asked(request, kind)))

    async def api_run(self, request: Request) -> Response:
        """JSON of the run."""
        return JSONResponse(await self._made(request, work.run_json, RunState))

    async def api_gpus(self, request: Request) -> Response:
        """JSON of the same job on GPUs."""
        return JSONResponse(await self._made(request, work.gpu_json, RunState))

    async def api_sensitivity(self, request: Request) -> Response:
        """JSON of what single numbers do to the step."""
        return JSONResponse(await self._made(request, work.sensitivity_json, RunState))

    async def api_plan(self, request: Request) -> Response:
        """JSON of the plan."""
        return JSONResponse(await self._made(request, work.plan_json, GoalState))

    async def api_portfolio(self, request: Request) -> Response:
        """JSON of the portfolio."""
        return JSONResponse(await self._made(request, work.portfolio_json, JobsState))

    async def pictures(self, request: Request) -> Response:
        """What draws pictures."""
        made = await _while_somebody_waits(request, self.service.pictures())
        return Response(made, media_type="text/javascript", headers=FOR_EVER)

    async def health(self, _: Request) -> Response:
        """Whether the page answers, and how many wait."""
        return JSONResponse({"status": "ok", "version": __version__, "waiting": self.service.num_waiting})


def _shown(helps: Repairs, state: RunState, pinned: RunState | None) -> list[dict[str, str]]:
    """Repairs as buttons: what they say, where they lead, and the controls that they set."""
    return [
        {
            "label": repair.label,
            "address": address_of(candidate, pinned),
            "changes": json.dumps({key: now for key, (_, now) in differences(candidate, state).items()}),
        }
        for repair, candidate in helps
    ]


def _pins(state: RunState, pinned: RunState | None) -> dict[str, Any]:
    """What the page says of its baseline, and the addresses that pin this run, or none."""
    differs = (
        [] if pinned is None else [(labels(state)[key], *pair) for key, pair in differences(state, pinned).items()]
    )
    return {
        "pinned": pinned,
        "pinned_text": pinned_text(pinned) if pinned else "",
        "pinned_query": address_of(state, pinned).partition("?")[2],
        "pinned_address": address_of(pinned) if pinned else "",
        "differs": differs,
        "pin_address": address_of(state, state),
        "unpin_address": address_of(state),
    }


def _asked(request: Request, kind: type[State], others: tuple[str, ...] = ()) -> State:
    """The state in the address of a request that shows no controls."""
    pairs = request.query_params.multi_items()
    check_keys(kind, pairs, others)
    return kind.of(pairs)


async def _while_somebody_waits(request: Request, answer: Coroutine[Any, Any, Any]) -> Any:
    """The outcome of some work; it is given up where the browser has gone.

    Raises
    ------
    HTTPException
        Nobody waits.
    """
    task = asyncio.ensure_future(answer)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_S)
            if not task.done() and await request.is_disconnected():
                raise HTTPException(CLIENT_GONE, "nobody waits for this answer any longer")
        return task.result()
    finally:
        task.cancel()


def _wsesim_error(request: Request, error: WsesimError) -> Response:
    """Of files and JSON: the message as it is."""
    status = status_of(error)
    headers = {"retry-after": str(limits.RETRY_S)} if status == 503 else None
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": str(error)}, status, headers)
    return PlainTextResponse(str(error), status, headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": error.detail}, error.status_code)
    return HTMLResponse(render("no_page.html", message=error.detail, digests=_digests()), error.status_code)


class _LastResort:
    """Makes an answer of every error that nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        is_begun = False

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if is_debugging() or scope["type"] != "http":
                raise
            broken = _broken(Request(scope), fault("wsesim serve", error, __version__))
            if not is_begun:
                await broken(scope, receive, send)


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of an error for which no request waits."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        _tell_of_descriptors()
    elif error is None or is_debugging():
        loop.default_exception_handler(context)
    elif not isinstance(error, WsesimError | asyncio.CancelledError):  # a server that ends gives up its start
        _tell(error if isinstance(error, Fault) else fault("wsesim serve", error, __version__))


@cache
def _tell_of_descriptors() -> None:
    """Once; asyncio says so many times a second."""
    print("warning: all file descriptors are in use; new connections have to wait", file=sys.stderr, flush=True)


def _tell(error: Fault) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)


def _broken(request: Request, error: Fault) -> Response:
    """An error that nobody foresaw: where to read about it, here and in the terminal of the server."""
    _tell(error)
    text = str(error)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, 500)
    template = "broken.html" if "hx-request" in request.headers else "broken_page.html"
    return HTMLResponse(render(template, message=text, digests=_digests()), 500)


@cache
def _digests() -> dict[str, str]:
    """Addresses that change with the content of what they name."""
    texts = {"style": _look(), "page": (STATIC / "page.js").read_text(encoding="utf-8")}
    found = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}
    return found | {"pictures": __version__}


@cache
def _look() -> str:
    return style() + (STATIC / "page.css").read_text(encoding="utf-8")


async def _style(_: Request) -> Response:
    return Response(_look(), media_type="text/css", headers=FOR_EVER)


# Binds an address, says where the page is, and serves it until it is interrupted.


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
        pool.end_server()
