"""Published measurements near a run, in the terminal, each with the error of its prediction."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from wsesim.report.columns import prose
from wsesim.report.pages.parts import plain_table, section
from wsesim.validate.near import Comparison

TITLE = "Measured near this run"


def nearest(found: Sequence[Comparison]) -> Group:
    """The nearest first; below each what the run differs in."""
    if not found:
        return section(TITLE, prose("nothing was published on such a machine"))
    table = plain_table("row", "~model", "on", "|measured", "|predicted", "|error", "")
    for one in found:
        table.add_row(
            one.id,
            one.model,
            f"{one.num_devices:,} x {one.device}",
            f"{one.measured_tokens_per_s:,.0f}",
            f"{one.predicted_tokens_per_s:,.0f}",
            f"{one.error:+.1%}",
            "fitted" if one.use == "calibration" else "",
            below=f"the run has {'; '.join(one.differs)}" if one.differs else "as the run",
        )
    words: list[RenderableType] = [table]
    if any(one.use == "calibration" for one in found):
        words.append(prose("tokens/s; what was fitted proves nothing: `wsesim validate` has all rows", style="dim"))
    return section(TITLE, Group(*words))
