"""What files that wsesim writes, and pages that it answers with, say: as plain data, small enough to be read."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import wsesim

LEFT_OUT = {"wall_s": "(time)", "version": "(version)", "size_bytes": "(size)"}
"""Keys of answers that differ from time to time, and what is recorded instead."""
TIME = re.compile(r"( events,\s+in)\s+[\d.,]+ (?:us|ms|s|min)\b")
MOMENT = re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b")
SIZE = re.compile(r"(\.(?:html|svg|png|pdf): )[\d.]+ [kM]?B\b")
MOST_VALUES = 12
"""Different texts of one column of a picture that are named; beyond, they are counted. [-]"""


def lines_of(text: str) -> list[str]:
    """Lines of a text, without blanks at their ends, and without what LEFT_OUT and patterns name."""
    for pattern, instead in ((TIME, r"\1 (time)"), (MOMENT, "(moment)"), (SIZE, r"\1(size)")):
        text = pattern.sub(instead, text)
    told = text.replace(wsesim.__version__, LEFT_OUT["version"])
    return [line.rstrip() for line in told.splitlines()]


def cleaned(data: Any) -> Any:
    """The same without what differs from time to time."""
    if isinstance(data, dict):
        return {key: LEFT_OUT[key] if key in LEFT_OUT else cleaned(value) for key, value in data.items()}
    return [cleaned(value) for value in data] if isinstance(data, list | tuple) else data


def table(path: Path) -> dict[str, Any]:
    """A CSV file: columns, and rows in which numbers are numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    return {"columns": columns, "rows": [[_cell(cell) for cell in row] for row in rows]}


def _cell(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in "-0123456789" and text else text
    except ValueError:
        return text


def text(path: Path) -> list[str]:
    """A text file by lines."""
    return lines_of(path.read_text(encoding="utf-8"))


def as_json(path: Path) -> Any:
    """A JSON file."""
    return cleaned(json.loads(path.read_text(encoding="utf-8")))


def first_bytes(path: Path) -> str:
    """What a file that is not text begins with."""
    return repr(path.read_bytes()[:4])


def trace(path: Path) -> dict[str, Any]:
    """A timeline: what it says of itself, and of each track how often and how long it does what."""
    read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    data = json.loads(read)
    names: dict[tuple[int, int], str] = {}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in data["traceEvents"]:
        if event["name"] == "thread_name":
            names[event["pid"], event["tid"]] = event["args"]["name"]
        elif event["ph"] != "M":
            track = names.get((event["pid"], event["tid"]), "")
            what = re.sub(r"\d+", "N", event["name"])
            groups[f"{event['ph']} {track}: {what}"].append(event)
    said = {key: value for key, value in data.items() if key != "traceEvents"}
    said["otherData"] = {key: "; ".join(lines_of(value)) for key, value in data["otherData"].items()}
    return {"said": said, "tracks": {name: _spans(group) for name, group in sorted(groups.items())}}


def _spans(events: list[dict[str, Any]]) -> dict[str, Any]:
    starts = [event["ts"] for event in events]
    found = {"events": len(events), "first_us": min(starts), "last_us": max(starts), "starts_us": sum(starts)}
    found |= {"us": sum(event.get("dur", 0.0) for event in events)}
    for key in dict.fromkeys(key for event in events for key in event.get("args", {})):
        values = [event["args"][key] for event in events if key in event.get("args", {})]
        found[key] = _column(values)
    return found


def _column(values: list[Any]) -> Any:
    """Numbers by their sum and ends, texts by name where they are few."""
    if all(isinstance(value, int | float) for value in values):
        return {"sum": sum(values), "least": min(values), "most": max(values)}
    told = list(dict.fromkeys(json.dumps(cleaned(value), ensure_ascii=False) for value in values))
    return told if len(told) <= MOST_VALUES else f"{len(told)} texts, from {min(told)} to {max(told)}"


def svg(path: Path) -> list[str]:
    """Texts of a picture."""
    return words_of_picture(path.read_text(encoding="utf-8"))


def words_of_picture(content: str) -> list[str]:
    """Texts of an SVG."""
    return [re.sub(r"<[^>]+>", "", one) for one in re.findall(r"<text[^>]*>(.*?)</text>", content, re.DOTALL)]


def page(path: Path) -> dict[str, Any]:
    """An HTML file."""
    return words_of_page(path.read_text(encoding="utf-8"))


def words_of_page(html: str) -> dict[str, Any]:
    """What stands on a page, line by line, with links and controls; and the data of its pictures."""
    reader = _Page()
    reader.feed(html)
    reader.close()
    lines = [line for line in lines_of("\n".join(reader.lines())) if line]
    pictures = [_picture(json.loads(data)) for data in reader.data]
    return {"lines": lines, **({"pictures": pictures} if pictures else {})}


def _picture(spec: Any) -> Any:
    """Titles and marks of a picture, and its columns."""
    if not isinstance(spec, dict):
        return spec
    told: dict[str, Any] = {"marks": sorted(set(_marks(spec))), "titles": list(dict.fromkeys(_titles(spec)))}
    for name, rows in spec.get("datasets", {}).items():
        keys = dict.fromkeys(key for row in rows for key in row)
        told[name] = {"rows": len(rows), **{key: _column([row[key] for row in rows if key in row]) for key in keys}}
    return told


def _marks(spec: Any) -> Iterator[str]:
    if isinstance(spec, dict):
        mark = spec.get("mark")
        found = mark.get("type") if isinstance(mark, dict) else mark
        yield from [found] if isinstance(found, str) else []
    for inner in spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ():
        yield from _marks(inner)


def _titles(spec: Any) -> Iterator[str]:
    if isinstance(spec, dict):
        if isinstance(spec.get("title"), str):
            yield spec["title"]
        for key, inner in spec.items():
            if key != "datasets":
                yield from _titles(inner)
    elif isinstance(spec, list):
        for inner in spec:
            yield from _titles(inner)


BLOCKS = """
p div section h1 h2 h3 h4 li tr table form label fieldset header footer main nav ul dl dt dd details summary figure
figcaption article title button pre br option noscript
"""


class _Page(HTMLParser):
    """Text by lines: a line for each block, cells of a row beside each other."""

    BLOCKS = frozenset(BLOCKS.split())
    UNSEEN = frozenset(("script", "style", "svg"))
    SHOWN: ClassVar[dict[str, tuple[str, ...]]] = {
        "input": ("id", "name", "type", "value", "min", "max", "checked"),
        "select": ("id", "name"),
        "option": ("value", "selected"),
        "form": ("action", "method"),
        "a": ("href",),
        "img": ("alt", "src"),
        "h1": (),
        "h2": (),
        "h3": (),
        "button": ("id", "type"),
    }
    """Elements that are shown as such, with some of what they say."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self.data: list[str] = []
        self.inside: list[str] = []
        self.is_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Start a line, and show what is a control, a link or a heading."""
        if tag in self.UNSEEN:
            self.inside.append(tag)
            self.is_data = tag == "script" and dict(attrs).get("type") == "application/json"
        if tag in self.BLOCKS:
            self.said.append("\n")
        if tag in ("td", "th"):
            self.said.append(" | ")
        if tag in self.SHOWN:
            told = [f'{key}="{value}"' if value else key for key, value in attrs if key in self.SHOWN[tag]]
            self.said.append(f"<{' '.join([tag, *told])}> ")

    def handle_endtag(self, tag: str) -> None:
        """End a line."""
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()
        if tag in self.BLOCKS:
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        """Text that is seen, or the data of a picture."""
        if self.inside and self.inside[-1] == "script" and self.is_data:
            self.data.append(data)
        elif not self.inside:
            self.said.append(re.sub(r"\s+", " ", data))

    def lines(self) -> list[str]:
        """Lines that say something."""
        found = (re.sub(r" +", " ", line).strip() for line in "".join(self.said).split("\n"))
        return [line for line in found if line]
