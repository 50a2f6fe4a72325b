"""What meets a goal: the answer first, then the front, then what was tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsesim.config.goal import GoalSpec
from wsesim.job import Range, show_count, wanted_tokens
from wsesim.loss import AVERAGE
from wsesim.report.charts import planning
from wsesim.report.pages.run import price_words
from wsesim.study.goals import Answer, limit_words, next_better, what_binds, what_would_have_to_give
from wsesim.study.options import Option
from wsesim.study.scaling_laws import beyond_law, law_text, wanted_loss
from wsesim.units import show
from wsesim.view import Cell, Figure, Note, Section, Table, notes

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
    where = f"{option.where}{EXTRAPOLATED if option.is_extrapolated else ''}"
    return where, _ranged(option.time_s, "s"), _ranged(option.cost_usd, "USD"), energy, show(option.power_w, "W")


def recipe_cells(option: Option) -> tuple[str, ...]:
    """The same in the order of `RECIPE`; nothing where no law gave them."""
    recipe = option.recipe
    return () if recipe is None else (f"{recipe.parameters / 1e9:.3g}B", f"{recipe.tokens / 1e9:.4g}B")


COLUMNS = ("devices", "time to train", "cost", "energy", "power")
RECIPE = ("parameters", "tokens")
RUN_AS = "run as"
PARETO = "Pareto-optimal choices: nothing is better in time, cost and energy"


def choices(result: Answer) -> list[tuple[str, Option]]:
    """The fastest, the cheapest, and the smallest of each cluster."""
    named = [("fastest", result.fastest), ("cheapest", result.cheapest)]
    named += [("smallest", one) for one in result.smallest]
    found: dict[int, tuple[str, Option]] = {}
    for words, one in named:
        if one is not None:
            before = found.get(id(one))
            found[id(one)] = (words if before is None else f"{before[0]}, {words}", one)
    return list(found.values())


Cells = Callable[[Option], tuple[Cell, ...]]
"""How an option is told."""


def all_cells(option: Option) -> tuple[Cell, ...]:
    """An option with its recipe."""
    return (*cells(option), *recipe_cells(option))


def choices_table(result: Answer, cells: Cells = all_cells, caption: str = "Choices") -> Table:
    """What is named."""
    named = choices(result)
    rows = tuple((words, *cells(one)) for words, one in named)
    return Table(caption, ("", *_heads(result)), rows, tuple(one.run_as for _, one in named), RUN_AS)


def front_table(result: Answer, cells: Cells = all_cells) -> Table:
    """What nothing beats in time, cost and energy."""
    shown = spread(result.front)
    caption = f"{PARETO}: {len(shown)} of {len(result.front)}"
    return Table(caption, _heads(result), tuple(map(cells, shown)), tuple(one.run_as for one in shown), RUN_AS)


def picture(result: Answer) -> Figure:
    """Time against cost of all that was tried, with the choices that nothing beats."""
    where = {one.cluster: one.cluster for one in result.options}
    marked = "Time against cost; circled are the Pareto-optimal choices"
    return Figure("choices", marked, planning.choices(result.options, result.front, where), (front_table(result),))


def tried(result: Answer) -> Section:
    """Every number of devices that was tried and stands in no table above, with its reason."""
    rows = tuple((one.cluster, f"{one.num_devices:,}", one.reason) for one in result.tried)
    title = "Tried and refused"
    return Section("tried", title, (Table(title, ("cluster", "|devices", "~reason"), rows),) if rows else ())


def _heads(result: Answer) -> tuple[str, ...]:
    recipe = RECIPE if result.goal.has_recipe else ()
    return (COLUMNS[0], *(f"|{head}" for head in (*COLUMNS[1:], *recipe)))


def sections(result: Answer, *, is_verbose: bool = False) -> list[Section]:
    """The whole answer; also every number of devices that was refused where it is verbose."""
    last = [tried(result)] if is_verbose and result.tried else []
    head = [Note(f"{result.goal.name}: {limits_text(result.goal)}", "key")]
    head += [Note(text) for text in [trained_text(result)] if text]
    impossible = notes(refused(result), "warning")
    if not result.is_met:
        no = (Note("Nothing that may be used meets it.", "no"), *notes(said(result)))
        drawn = (picture(result),) if result.options else ()
        return [Section("goal", parts=(*head, *no, *impossible, *drawn)), *last]
    front, shown = front_table(result), len(spread(result.front))
    cut = [f"{shown} of {len(result.front)} shown; --json has all"] if shown < len(result.front) else []
    told = (*notes(said(result)), *notes(doubts(result), "warning"))
    return [
        Section("goal", parts=(*head, choices_table(result), *told)),
        *recipes(result),
        Section("front", PARETO, (picture(result), front, *notes([*cut, *basis(result)], "aside"), *impossible)),
        *last,
    ]


def recipes(result: Answer) -> list[Section]:
    """What a smaller model that is trained longer costs more; nothing where there is one size only."""
    if len(result.by_recipe) < 2:
        return []
    least, rows = min(one.recipe.flop for one in result.by_recipe if one.recipe), []
    for option in result.by_recipe:
        if option.recipe is not None:
            each, compute = option.recipe.tokens / option.recipe.parameters, option.recipe.flop / least
            rows.append((*recipe_cells(option), f"{each:,.0f}", f"{compute:.2f}x", *cells(option)[:3]))
    heads = (*(f"|{head}" for head in (*RECIPE, "tokens each", "compute")), COLUMNS[0], "|time to train", "|cost")
    best = "cheapest" if result.cheapest is not None else "fastest"
    title = f"Smaller models, trained longer, to the same loss: the {best} for each"
    below = tuple(one.run_as for one in result.by_recipe if one.recipe is not None)
    return [Section("recipes", title, (Table(title, heads, tuple(rows), below, RUN_AS),))]


def trained_text(result: Answer) -> str:
    """What is trained, in words; empty where nothing can run."""
    goal, one = result.goal, next(iter(result.options), None)
    if goal.has_recipe:
        asked = " and ".join(f"{task} {value:g}" for task, value in goal.target_accuracy.items())
        wanted = f"loss {wanted_loss(goal):.4g} by the {goal.law} law ({law_text(goal.law)})"
        return (f"zero-shot accuracy of {asked}: {wanted}" if asked else wanted) + (learned_text(one) if one else "")
    return f"{one.run.model.name} on {show_count(wanted_tokens(one.run))} tokens{learned_text(one)}" if one else ""


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
    found = [f"{one.where} is the least, {reason}" for one in result.smallest if (reason := what_binds(result, one))]
    if result.cheapest is not None and (better := next_better(result, result.cheapest)):
        found.append(f"next better than the cheapest: {better}")
    return [*found, *limit_words(result)]


def refused(result: Answer) -> list[str]:
    """What cannot run, and why."""
    return [f"{name}: cannot run at all: {why}" for name, why in result.refused.items()]


def doubts(result: Answer) -> list[str]:
    """Limits that what is named may not keep, and laws that are stretched."""
    named = [one for one in (result.fastest, result.cheapest, *result.smallest) if one is not None]
    found = [
        f"{one.where}: at the end of its range it misses the {' and the '.join(one.may_fail)}"
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
