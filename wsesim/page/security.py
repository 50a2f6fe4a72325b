"""What every answer says to browsers, and which requests are not answered at all."""

from __future__ import annotations

import html
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsesim.page.limits import LONGEST_QUERY

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
