"""Templates: Jinja2 with autoescape, so that names from files are text and nothing else."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = "wsesim.report.html"


@cache
def environment(*folders: Path) -> Environment:
    """Templates of this package, and those in `folders`."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

    loaders = [PackageLoader(FOLDER), *(FileSystemLoader(folder) for folder in folders)]
    found = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # `tojson` escapes what could end a <script>: <, >, & and '
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    return found


def render(template: str, **values: Any) -> str:
    """A template of this package with its values."""
    return environment().get_template(template).render(values)


def style() -> str:
    """The look of all macros, in both themes."""
    return _text("style.css")


def script() -> str:
    """What draws charts when they come into view."""
    return _text("charts.js")


@cache
def _text(name: str) -> str:
    return resources.files(FOLDER).joinpath("templates", name).read_text(encoding="utf-8")
