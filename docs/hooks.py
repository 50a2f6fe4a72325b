"""What mkdocs adds to the site when it builds it: pages and pictures that code writes, so that they are never old.

A page that reads well on a code host is a file of this folder. The pages made here would not: the commands from their help,
the Python names from their docstrings, the catalogue, the notebooks, and the pages that lie at the root of the repository.
"""

from __future__ import annotations

import logging
import posixpath
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import notebooks
import pictures
from generate import catalogue_page, commands_page, kind_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import wsesim
from wsesim.commands.cli import app

ROOT = Path(__file__).resolve().parent.parent
AT_THE_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that lie at the root of the repository, and their names in the site."""
PYTHON = """\
# Python

Every public name of `wsesim`, and after them what lies in modules of its own. Lengths of time are in seconds, amounts in bytes,
energy in joules; the end of a name says its unit, and the keys of `to_dict()` are in the
[glossary](glossary.md#result-and-json).

"""

MODULES = (
    "results.step.Step",
    "machines.machine.Machine",
    "study.goals.Answer",
    "study.goals.Option",
    "study.scaling.scaling",
    "study.scaling.Scaling",
    "study.scaling.Curve",
    "study.scaling.Point",
    "study.timeline.timeline_of",
    "machines.timeline.Timeline",
    "validate.near.near",
    "validate.near.Comparison",
)
"""What functions above answer with, and what has no short name."""

STEP = "step-of-five-layers"
STEP_SAID = (
    "Five layers of a step on Andromeda, with 8 sequences for each system so that streams can be seen: above, forward; below, "
    "backward, where a paler piece is the gradient of weights. The wafer computes a layer while its weights come; gradients leave "
    "while they are computed, and here the wafer has to wait for them."
)
PICTURES = {
    "validation.md": {
        "## By set": (
            "validation-wafer-scale",
            (
                "Wafer-scale systems: every rate, solid by a fit without its model, hollow by the fit that holds it. Right of the "
                "line is too fast; the band is 10 %, bars are medians of solid ones, what is beyond 50 % is drawn at the edge."
            ),
        ),
        "### GPU sets": (
            "validation-gpus",
            (
                "GPU clusters: throughput of every step that no number was fitted to. Right of the line is too fast; the band is "
                "10 %, bars are medians, what is beyond 50 % is drawn at the edge. Tables below have errors of the time."
            ),
        ),
    },
    "index.md": {
        "## The machine": (
            "machine-andromeda",
            "Andromeda as its file describes it: weights come down from MemoryX over SwarmX, summed gradients go up.",
        ),
        "## How far to trust it": (
            "validation-wafer-scale",
            "Every measured rate of a wafer-scale system, solid by a fit without its model; right of the line is too fast.",
        ),
    },
    "tutorial.md": {
        "## 1. A first run": (
            "machine-andromeda",
            "Andromeda: MemoryX holds the weights, SwarmX brings them to the systems and sums gradients on the way back.",
        ),
        "## 2. Where the time goes": (STEP, STEP_SAID),
    },
    "model.md": {
        "## 7. Weight-streaming schedule": (STEP, STEP_SAID),
        "## 5. SwarmX": (
            "machine-andromeda",
            "Andromeda: MemoryX, the levels of SwarmX, and its systems, with the rates of links and ports.",
        ),
        "## 17. GPUs: collectives": (
            "machine-selene",
            "Selene: nodes on the network, and the GPUs of one of them, joined by NVLink.",
        ),
    },
    "performance.md": {
        "## Measured": (
            "performance-engines",
            "One run on both engines, and its step time alone; from the table below.",
        ),
    },
}
"""Pictures by page and by the heading that they stand under."""
WITH_EQUATIONS = ("model.md",)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here."""
    modules = [f"::: wsesim.{name}\n" for name in MODULES]
    python = PYTHON + "\n".join([*map(_public, wsesim.__all__), *modules])
    texts = {
        "commands.md": commands_page.page(app),
        "python.md": python,
        "catalogue.md": catalogue_page.page(),
    }
    texts |= notebooks.pages()
    texts |= {name: (ROOT / path).read_text(encoding="utf-8") for path, name in AT_THE_ROOT.items()}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    for name, made in pictures.files().items():
        files.append(File.generated(config, name, content=made))
    icon = ROOT / "wsesim/page/static/icon.svg"
    files.append(File.generated(config, "assets/icon.svg", abs_src_path=str(icon)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Pictures, and links as the site has them."""
    for heading, (name, caption) in PICTURES.get(page.file.src_uri, {}).items():
        if f"\n{heading}\n" not in markdown:
            raise PluginError(f"{page.file.src_uri} has no heading {heading!r} for the picture {name}")
        markdown = markdown.replace(f"\n{heading}\n", f"\n{heading}\n{pictures.shown(name, caption)}", 1)
    if page.file.src_uri in WITH_EQUATIONS:
        markdown = _typeset(markdown)
    if page.file.src_uri == "how-to/kind-of-machine.md":
        markdown += kind_page.example()
    return re.sub(
        r"\]\(([\w./-]+\.(?:md|ipynb))(?=[)#])", lambda link: f"]({_in_the_site(link[1], page.file.src_uri)}", markdown
    )


def on_post_page(output: str, **_: Any) -> str:
    """What the theme leaves without a name."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def _typeset(markdown: str) -> str:
    """Equations as MathML, which browsers draw without a script: blocks of ``math``, and what stands between dollar signs."""
    if find_spec("latex2mathml") is None:
        logging.getLogger("mkdocs.hooks").info(
            "equations stay as they are written: latex2mathml is not installed (.[docs])"
        )
        return markdown
    shown = _MATH.sub(lambda block: f'<div class="math">{_equations(block[1])}</div>\n', markdown)
    parts = _CODE.split(shown)  # every second one is code or done, where a dollar is a dollar
    parts[::2] = [
        _LETTERS.sub(lambda found: f"<span><math>{_inner(found[1])}</math></span>", part) for part in parts[::2]
    ]
    return "".join(parts)


def _equations(text: str) -> str:
    """Lines that are aligned at their first sign, with what is said of them behind."""
    body = re.sub(r"\\(?:begin|end)\{aligned\}", "", text)
    rows = []
    for line in re.split(r"\\\\(?=\s*$)", body, flags=re.MULTILINE):
        left, *others = [cell.strip() for cell in line.split("&") if cell.strip()]
        shown = [f'<mstyle displaystyle="true">{_inner(cell)}</mstyle>' for cell in (left, *others)]
        cells = "".join(f'<mtd style="text-align: left">{one}</mtd>' for one in shown)
        rows.append(f"<mtr>{cells}</mtr>")
    return (
        f'<math display="block"><mtable rowspacing="0.6em" columnspacing="0.3em 1.5em">{"".join(rows)}</mtable></math>'
    )


def _inner(latex: str) -> str:
    """MathML of a piece, without its outermost tag."""
    from latex2mathml.converter import convert

    return re.sub(r'^<math[^>]*>|</math>$| stretchy="false"', "", str(convert(latex.replace("\\_", "_"))))


_MATH = re.compile(r"^```math\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`|<div class=\"math\">.*?</div>)", re.MULTILINE | re.DOTALL)
_LETTERS = re.compile(r"\$([^$\n]+)\$")


def _in_the_site(link: str, page: str) -> str:
    """A link between files of the repository, as one between pages of the site."""
    at_the_root = {name: path for path, name in AT_THE_ROOT.items()}
    here = posixpath.dirname(at_the_root.get(page, f"docs/{page}"))
    target = posixpath.normpath(posixpath.join(here, link)).replace(".ipynb", ".md")
    there = {"README.md": "index.md", **AT_THE_ROOT}.get(target, target.removeprefix("docs/"))
    return posixpath.relpath(there, posixpath.dirname(page) or ".")


def _public(name: str) -> str:
    """A public name, documented where it is at home: the package imports it when it is first used."""
    home = ".".join(wsesim._HOMES[name])
    return f"::: {home}\n    options:\n      heading: wsesim.{name}\n      toc_label: {name}\n"
