"""The page as a browser sees it: `wsesim serve` in a process of its own, and its answers."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import wsesim
from tests.record.reading import cleaned, lines_of, words_of_page, words_of_picture

PART = "part "
"""In front of an address that the form asks for."""
HEADERS = ("location", "content-disposition", "hx-push-url", "retry-after")
"""That are said of every answer."""
PATIENCE_S = 120.0


@cache
def _host() -> str:
    """Where it listens; it is started when it is first asked for, and ends with this process."""
    home = str(Path(wsesim.__file__).resolve().parent.parent)
    served = subprocess.Popen(
        [sys.executable, "-m", "wsesim", "serve", "--port", "0", "--no-open"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([home, *sys.path])},
    )
    Finalize(None, _end, (served,), exitpriority=10)
    assert served.stdout is not None
    place = re.search(r"http://([\w.:]+)", served.stdout.readline())
    assert place is not None, "it says where it is"
    return place[1]


def _end(served: subprocess.Popen[str]) -> None:
    served.terminate()
    try:
        served.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        served.kill()


def answer(address: str) -> dict[str, Any]:
    """Status, some headers, and what the page says."""
    path = address.removeprefix(PART)
    asked = {"hx-request": "true"} if address.startswith(PART) else {}
    connection = http.client.HTTPConnection(_host(), timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=asked)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
    media = response.headers["content-type"] or ""
    return {"address": address, "status": response.status, "type": media, **headers, **_said(media, body)}


def headers(address: str) -> dict[str, str]:
    """All headers of an answer, apart from those that differ from time to time."""
    connection = http.client.HTTPConnection(_host(), timeout=PATIENCE_S)
    try:
        connection.request("GET", address)
        found = connection.getresponse().headers
    finally:
        connection.close()
    return {name.lower(): value for name, value in found.items() if name.lower() not in ("date", "content-length")}


def _said(media: str, body: bytes) -> dict[str, Any]:
    kind = media.partition(";")[0]
    if kind == "application/json":
        import json

        return {"said": cleaned(json.loads(body))}
    if kind == "text/html":
        return words_of_page(body.decode())
    if kind == "image/svg+xml":
        return {"texts": words_of_picture(body.decode())}
    return {} if kind in ("text/css", "text/javascript") else {"lines": lines_of(body.decode())}
