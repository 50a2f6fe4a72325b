"""The page as an ASGI application: its addresses, and what becomes of every failure."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import sys
from collections.abc import AsyncIterator, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsesim.errors import Fault, WsesimError, fault, is_debugging
from wsesim.page import limits, work
from wsesim.page.form import controls, goal_controls
from wsesim.page.goal import GOAL_FIELDS, GOAL_FILE
from wsesim.page.problems import beside
from wsesim.page.ready import ready_runs, ready_state
from wsesim.page.run_file import GPU_FILE, RUN_FILE
from wsesim.page.security import Guard
from wsesim.page.service import Compared, Service, problems_of, status_of
from wsesim.page.state import GoalState, RunState, State, WrongAddress, check_keys
from wsesim.page.work import render
from wsesim.report.html import style
from wsesim.version import __version__

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
        starting = asyncio.ensure_future(service.start())
        yield
        service.stop()
        starting.cancel()

    routes = [
        *(Route("/", page.run), Route("/comparison", page.comparison), Route("/plan", page.plan)),
        Route("/runs/{name}", page.ready_run),
        *(Route(f"/{RUN_FILE}", page.run_file), Route(f"/{GPU_FILE}", page.gpu_file)),
        *(Route(f"/{GOAL_FILE}", page.goal_file), Route(f"/{work.REPORT_FILE}", page.report)),
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
        values: dict[str, Any] = {"main": None, "compared": Compared(), "message": "", "problems": {}}
        status, most = 200, None
        try:
            check_keys(RunState, pairs)
            answering = self.service.answered(state, is_patient=not is_part)
            main, compared = await _while_somebody_waits(request, answering)
            values |= {"main": main, "compared": compared, "problems": compared.problems}
            most = main.most
        except WsesimError as error:
            values |= {"message": str(error), "problems": problems_of(error)}
            values["is_of_address"] = isinstance(error, WrongAddress)
            status = status_of(error)
        values |= {"state": state, "query": state.query(), "address": f"/?{state.query()}".rstrip("?")}
        values["is_file"] = status == 422  # well-formed, but too much for the machine or for the page
        values |= {"controls": controls(state, most), "ready": ready_runs()}
        return self._shown("run", request, values, status)

    async def ready_run(self, request: Request) -> Response:
        """To the state of a run of the catalogue, with what the address changes of it."""
        pairs = request.query_params.multi_items()
        check_keys(RunState, pairs)
        try:
            known = ready_state(request.path_params["name"])
        except WsesimError as error:
            raise HTTPException(404, str(error)) from None
        state = RunState.of([*vars(known).items(), *pairs])
        return RedirectResponse(f"/?{state.query()}".rstrip("?"), 303)

    async def comparison(self, request: Request) -> Response:
        """The comparison alone, for an answer that did not wait for it."""
        state = _asked(request, RunState)
        found = await _while_somebody_waits(request, self.service.compared(state, is_patient=True))
        return HTMLResponse(render("compared.html", compared=found, state=state, query=state.query(), is_late=True))

    async def plan(self, request: Request) -> Response:
        """The form of a goal, and its answer once the form was sent."""
        pairs = request.query_params.multi_items()
        state, is_asked = GoalState.of(pairs), "answer" in request.query_params
        query = "&".join(part for part in (state.query(), "answer=yes" if is_asked else "") if part)
        values: dict[str, Any] = {"planned": "", "message": "", "problems": {}, "is_asked": is_asked}
        status = 200
        try:
            check_keys(GoalState, pairs)
            if is_asked:
                values["planned"] = await _while_somebody_waits(request, self.service.plan(state))
        except WsesimError as error:
            values |= {"message": str(error), "problems": beside(str(error), GOAL_FIELDS)}
            values["is_of_address"] = isinstance(error, WrongAddress)
            status = status_of(error)
        values["is_file"] = status == 422
        values |= {"state": state, "query": state.query(), "address": f"/plan?{query}".rstrip("?")}
        return self._shown("plan", request, values | {"controls": goal_controls(state)}, status)

    def _shown(self, name: str, request: Request, values: dict[str, Any], status: int) -> Response:
        """A whole page, or what the form puts in the place of the last answer."""
        is_part = "hx-request" in request.headers
        headers = {"vary": "hx-request"}
        if is_part:
            headers["hx-push-url"] = values["address"]
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

    async def api_plan(self, request: Request) -> Response:
        """JSON of the plan."""
        return JSONResponse(await self._made(request, work.plan_json, GoalState))

    async def pictures(self, request: Request) -> Response:
        """What draws pictures."""
        made = await _while_somebody_waits(request, self.service.pictures())
        return Response(made, media_type="text/javascript", headers=FOR_EVER)

    async def health(self, _: Request) -> Response:
        """Whether the page answers, and how many wait."""
        return JSONResponse({"status": "ok", "version": __version__, "waiting": self.service.num_waiting})


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
            broken = _broken(Request(scope), fault("wsesim serve", error))
            if not is_begun:
                await broken(scope, receive, send)


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of an error for which no request waits."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        _tell_of_descriptors()
    elif error is None or is_debugging():
        loop.default_exception_handler(context)
    elif not isinstance(error, WsesimError):
        _tell(error if isinstance(error, Fault) else fault("wsesim serve", error))


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
