"""Every number of every machine is on the page of the catalogue, and leads to its source."""

from __future__ import annotations

import re

from generate.catalogue_page import TITLES, page

from wsesim.config import catalogue
from wsesim.report.pages import catalogue as entries

PAGE = page()


def test_every_machine_has_a_section_with_its_numbers() -> None:
    sections = {text.split("\n", 1)[0]: text for text in re.split(r"^### ", PAGE.split("## Sources")[0], flags=re.M)}
    for kind in TITLES:
        for name in catalogue.names(kind):
            assert f"`cluster_configs/{kind}/{name}.toml`" in PAGE
    for row in entries.of_kind("gpus", "h100_80gb"):
        assert f"| `{row.key}` | {entries.shown(row)} | " in sections["h100_80gb"]


def test_every_source_that_a_number_names_is_there() -> None:
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', PAGE))
    linked = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert {"cs2-datasheet", "none"} <= linked <= anchors
