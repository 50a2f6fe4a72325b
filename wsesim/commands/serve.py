"""`wsesim serve`: the interactive page."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import Limit, limited


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at; other than loopback, others can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes one that is free.")] = 8765,
    is_to_be_opened: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
    limit: Limit = None,
) -> None:
    """Start a local page: move the system count, and see speed, time, cost and the GPU comparison change."""
    from wsesim.machines import machine
    from wsesim.page import workers

    limited(limit)
    machine.page_limit.set(limit or machine.page_limit.get())
    workers.begin()
    from wsesim.page import server

    server.serve(host, port, is_to_be_opened=is_to_be_opened)
