"""Every command is documented, every example runs, every name in the docs exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from generate import configuration_page, model_files_page

import wsesim
from wsesim.commands.cli import app
from wsesim.commands.common import EXAMPLES
from wsesim.config.cluster import AnySpread, PaidCluster
from wsesim.config.spec import STATUSES, Spec
from wsesim.machines.gpu.rows import COLUMNS as STEP_COLUMNS
from wsesim.machines.gpu.words import CATEGORIES as GPU_CATEGORIES
from wsesim.machines.simulation import best_plans
from wsesim.machines.wafer.metrics import CATEGORIES
from wsesim.machines.wafer.rows import COLUMNS
from wsesim.report.json import result_dict
from wsesim.report.pages import validation
from wsesim.validate.near import summarize

ROOT = Path(__file__).resolve().parent.parent
PAGES = [path.relative_to(ROOT).as_posix() for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))]
PIP_LINES = [
    "pip install . && wsesim run cluster_configs/runs/andromeda_13b.toml",
    "pip install '.[test]' && pytest",
]
FOREIGN = {
    "config.json": "llama-3-8b.json",
    "params.yaml": "params_gpt3_1p3b_trainer.yaml",
    "args.txt": "megatron_args.txt",
}
"""Files that examples take for granted, and their stand-ins in tests/config/data."""

GOALS: tuple[dict[str, Any], ...] = (
    {"model": "cerebras-gpt-111m", "deadline": "7 d"},
    {"model": "gpt3-175b", "deadline": "1 d"},
    {"target_loss": 2.6, "budget": "1 MUSD"},
)
"""Goals that can and cannot be met, and one that takes a scaling law."""
WRITTEN = re.compile(r" --out (\S+)")
"""What a command of an example writes."""
QUIET = (
    "wsesim sweep",
    "wsesim ledger export",
    "wsesim ledger clean",
    "wsesim trace",
    "wsesim report",
    "wsesim schema --out",
    "wsesim import",
)
"""Commands whose answer is a file."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"`([\w./-]+)`:\n\n$")


class Block(NamedTuple):
    """A fenced block: its language, its text, and what stands before it."""

    language: str
    text: str
    before: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    text = read(page)
    found = [Block(match[1], match[2], text[: match.start()]) for match in FENCE.finditer(text)]
    return [block for block in found if block.language in languages]


def without_blocks(page: str) -> str:
    return FENCE.sub("", read(page))


def files_of(page: str) -> Iterator[tuple[str, Block]]:
    """Files that a page gives in full: a block after a line that ends in the file's name and a colon."""
    for block in blocks(page, "toml", "csv", "log"):
        name = FILE_NAME.search(block.before)
        assert name is not None, f"{page}: say above the block which file this is:\n{block.text}"
        yield name[1], block


def commands() -> list[tuple[str, str]]:
    """Every line of every ``sh`` block."""
    return [(page, line) for page in PAGES for block in blocks(page, "sh") for line in block.text.splitlines() if line]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its catalogue with every file that the docs write out."""
    root = tmp_path_factory.mktemp("docs") / "checkout"
    for folder in ("wsesim", "cluster_configs", "benchmarks/published", "docs/examples"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, stand_in in FOREIGN.items():
        shutil.copy(ROOT / "tests" / "config" / "data" / stand_in, root / name)
    for page in PAGES:
        for name, block in files_of(page):
            appends = block.before.rstrip().splitlines()[-1].rfind("Append to") >= 0
            with (root / name).open("a" if appends else "x", encoding="utf-8") as file:
                file.write(("\n" if appends else "") + block.text)
    return root


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


COMMANDS_IN_ONE_PROCESS = """
import contextlib, io, json, sys
from wsesim.commands.cli import main

def ran(words):
    if ">" in words:  # as a shell would
        code, shown = ran(words[: words.index(">")])
        with open(words[-1], "w", encoding="utf-8") as file:
            file.write(shown)
        return code, shown
    sys.argv = words
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            main()
    except SystemExit as end:
        return end.code or 0, shown.getvalue()
    return 0, shown.getvalue()

print(json.dumps([ran(words) for words in json.loads(sys.argv[1])]))
"""
"""Starting Python takes longer than most examples, and several ask for the same searches: all share one process."""


def run_lines(checkout: Path, lines: list[str]) -> dict[str, str]:
    """Standard output of some commands, one after the other."""
    words = [shlex.split(line, comments=True) for line in lines]
    for line, one in zip(lines, words, strict=True):
        assert one[0] == "wsesim", f"a line of an sh block is neither a wsesim command nor one of {PIP_LINES}: {line}"
    done = python(checkout, "-c", COMMANDS_IN_ONE_PROCESS, json.dumps(words))
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
    answers = json.loads(done.stdout)
    for line, (code, shown) in zip(lines, answers, strict=True):
        assert code == 0, f"{line}\n{shown}\n{done.stderr}"
    return {line: shown for line, (_, shown) in zip(lines, answers, strict=True)}


@pytest.fixture(scope="module")
def outputs(checkout: Path) -> dict[str, str]:
    """Standard output of every command that the docs show; those of one page run in their order."""
    first_page: dict[str, str] = {}
    for page, line in commands():
        for part in line.split(" && "):
            if part.startswith("wsesim"):
                first_page.setdefault(part, page)

    return run_lines(checkout, [part for page in PAGES for part, place in first_page.items() if place == page])


def test_every_command_in_the_docs_runs(outputs: dict[str, str]) -> None:
    assert all(shown for command, shown in outputs.items() if not command.startswith(QUIET))


def test_the_examples_of_the_help_are_commands_of_the_docs() -> None:
    shown = {part for _, line in commands() for part in line.split(" && ")} | {"wsesim serve"}
    examples = {line for lines in EXAMPLES.values() for line in lines}
    assert examples <= shown, examples - shown


def test_installation_is_exactly_these_two_lines() -> None:
    assert {line for _, line in commands() if "pip" in line} == set(PIP_LINES)
    alone = [block.text for block in blocks("README.md", "sh") if "pip" in block.text]
    assert alone == [f"{line}\n" for line in PIP_LINES]


def test_every_line_of_a_shell_block_is_run_or_is_an_installation() -> None:
    for page, line in commands():
        assert line in PIP_LINES or line.startswith("wsesim "), f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES)
def test_shown_output_is_real(page: str, outputs: dict[str, str]) -> None:
    for shown in blocks(page, "text"):
        ran = [match[2] for match in FENCE.finditer(shown.before) if match[1] == "sh"]
        command = [part for part in re.split(r" && |\n", "\n".join(ran)) if part.startswith("wsesim")][-1]
        real = iter([line.rstrip() for line in outputs[command].splitlines()])
        for line in shown.text.splitlines():
            if line and line != "[...]":
                assert line in real, f"{page} shows a line that `{command}` does not print (here): {line!r}"


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_runs(page: str, checkout: Path) -> None:
    for block in blocks(page, "python"):
        done = python(checkout, "-c", block.text)
        assert done.returncode == 0, f"{block.text}\n{done.stderr}"


def written() -> set[str]:
    """Files and folders that commands of the docs write."""
    return {name for _, line in commands() for name in WRITTEN.findall(line)}


def test_files_that_examples_write_are_written(checkout: Path, outputs: dict[str, str]) -> None:
    for name in written():
        assert (checkout / name).exists()


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_exists(page: str) -> None:
    examples = {*FOREIGN, *written(), *(name for page in PAGES for name, _ in files_of(page))}
    for name in re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|toml|txt|py|csv|json|yaml))`", without_blocks(page)):
        assert name in examples or (ROOT / name).exists() or name.startswith("schemas/"), (
            f"{page} names {name}, which does not exist"
        )


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(path.resolve().relative_to(ROOT).as_posix()), f"{page} links to {target}"


def test_every_page_is_linked_from_the_readme_or_is_in_the_site() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", read("README.md")))
    site = {f"docs/{name}" for name in re.findall(r": ([\w/-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)}
    assert set(PAGES) - {"README.md"} <= linked | site
    assert {name for name in PAGES if name.startswith("docs/")} <= site


def test_every_command_is_in_the_readme() -> None:
    table = read("README.md").split("## Commands")[1].split("\n## ")[0]
    names = app.list_commands(click.Context(app))
    assert names
    for name in names:
        assert f"| `wsesim {name} " in table


def keys(value: Any) -> Iterator[str]:
    """Keys of nested dicts, apart from those that are names of categories."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def glossary_words() -> set[str]:
    """Words in backticks: of the glossary, and keys of files, which answers repeat."""
    pages = ("docs/glossary.md", "docs/configuration.md")
    return {word for page in pages for word in re.findall(r"`([^`\n]+)`", without_blocks(page))}


def test_every_key_of_the_json_is_in_the_glossary() -> None:
    result = wsesim.simulate(wsesim.load("andromeda_13b"))
    found = set(keys(result_dict(result, layers=True, links=True, scaling=True, measured=True)))
    assert found <= glossary_words(), found - glossary_words()


def test_every_key_of_the_json_of_gpu_runs_and_comparisons_is_in_the_glossary() -> None:
    plans = best_plans(wsesim.load("cerebras_gpt_111m_gpu"), 2)
    compared = wsesim.compare("cerebras_gpt_111m", "cerebras_gpt_111m_gpu", same=["time"])
    found = set(keys([result_dict(plans[0], plans=plans), compared.to_dict()]))
    assert found <= glossary_words(), found - glossary_words()


def test_every_key_of_lifetimes_and_portfolios_is_in_the_glossary() -> None:
    life = wsesim.lifetime(wsesim.load("andromeda_13b"), step_time_s=7.0, replications=2).to_dict()
    shared = wsesim.portfolio(ROOT / "docs/examples/portfolio.toml")
    keys_found = set(keys(life)) | set(keys(shared.to_dict()))
    assert keys_found <= glossary_words(), keys_found - glossary_words()


def test_every_key_of_plans_and_validations_is_in_the_glossary() -> None:
    answers = [wsesim.plan(**goal, clusters=["andromeda"]).to_dict() for goal in GOALS]
    told = [*answers, *(validation.as_dict(validation.gather(name)) for name in ("usc-gpt", "published-runs"))]
    found = {
        key
        for one in told
        for key in keys(one | {name: [*one.get(name, {}).values()] for name in ("prices", "simulator")})
    }
    assert found <= glossary_words(), found - glossary_words()


def test_every_part_of_the_breakdown_is_in_the_glossary() -> None:
    rows = read("docs/glossary.md").split("## Where the time goes")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(CATEGORIES)
    rows = read("docs/glossary.md").split("## Where the time of a GPU goes")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(GPU_CATEGORIES)


def test_the_page_of_configuration_is_current() -> None:
    assert read("docs/configuration.md") == configuration_page.page()


def test_the_page_of_model_files_is_current() -> None:
    assert read("docs/model-files.md") == model_files_page.page()


def every_spec() -> list[type[Spec]]:
    """All tables of all files."""
    every = (*Spec.__subclasses__(), *PaidCluster.__subclasses__(), *AnySpread.__subclasses__())
    own = [spec for spec in every if spec.model_fields and spec.__module__.startswith("wsesim.")]
    return sorted(own, key=lambda spec: spec.__name__)


@pytest.mark.parametrize("spec", every_spec(), ids=lambda spec: spec.__name__)
def test_every_key_of_every_table_is_on_the_page_of_configuration(spec: type[Spec]) -> None:
    rows = [line for line in configuration_page.table(spec).splitlines() if line.startswith("| `")]
    assert [re.match(r"\| `(\w+)`", row)[1] for row in rows] == list(spec.model_fields)  # type: ignore[index]
    assert all(row in read("docs/configuration.md") for row in rows)


def test_every_column_and_status_is_in_the_glossary() -> None:
    assert set(COLUMNS) | set(STEP_COLUMNS) | set(STATUSES) <= glossary_words()


def test_the_table_of_errors_in_the_readme_is_current() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| (\d+) \| (\S+) % \| (\S+) % \|$", read("README.md"), re.M)
    predictions = validation.gather("cerebras").predictions
    found = [
        (one.name, one.use, str(one.n), f"{100 * one.mape:.1f}", f"{100 * one.worst:.1f}")
        for one in summarize(predictions)
    ]
    assert rows == found


def test_docs_name_no_place_of_a_single_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|opt|var|work|mnt|Users)/", read(page)), page
