"""`wsesim report`: what was asked for, checked before anything is simulated, and the file that answers it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from wsesim.config import catalogue
from wsesim.config.loader import load_any
from wsesim.errors import InputError, did_you_mean
from wsesim.report.charts.render import Picture, drawn
from wsesim.report.files import check_out, whole, write
from wsesim.report.html import Made, document
from wsesim.report.terminal import bar
from wsesim.view import Figure, Note, Section

HTML, DRAWN = "html", ("svg", "png", "pdf")
ENDINGS = {".html": HTML, ".htm": HTML} | {f".{kind}": kind for kind in DRAWN}
MOST_AXES = 2
SWEEPS, SQLITE = (".csv", ".parquet", ".ledger"), b"SQLite format 3"
"""Files of sweeps: endings, and what a ledger begins with."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; empty where it is silent.

    Attributes
    ----------
    kind
        "html", "svg", "png" or "pdf"; by the ending of `out` where it is None.
    ledger
        Of a sweep, or the table that it wrote.
    axes, metric
        Keys of the sweep, and the column that is drawn over them.
    sensitivity
        Whether a report of runs has what single numbers do to the step.
    """

    out: Path
    kind: str | None = None
    picture: str = ""
    runs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    gpu_cluster: str = ""
    ledger: Path | None = None
    sweep: str | None = None
    axes: tuple[str, ...] = ()
    metric: str = ""
    sensitivity: bool = False

    @property
    def format(self) -> str:
        """What is written."""
        return self.kind or ENDINGS[self.out.suffix.lower()]

    @property
    def command(self) -> str:
        """The command line that asks for it, wherever the file lies."""
        words = ["wsesim", "report", *self.runs]
        words += [word for one in self.settings for word in ("--set", one)]
        options = {
            "--gpu-cluster": self.gpu_cluster,
            "--ledger": self.ledger or "",
            "--sweep": self.sweep or "",
            "--y": self.metric,
            "--picture": self.picture,
        }
        words += [word for key, value in options.items() if value for word in (key, str(value))]
        words += [word for one in self.axes for word in ("--x", one)]
        words += ["--sensitivity"] if self.sensitivity else []
        return shlex.join([*words, "--out", self.out.name])


def of(wanted: Wanted) -> int:
    """Make a report or a picture, and write it. Its size. [bytes]

    Raises
    ------
    wsesim.errors.InputError
        Contradictory options, runs or sweeps that cannot be read, a place where nothing can be written.
    """
    check(wanted)
    with _telling() as tell:
        made = _of_runs(wanted, tell) if wanted.ledger is None else _of_sweep(wanted, wanted.ledger, tell)
    with whole(wanted.out) as file:
        file.write(made)
    return len(made)


def check(wanted: Wanted) -> None:
    """Refuse what cannot be done, before anything is simulated."""
    if wanted.kind is None or wanted.out.suffix:
        check_out(wanted.out, [ending for ending, kind in ENDINGS.items() if wanted.kind in (None, kind)])
    else:
        check_out(wanted.out, [""])
    if bool(wanted.runs) == (wanted.ledger is not None):
        finding = "both runs and --ledger are given" if wanted.runs else "neither a run nor --ledger is given"
        raise InputError(f"report: {finding}; name runs, for example: wsesim report andromeda_13b --out report.html")
    of_other = (
        {"--sweep": wanted.sweep, "--x": wanted.axes, "--y": wanted.metric}
        if wanted.runs
        else {
            "--set": wanted.settings,
            "--gpu-cluster": wanted.gpu_cluster,
            "--picture": wanted.picture,
            "--sensitivity": wanted.sensitivity,
        }
    )
    given = " and ".join(key for key, value in of_other.items() if value)
    if given:
        what = "a sweep; name one with --ledger instead of runs" if wanted.runs else "runs, and --ledger names a sweep"
        raise InputError(f"report: {given} belongs to {what}, or leave it out")
    if len(wanted.axes) > MOST_AXES:
        raise InputError(f"--x: {len(wanted.axes)} keys are named, and a picture has {MOST_AXES} axes; drop some")
    _check_picture(wanted)
    for word in wanted.runs:
        _check_run(wanted, Path(word))


def _check_run(wanted: Wanted, path: Path) -> None:
    """Refuse the ledger of a sweep, its table, and an answer, which are no runs."""
    if not path.is_file():
        return
    is_sweep = path.suffix in SWEEPS
    with path.open("rb") as file:
        is_sweep = is_sweep or file.read(len(SQLITE)) == SQLITE
    if is_sweep:
        remedy = f"wsesim report --ledger {shlex.quote(str(path))} --out {wanted.out.name}"
        raise InputError(f"report: {path} is of a sweep, and no run; name it with --ledger: {remedy}")
    if path.suffix == ".json":
        raise InputError(
            f"report: {path} is no run file; name the run itself, or make one of a model file by `wsesim import`"
        )


def _check_picture(wanted: Wanted) -> None:
    from wsesim.report.pages.report import PICTURES

    if wanted.picture and wanted.format == HTML:
        raise InputError(
            f"--picture {wanted.picture}: a report has all pictures; for one of them, name a file that ends in .svg, .png or .pdf"
        )
    if wanted.sensitivity and wanted.format != HTML:
        raise InputError(
            "--sensitivity: adds a part to a report, and --out is one picture; ask for it by --picture sensitivity or "
            "--picture constants"
        )
    if wanted.picture and wanted.picture not in PICTURES:
        hint = did_you_mean(wanted.picture, PICTURES)
        raise InputError(f"--picture {wanted.picture}: is no picture{hint}; there are {', '.join(PICTURES)}")


def page_of(sections: Sequence[Section], command: str) -> str:
    """An answer whose first line is its title, as a page that works offline."""
    first, *others = sections
    title, *parts = first.parts
    name = title.text if isinstance(title, Note) else first.title
    titled = [replace(first, title=first.title or "The answer", parts=tuple(parts)), *others]
    shown = [one if one.title else replace(one, title="Notes") for one in titled if one.parts or one.lead]
    return document(name, shown, Made(command), answers=[], lead=())


def write_page(out: Path, sections: Sequence[Section], command: str) -> None:
    """Write an answer as a page.

    Raises
    ------
    InputError
        Another ending than .html, or a place where nothing can be written.
    """
    check_out(out, [ending for ending, kind in ENDINGS.items() if kind == HTML])
    write(out, page_of(sections, command))


def _of_file(path: Path, tell: Callable[[str], None]) -> list[Section] | None:
    """The answer to a goal file or a portfolio file; None for what is a run."""
    if path.suffix != ".toml" or not catalogue.exists(path):
        return None
    tables = catalogue.read_toml(path)
    if "jobs" in tables:
        from wsesim.report.pages import goal as jobs
        from wsesim.study.portfolio import portfolio

        tell(path.name)
        return jobs.portfolio_sections(portfolio(path))
    if "candidates" in tables:
        from wsesim.report.pages import goal
        from wsesim.study.plan import plan

        return goal.sections(plan(path, progress=tell))
    return None


def _picture_in(sections: Sequence[Section], name: str) -> Picture:
    found = [part for one in sections for part in one.parts if isinstance(part, Figure)]
    if name or not found:
        raise InputError(
            f"--picture {name}: belongs to runs; of a goal or a portfolio there is one picture, leave it out"
        )
    return cast("Picture", found[0].picture)


def _of_runs(wanted: Wanted, tell: Callable[[str], None]) -> bytes:
    planned = _of_file(Path(wanted.runs[0]), tell) if len(wanted.runs) == 1 and not wanted.settings else None
    if planned is not None and wanted.sensitivity:
        raise InputError(f"--sensitivity: belongs to runs, and {wanted.runs[0]} is a goal or a portfolio; leave it out")
    if planned is not None and wanted.format == HTML:
        return page_of(planned, wanted.command).encode()
    if planned is not None:
        return drawn(_picture_in(planned, wanted.picture), wanted.format, "paper")
    from wsesim.machines.simulation import simulate_fast
    from wsesim.report.pages.report import NO_GPUS, Study, gpu_run, picture_of, run_report, run_texts

    if wanted.gpu_cluster not in ("", NO_GPUS):
        gpu_run(wanted.gpu_cluster)
    loaded = [load_any(word, wanted.settings) for word in wanted.runs]
    found = []
    for run in loaded:
        tell(run.name)
        found.append(simulate_fast(run))
    study = Study(tuple(found), wanted.gpu_cluster, wanted.sensitivity, tell)
    if wanted.format == HTML:
        return run_report(study, wanted.command, run_texts(wanted.runs), tell).encode()
    return drawn(picture_of(study, wanted.picture), wanted.format, "paper")


def _of_sweep(wanted: Wanted, path: Path, tell: Callable[[str], None]) -> bytes:
    from wsesim.report.pages.sweep import SweepStudy
    from wsesim.report.pages.sweep_report import picture, sweep_report
    from wsesim.study.sweep import read_points

    tell(path.name)
    points = read_points(path, wanted.sweep)
    for message in points.damaged:
        print(f"warning: {message}", file=sys.stderr)
    study = SweepStudy(path.name, points, wanted.axes, wanted.metric)
    if wanted.format == HTML:
        return sweep_report(study, wanted.command).encode()
    return drawn(picture(study, study.metrics[0]), wanted.format, "paper")


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """What is being worked on, beside a bar."""
    with bar("report") as advance:
        yield lambda words: advance(f"report: {words}")
