"""A picture as Vega-Lite for browsers and notebooks, offline, and as SVG, PNG or PDF without a browser."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from html import escape
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from wsesim.config import catalogue
from wsesim.errors import InputError
from wsesim.report.charts.theme import THEMES, ThemeName, config
from wsesim.report.files import whole

if TYPE_CHECKING:
    import altair as alt

# Vega, Vega-Lite and vega-embed as one script that works offline, kept between processes.
#
# vl-convert holds the libraries and takes 3 s of one core to put them into one script. That script is the same for
# ever with the same version, so it is kept in the folder that the operating system has for such files; where nothing
# can be written there, it is made again. Shipping it would save the first 3 s, and cost a megabyte of generated code
# in the repository that has to follow the version of vl-convert, which draws the same pictures as SVG, PNG and PDF.


LARGEST_SCRIPT_BYTES = 20_000_000


@cache
def bundle(snippet: str) -> str:
    """All libraries, followed by `snippet`, which may use ``vegaEmbed``."""
    kept = _place(snippet)
    if kept is not None:
        try:
            return catalogue.text(kept, str(kept), LARGEST_SCRIPT_BYTES)
        except InputError:
            pass  # not made yet, or not readable
    import vl_convert

    made: str = vl_convert.javascript_bundle(snippet)
    if kept is not None:
        _keep(kept, made)
    return made


def _place(snippet: str) -> Path | None:
    """Where the script is kept; None where there is no such folder."""
    told = hashlib.sha256(f"{metadata.version('vl-convert-python')}\n{snippet}".encode()).hexdigest()
    try:
        return _folder() / f"pictures-{told[:16]}.js"
    except RuntimeError:  # no home
        return None


def _folder() -> Path:
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "wsesim"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "wsesim" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wsesim"
    return Path.home() / ".cache" / "wsesim"


def _keep(place: Path, text: str) -> None:
    """Write the script beside its place, and move it there when it is complete."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(place)
    except OSError:
        with suppress(OSError):
            part.unlink()


# A picture as Vega-Lite for browsers and notebooks, and as SVG, PNG or PDF without a browser.
#
# Altair builds and checks a chart once for each shape of data; a picture is such a template with its data. Templates
# say nothing of colours of text and of widths, so the same one is drawn light, dark and for paper.


Parameters = ParamSpec("Parameters")
Row = Mapping[str, Any]
Width = Literal["container", "single", "double"] | float
"""Of the page; one or two columns of a paper; or a number. [px]"""

FORMATS = ("svg", "png", "pdf")
WIDTHS_PX = {"single": 3.3 * 72.0, "double": 7.0 * 72.0}
"""Columns of a paper, in points, which are the pixels of a PDF. [px]"""
SCREEN_WIDTH_PX = 760.0
"""Of a picture that is saved without a width. [px]"""
PAPER_SIZE = 0.62
"""Sizes on paper over those on a screen, where letters are larger. [-]"""
LEGEND_ENTRY_PX = 112.0
"""Width of an entry of a legend, on a screen. [px]"""
PNG_DOTS_PER_INCH, POINTS_PER_INCH = 300.0, 72.0
SCREEN_SCALE = 2.0
"""Pixels of a PNG for each pixel of a page. [-]"""
TEMPLATES = 64
"""Templates of a chart that are kept. [-]"""


@dataclass(frozen=True)
class Picture:
    """A chart with its data.

    Attributes
    ----------
    template
        Vega-Lite without data, shared among pictures.
    datasets
        Rows by the name that the template gives them.
    description
        What the picture says, for those who do not see it.
    notes
        What it leaves out or draws together; belongs below the picture.
    params
        Values of the template's parameters of the same name, such as the ticks of an axis.
    """

    template: Mapping[str, Any]
    datasets: Mapping[str, Sequence[Row]]
    description: str
    notes: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Vega-Lite in the light theme."""
        return spec(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"application/vnd.vegalite.v6+json": spec(self, width=SCREEN_WIDTH_PX), "text/plain": self.description}


def template(build: Callable[Parameters, alt.TopLevelMixin]) -> Callable[Parameters, Mapping[str, Any]]:
    """A function that builds a chart, as one that returns finished Vega-Lite and remembers it.

    Its arguments say all that the chart's shape depends on, and are hashable. Checking a chart against the schema of
    Vega-Lite takes three quarters of the time to build it, so tests do that.
    """

    def finished(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Mapping[str, Any]:
        import altair as alt
        from altair.utils.schemapi import debug_mode

        with alt.theme.enable("none"), debug_mode(False):
            built = build(*args, **kwargs).to_dict(validate=False)
        built.pop("config", None)
        return built

    return lru_cache(maxsize=TEMPLATES)(finished)  # type: ignore[return-value]


def spec(picture: Picture, theme: ThemeName = "light", width: Width = "container") -> dict[str, Any]:
    """Finished Vega-Lite with data and colours, for vega-embed, a notebook or vl-convert.

    Parameters
    ----------
    theme
        "light", "dark" or "paper".
    width
        "container" for the width of the page, "single" or "double" for a paper's columns, or a number. [px]
    """
    factor = PAPER_SIZE if theme == "paper" else 1.0
    width_px = WIDTHS_PX.get(str(width), width)
    shape = _resized(picture.template, width_px, factor)
    entry_px = picture.template.get("usermeta", {}).get("entry_px", LEGEND_ENTRY_PX) * factor
    legend = legend_of(SCREEN_WIDTH_PX if width_px == "container" else float(width_px), entry_px)
    if picture.params:
        shape["params"] = [
            {**one, "value": picture.params[one["name"]]} if one["name"] in picture.params else one
            for one in shape["params"]
        ]
    return {
        **shape,
        "description": picture.description,
        "datasets": {name: list(rows) for name, rows in picture.datasets.items()},
        "config": {**config(theme), "legend": {**config(theme)["legend"], **legend}},
    }


def legend_of(width_px: float, entry_px: float = LEGEND_ENTRY_PX) -> dict[str, float]:
    """Entries of a legend that stand beside one another, and how wide each may be: it does not break lines by itself."""
    return {"columns": max(1, int(width_px / entry_px)), "labelLimit": width_px - LEGEND_ENTRY_PX / 2}


def entry_px(words: Iterable[str]) -> float:
    """Width that the longest of some words needs in a legend on a screen; a template's `usermeta` may state it. [px]"""
    return max((40.0 + 7.2 * len(word) for word in words), default=LEGEND_ENTRY_PX)


def _resized(shape: Mapping[str, Any], width: Any, factor: float) -> dict[str, Any]:
    """A template with its width, and its height times a factor."""
    found = dict(shape)
    for key in ("vconcat", "hconcat"):
        if key in found:
            beside = found.get("usermeta", {}).get("beside_px", 0.0)
            inside = (SCREEN_WIDTH_PX if width == "container" else float(width)) - beside * factor
            parts = [
                _resized(part, inside / (len(found[key]) if key == "hconcat" else 1), factor) for part in found[key]
            ]
            return found | {key: parts}
    height = found.get("height")
    if isinstance(height, int | float):
        found["height"] = height * factor
    elif isinstance(height, dict) and "step" in height:
        found["height"] = {**height, "step": height["step"] * factor}
    found["width"] = width
    found.setdefault("autosize", {"type": "fit-x", "contains": "padding"})
    return found


def save(picture: Picture, path: str | Path, theme: ThemeName = "light", width: Width | None = None) -> None:
    """Write a picture as its file's name ends; the file is whole, or it is the old one.

    Raises
    ------
    InputError
        Another ending than .svg, .png or .pdf, or a place where nothing can be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        known = ", ".join(f".{one}" for one in FORMATS)
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}, and pictures are {known}; choose one of these")
    made = drawn(picture, kind, theme, width)
    with whole(path) as file:
        file.write(made)


def drawn(picture: Picture, kind: str, theme: ThemeName = "light", width: Width | None = None) -> bytes:
    """A picture as "svg", "png" or "pdf"; fonts are embedded in the latter."""
    import vl_convert

    on_paper = theme == "paper"
    finished = spec(picture, theme, width or ("single" if on_paper else SCREEN_WIDTH_PX))
    if kind == "pdf":
        made: bytes = _in_order(vl_convert.vegalite_to_pdf(finished))
    elif kind == "png":
        dots = PNG_DOTS_PER_INCH if on_paper else POINTS_PER_INCH * SCREEN_SCALE
        made = vl_convert.vegalite_to_png(finished, ppi=dots)
    else:
        made = _in_points(vl_convert.vegalite_to_svg(finished), on_paper).encode()
    return made


def _in_order(pdf: bytes) -> bytes:
    """A PDF whose lists of resources are sorted: vl-convert writes them in another order each time.

    Lines change places within a list, so that no object of the file moves.
    """
    return _RESOURCES.sub(lambda found: found[1] + b"".join(sorted(found[2].splitlines(keepends=True))), pdf)


_RESOURCES = re.compile(
    rb"(/(?:XObject|ExtGState|Font|ColorSpace|Pattern|Shading) <<\n)((?:[ ]*/\w+ [0-9]+ [0-9]+ R\n)+)"
)


def _in_points(svg: str, on_paper: bool) -> str:
    """A picture for paper says its size in points, so that it is as wide as in a PDF."""
    size = re.compile(r'(<svg[^>]*?) width="([\d.]+)" height="([\d.]+)"')
    return size.sub(r'\1 width="\2pt" height="\3pt"', svg, count=1) if on_paper else svg


@cache
def javascript() -> str:
    """Vega-Lite with all that it needs, and `wsesimPictures.draw`, as one script that works offline.

    Goes into a page once. `wsesimPictures.draw(root)` then draws every element below `root` that `element` made, in the
    colours that the reader prefers, and again when width or preference change. Needs no `unsafe-eval`.
    """
    known = {"CONFIGURATIONS": {name: config(name) for name in THEMES}, "LEGEND_ENTRY_PX": LEGEND_ENTRY_PX}
    own = Path(__file__).with_name("embed.js").read_text(encoding="utf-8")
    for word, value in known.items():
        own = own.replace(word, json.dumps(value))
    return bundle(own).replace("</script", "<\\/script")


def element(picture: Picture, name: str = "") -> str:
    """A piece of HTML that `javascript` draws a picture in; its text is safe inside a page."""
    shape = spec(picture)
    del shape["config"]
    inside = json.dumps(shape, separators=(",", ":"), default=float).replace("<", "\\u003c")
    named = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="picture"{named} role="img" aria-label="{escape(picture.description)}">'
        f'<div class="canvas"></div><script type="application/json">{inside}</script></div>'
    )


def unique(names: Iterable[str]) -> list[str]:
    """Names with a number where one comes again.

    Examples
    --------
    >>> unique(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name} ({number})"
        found.append(candidate)
    return found
