"""Templates: Jinja2 with autoescape, so that names from files are text and nothing else."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.report.charts.render import Picture, element

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
    found.filters["element"] = _element
    found.filters["words"] = _words
    return found


def render(template: str, **values: Any) -> str:
    """A template of this package with its values."""
    return environment().get_template(template).render(values)


@cache
def style(name: str = "style.css") -> str:
    """A style sheet; by default the look of all macros, in both themes."""
    return resources.files(FOLDER).joinpath("templates", name).read_text(encoding="utf-8")


def _element(picture: Picture, name: str) -> str:
    """A picture's place in a page, which escapes its own texts."""
    from markupsafe import Markup

    return Markup(element(picture, name))


def _words(text: str) -> str:
    """A text whose parts between back quotes are code, as in messages on the terminal."""
    from markupsafe import Markup, escape

    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))


_QUOTED = re.compile(r"`([^`\n]+)`")
