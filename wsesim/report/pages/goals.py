"""Prints what meets a goal, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from wsesim.config.goal import GoalSpec
from wsesim.job import Range, wanted_tokens
from wsesim.loss import AVERAGE
from wsesim.report.columns import Columns, prose
from wsesim.report.pages.parts import plain_table, price_words, section
from wsesim.study.goals import Answer, next_better, what_binds, what_would_have_to_give
from wsesim.study.options import Option
from wsesim.study.scaling_laws import beyond_law, law_text, wanted_loss
from wsesim.units import show

SYMMETRIC = 0.005
"""Bounds that differ by less are given as one percentage. [-]"""
EXTRAPOLATED = "*"
MOST_ON_FRONT = 8
"""Rows of the front that are printed; JSON has all. [-]"""


def limits_text(goal: GoalSpec) -> str:
    """The limits in words.

    Examples
    --------
    >>> from wsesim.config.goal import GoalSpec
    >>> raw = {"model": {}, "candidates": [{"cluster": "cs2"}], "limits": {"deadline_s": "30 d", "power_w": "1 MW"}}
    >>> limits_text(GoalSpec.model_validate(raw))
    'within 30.0 days, with at most 1.00 MW'
    """
    limits = goal.limits
    parts = (
        ("within", limits.deadline_s, "s"),
        ("for at most", limits.budget_usd, "USD"),
        ("with at most", limits.power_w, "W"),
    )
    said = [f"{words} {show(value, unit)}" for words, value, unit in parts if value is not None]
    return ", ".join(said) or "without limits"


def _ranged(value: Range | None, unit: str) -> str:
    """A value with its range, as a percentage where it is symmetric.

    Examples
    --------
    >>> _ranged(Range(100.0, 90.0, 110.0), "USD"), _ranged(Range(100.0, 50.0, 120.0), "USD")
    ('100 USD ±10 %', '100 USD (50.0 to 120)')
    """
    if value is None:
        return "no price"
    above, below = value.high / value.value - 1.0, 1.0 - value.low / value.value
    if abs(above - below) < SYMMETRIC:
        return f"{show(value.value, unit)} ±{100.0 * above:.0f} %"
    text, low, high = (show(one, unit) for one in (value.value, value.low, value.high))
    low, high = (end.removesuffix(text[text.rfind(" ") :]) for end in (low, high))
    return f"{text} ({low} to {high})"


def cells(option: Option) -> tuple[str, ...]:
    """What a table says of an option, in the order of `COLUMNS`."""
    energy = f"{show(option.energy_j.value / 3600.0, 'W')}h"
    where = f"{option.num_devices:,} on {option.cluster}{EXTRAPOLATED if option.is_extrapolated else ''}"
    return where, _ranged(option.time_s, "s"), _ranged(option.cost_usd, "USD"), energy, show(option.power_w, "W")


def recipe_cells(option: Option) -> tuple[str, ...]:
    """The same in the order of `RECIPE`; nothing where no law gave them."""
    recipe = option.recipe
    return () if recipe is None else (f"{recipe.parameters / 1e9:.3g}B", f"{recipe.tokens / 1e9:.4g}B")


COLUMNS = ("devices", "time to train", "cost", "energy", "power")
RECIPE = ("parameters", "tokens")


def _table(*heads: str) -> Columns:
    return plain_table(*(head if head in ("", COLUMNS[0]) else f"|{head}" for head in heads))


def print_answer(console: Console, result: Answer) -> None:
    """The answer first, then the front, then what was tried."""
    console.print(prose(f"{result.goal.name}: {limits_text(result.goal)}", style="bold"))
    if trained := trained_text(result):
        console.print(prose(trained))
    if not result.is_met:
        _print_unmet(console, result)
        return
    recipe = RECIPE if result.goal.has_recipe else ()
    table = _table("", *COLUMNS, *recipe)
    named = [("fastest", result.fastest), ("cheapest", result.cheapest)]
    named += [("smallest", one) for one in result.smallest]
    for words, option in named:
        if option is not None:
            table.add_row(words, *cells(option), *recipe_cells(option))
    console.print(table)
    for text in said(result):
        console.print(prose(text))
    for text in doubts(result):
        console.print(prose(text, style="yellow"))
    _print_recipes(console, result)
    _print_front(console, result)
    _print_refused(console, result)


def _print_front(console: Console, result: Answer) -> None:
    table = _table(*COLUMNS, *(RECIPE if result.goal.has_recipe else ()))
    shown = spread(result.front)
    for option in shown:
        table.add_row(*cells(option), *recipe_cells(option))
    console.print(section("None better in time, cost and energy", table))
    if len(shown) < len(result.front):
        console.print(prose(f"{len(shown)} of {len(result.front)} shown; --json has all", style="dim"))
    for text in basis(result):
        console.print(prose(text, style="dim"))


def _print_recipes(console: Console, result: Answer) -> None:
    """What a smaller model that is trained longer costs more; nothing where there is one size only."""
    if len(result.by_recipe) < 2:
        return
    table = _table(*RECIPE, "tokens each", "compute", *COLUMNS[:3])
    least = min(one.recipe.flop for one in result.by_recipe if one.recipe)
    for option in result.by_recipe:
        if option.recipe is not None:
            each, compute = option.recipe.tokens / option.recipe.parameters, option.recipe.flop / least
            table.add_row(*recipe_cells(option), f"{each:,.0f}", f"{compute:.2f}x", *cells(option)[:3])
    best = "cheapest" if result.cheapest is not None else "fastest"
    console.print(section(f"Smaller models, trained longer, to the same loss: the {best} for each", table))


def trained_text(result: Answer) -> str:
    """What is trained, in words; empty where nothing can run."""
    goal, one = result.goal, next(iter(result.options), None)
    if goal.has_recipe:
        asked = " and ".join(f"{task} {value:g}" for task, value in goal.target_accuracy.items())
        wanted = f"loss {wanted_loss(goal):.4g} by the {goal.law} law ({law_text(goal.law)})"
        return (f"zero-shot accuracy of {asked}: {wanted}" if asked else wanted) + (learned_text(one) if one else "")
    return f"{one.run.model.name} on {wanted_tokens(one.run):.4g} tokens{learned_text(one)}" if one else ""


def learned_text(option: Option) -> str:
    """Loss and accuracy that an option trains to, in words; empty for encoders."""
    quality = option.quality
    if quality is None:
        return ""
    least, most = quality.accuracy_range[AVERAGE]
    return (
        f": predicted loss {quality.loss:.3f} on the Pile, mean zero-shot accuracy {quality.accuracy[AVERAGE]:.3f} "
        f"({least:.3f} to {most:.3f})"
    )


def said(result: Answer) -> list[str]:
    """What binds, and what the next better choice is; what would have to give where nothing meets it."""
    if not result.is_met:
        return [f"would do: {text}" for text in what_would_have_to_give(result)]
    found = [
        f"{one.cluster}: {one.num_devices:,} is the least, {reason}"
        for one in result.smallest
        if (reason := what_binds(result, one))
    ]
    if result.cheapest is not None and (better := next_better(result, result.cheapest)):
        found.append(f"next better than the cheapest: {better}")
    return found


def refused(result: Answer) -> list[str]:
    """What cannot run, and why."""
    return [f"{name}: cannot run at all: {why}" for name, why in result.refused.items()]


def doubts(result: Answer) -> list[str]:
    """Limits that what is named may not keep, and laws that are stretched."""
    named = [one for one in (result.fastest, result.cheapest, *result.smallest) if one is not None]
    found = [
        f"{one.num_devices:,} on {one.cluster}: at the end of its range it misses the {' and the '.join(one.may_fail)}"
        for one in named
        if one.may_fail
    ]
    found += [beyond_law(one.recipe, result.goal.law) for one in named if one.recipe is not None]
    found += [note for one in named if one.quality is not None for note in one.quality.notes]
    return [text for text in dict.fromkeys(found) if text]


def basis(result: Answer) -> list[str]:
    """What the numbers rest on, and what they leave out."""
    first = {one.cluster: one for one in result.options}
    found = [f"prices of {name}: {price_words(one.prices)}" for name, one in first.items()]
    found.append(
        "ranges hold nine cases in ten: errors of predictions for models that were left out, see `wsesim validate`, with the "
        "ranges of prices and power"
    )
    if any(one.is_extrapolated for one in (*result.front, *result.smallest)):
        found.append(f"{EXTRAPOLATED} beyond what has been measured, with a wider range; `wsesim run` says in what")
    found.append("energy, its range in --json, power and cost are those of the devices; `wsesim run` adds the building")
    found.append("not included: compile, start-up, checkpoints, failures, queues; see `wsesim lifetime`")
    return found


def spread(front: Sequence[Option]) -> list[Option]:
    """Some of many options, the first and the last with them."""
    last = len(front) - 1
    places = sorted({round(place * last / (MOST_ON_FRONT - 1)) for place in range(MOST_ON_FRONT)})
    return [front[place] for place in places if front]


def _print_unmet(console: Console, result: Answer) -> None:
    console.print(prose("Nothing that may be used meets it.", style="bold red"))
    for text in said(result):
        console.print(prose(text))
    _print_refused(console, result)


def _print_refused(console: Console, result: Answer) -> None:
    for text in refused(result):
        console.print(prose(text, style="yellow"))
