"""Reads HTML as a browser would, and refuses what is not well-formed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "hr", "img", "input", "rect", "path"}


@dataclass(repr=False, eq=False)
class Element:
    """A tag with its attributes and all text inside."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """Words of its attribute."""
        return self.attributes.get("class", "").split()


class Page(HTMLParser):
    """All elements in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {[one.tag for one in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Goes below what is open."""
        one = Element(tag, {key: value or "" for key, value in attrs}, tuple(self.open))
        self.elements.append(one)
        for parent in self.open[-1:]:
            parent.children.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Has nothing inside."""
        self.elements.append(Element(tag, {key: value or "" for key, value in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        """Closes what was opened last."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>, line {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        """Belongs to all that is open."""
        for one in self.open:
            one.text += data

    def all(self, tag: str = "", of_class: str = "") -> list[Element]:
        """Elements of a tag, of a class, or both."""
        return [one for one in self.elements if tag in ("", one.tag) and (not of_class or of_class in one.classes)]

    def ids(self) -> list[str]:
        """Addresses on the page."""
        return [one.attributes["id"] for one in self.elements if "id" in one.attributes]

    def by_id(self, name: str) -> Element:
        """The element with an address."""
        (found,) = [one for one in self.elements if one.attributes.get("id") == name]
        return found

    def specs(self) -> list[dict[str, Any]]:
        """Vega-Lite of every picture."""
        scripts = [one for one in self.all("script") if one.attributes.get("type") == "application/json"]
        return [json.loads(one.text, parse_constant=_refuse) for one in scripts]


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")
