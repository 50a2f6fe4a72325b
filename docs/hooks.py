"""What mkdocs adds to the site when it builds it: pages and pictures that code writes, so that they are never old.

A page that reads well on a code host is a file of this folder. The pages made here would not: the commands from their help,
the Python names from their docstrings, and the pages that lie at the root of the repository.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import wsesim
from wsesim.cli import app
from wsesim.report import commands_page

AT_THE_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
PYTHON = """\
# Python

Every public name of `wsesim`. Lengths of time are in seconds, amounts in bytes, energy in joules; the end of a name says its
unit, and the keys of `to_dict()` are in the [glossary](glossary.md#result-and-json).

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here."""
    python = PYTHON + "\n".join(f"::: wsesim.{name}\n" for name in wsesim.__all__)
    texts = {"commands.md": commands_page.page(typer.main.get_command(app)), "python.md": python}
    texts |= {name: (ROOT / path).read_text(encoding="utf-8") for path, name in AT_THE_ROOT.items()}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    icon = ROOT / "wsesim/page/static/icon.svg"
    files.append(File.generated(config, "assets/icon.svg", abs_src_path=str(icon)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as the site has them."""
    if page.file.src_uri in AT_THE_ROOT.values():
        return re.sub(r"\]\(docs/", "](", markdown)
    return re.sub(r"\]\(\.\./([\w.-]+\.md)", lambda link: f"]({AT_THE_ROOT.get(link[1], 'index.md')}", markdown)
