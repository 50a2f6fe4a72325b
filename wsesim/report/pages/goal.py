"""What meets a goal, and jobs that share a cluster: the answer first, then what else was tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wsesim.config.goal import GoalSpec
from wsesim.errors import AnswerIsNo
from wsesim.machines.machine import machine_of
from wsesim.report.charts import planning
from wsesim.report.charts.planning import gantt
from wsesim.report.pages.run import price_words
from wsesim.results.job import Range, paying, show_count, show_range, wanted_tokens, whole_time
from wsesim.results.loss import AVERAGE
from wsesim.study.goals import Answer, Option, limit_words, next_better, what_binds, what_would_have_to_give
from wsesim.study.portfolio import Placement, Portfolio, Schedule, SharedCluster, late_words, moment_shown
from wsesim.study.scaling_laws import beyond_law, law_text, wanted_loss
from wsesim.units import show
from wsesim.view import Alarm, Cell, Fact, Facts, Figure, Note, Section, Table, notes, plural

# What meets a goal: the answer first, then the front, then what was tried.


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
    >>> _ranged(Range(1290.0, 812.0, 2000.0), "USD")
    '1.29 kUSD (812 USD to 2.00 kUSD)'
    """
    if value is None:
        return "no price"
    if not value.is_range:
        return show(value.value, unit)
    above, below = value.high / value.value - 1.0, 1.0 - value.low / value.value
    if abs(above - below) < SYMMETRIC:
        return f"{show(value.value, unit)} ±{100.0 * above:.0f} %"
    text, low, high = (show(one, unit) for one in (value.value, value.low, value.high))
    own = text[text.rfind(" ") :]
    is_alike = low.endswith(own) and high.endswith(own)
    return f"{text} ({low.removesuffix(own)} to {high.removesuffix(own)})" if is_alike else f"{text} ({low} to {high})"


def cells(option: Option) -> tuple[str, ...]:
    """What a table says of an option, in the order of `COLUMNS`."""
    energy = f"{show(option.energy_j.value / 3600.0, 'W')}h"
    where = f"{option.where}{EXTRAPOLATED if option.is_extrapolated else ''}"
    return where, _ranged(option.time_s, "s"), _ranged(option.cost_usd, "USD"), energy, show(option.power_w, "W")


def recipe_cells(option: Option) -> tuple[str, ...]:
    """The same in the order of `RECIPE`; nothing where no law gave them."""
    recipe = option.recipe
    return () if recipe is None else (f"{recipe.parameters / 1e9:.3g}B", f"{recipe.tokens / 1e9:.4g}B")


COLUMNS = ("devices", "", "cost", "energy", "power")
"""Of which the second is called by what the job is."""
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
    time = whole_time(one.run for one in result.options)
    return (COLUMNS[0], *(f"|{head or time}" for head in (*COLUMNS[1:], *recipe)))


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
    heads = (*(f"|{head}" for head in (*RECIPE, "tokens each", "compute")), *_heads(result)[:3])
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
    found += [ways_of_paying(result), dense_words(result)]
    found += [beyond_law(one.recipe, result.goal.law) for one in named if one.recipe is not None]
    found += [note for one in named if one.quality is not None for note in one.quality.notes]
    return [text for text in dict.fromkeys(found) if text]


def ways_of_paying(result: Answer) -> str:
    """That costs of owned and rented devices stand side by side; empty where all are paid for alike."""
    ways = {one.cluster: paying(one.run) for one in result.options if one.cost_usd is not None}
    if len(set(ways.values())) < 2:
        return ""
    shown = ", ".join(f"{name} {way}" for name, way in ways.items())
    return f"costs of devices that are owned and rented stand side by side ({shown}); --paying makes them alike"


def dense_words(result: Answer) -> str:
    """Clusters that compute all weights where the job's are sparse; empty where there is none."""
    share = result.goal.training.get("weight_sparsity")
    dense = dict.fromkeys(one.cluster for one in result.options if not one.run.training.weight_sparsity)
    return (
        f"{', '.join(dense)}: all weights are computed, also those that are zero in the job" if share and dense else ""
    )


def basis(result: Answer) -> list[str]:
    """What the numbers rest on, and what they leave out."""
    first = {one.cluster: one for one in result.options}
    found = [f"prices of {name}, {paying(one.run)}: {price_words(one.prices)}" for name, one in first.items()]
    found.append(
        "ranges hold nine cases in ten: errors of predictions for models that were left out, see `wsesim validate`, with the "
        "ranges of prices and power; over how many years devices are written off is a choice, and in none"
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


# Jobs that share a cluster: who runs when, as a table and as a chart, and what that makes of the cluster.


LEAST_CHART, MOST_CHART = 24, 72
LONGEST_NAME = 24
SIGNS, PLAIN_SIGNS = ("█", "░", "┆"), ("#", "-", "|")
"""Runs, waits, deadline."""


def check(shared: SharedCluster) -> None:
    """Refuse a schedule that misses deadlines, or the time that was asked for.

    Raises
    ------
    AnswerIsNo
        With what misses, and by how much.
    """
    if shared.search is not None and not shared.search.is_enough:
        raise AnswerIsNo(shared.portfolio.why_not(shared.search))
    if shared.schedule.missed:
        word = shared.portfolio.device
        raise AnswerIsNo(f"{_missed(shared.schedule)}; try another --policy, or more {word}s (--systems)")


def _missed(found: Schedule) -> str:
    late = ", ".join(f"{one.name} by {show(one.late_s, 's')}" for one in found.missed)
    return f"{plural(len(found.missed), 'deadline')} missed: {late}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def answer_words(shared: SharedCluster) -> str:
    """The answer in a sentence.

    With the fewest systems: that they are enough, and what fewer would miss. Else whether all deadlines are kept.
    """
    portfolio, found, fewer = shared.portfolio, shared.schedule, shared.one_fewer
    on = portfolio.counted(found.num_systems)
    if shared.search is None:
        with_deadline = sum(one.deadline_s is not None for one in found.placements)
        kept = (
            f"{with_deadline} of {plural(with_deadline, 'deadline')} kept" if with_deadline else "no job has a deadline"
        )
        verdict = _missed(found) if found.missed else kept
        return f"{verdict}; all is done {_when(portfolio, found.makespan_s)} on {on}"
    if not shared.search.is_enough:
        return portfolio.why_not(shared.search)
    by = f"to be done {_when(portfolio, shared.by_s, 'within')}"
    if fewer is None:
        return f"{on} are enough {by}; no fewer hold every job"
    late = late_words(fewer, shared.by_s) or "all would be done in time, too, but fewer in turn are not enough"
    return f"{on} are enough {by}; with {fewer.num_systems:,}, {late}"


def _when(portfolio: Portfolio, after_s: float, word: str = "after") -> str:
    moment = moment_shown(portfolio.start, after_s)
    return f"{word} {moment}" if portfolio.start is None else f"by {moment}"


def binding_words(shared: SharedCluster) -> str:
    """What decides when all is done: the last job, and those that it waited for."""
    chain, last = shared.schedule.chain, shared.schedule.last
    if len(chain) == 1:
        waited = "at its earliest start" if last.earliest_s else "at once"
        return f"{last.name}: it starts {waited}, and takes {show(last.end_s - last.start_s, 's')}"
    return f"{last.name}: it waits {show(last.wait_s, 's')} for {' after '.join(one.name for one in chain[-2::-1])}"


def fewer_words(shared: SharedCluster) -> str:
    """What one system fewer, or one node of GPUs, would cost."""
    portfolio, found, fewer = shared.portfolio, shared.schedule, shared.one_fewer
    if fewer is None:
        return f"is not possible: a job needs {max(min(task.duration_s) for task in portfolio.tasks):,}"
    change_s = fewer.makespan_s - found.makespan_s
    sooner = "later" if change_s > 0.0 else "sooner"
    moved = f"all done {show(abs(change_s), 's')} {sooner}" if change_s else "all done as soon"
    late = late_words(fewer, shared.by_s)
    now, then = portfolio.cost_usd(found), portfolio.cost_usd(fewer)
    money = ""
    if now is not None and then is not None:
        saved = now.value - then.value
        money = f"; {'saves' if saved >= 0.0 else 'costs'} {show(abs(saved), 'USD')}"
    return f"with {fewer.num_systems:,}: {moved}{f'; {late}' if late else ''}{money}"


def headline(shared: SharedCluster) -> list[Fact]:
    """The cluster's side of it."""
    portfolio, found = shared.portfolio, shared.schedule
    fill = "with backfill" if found.backfill else "without backfill"
    with_deadline = sum(one.deadline_s is not None for one in found.placements)
    cost, unit = portfolio.cost_usd(found), machine_of(portfolio.shared).words.unit
    until = f"of all {found.num_systems:,} until then, {paying(portfolio.shared)}"
    price = [] if cost is None else [Fact("cost", f"{show_range(cost, 'USD')} {until}")]
    return [
        Fact("on", f"{portfolio.counted(found.num_systems)}, {found.policy} {fill}"),
        Fact("all done", moment_shown(portfolio.start, found.makespan_s), is_key=True),
        Fact("missed deadlines", f"{len(found.missed)} of {with_deadline}"),
        Fact("what binds", binding_words(shared)),
        Fact(f"one {unit} fewer", fewer_words(shared)),
        Fact(f"{portfolio.device}s in use", f"{found.utilization:.1%} of the time until then"),
        Fact("waiting", f"{show(found.mean_wait_s, 's') if found.mean_wait_s else 'nothing'} on average"),
        *price,
    ]


def jobs(portfolio: Portfolio, found: Schedule) -> Section:
    """Each job in the order of starts; a star after those that went ahead of others."""
    rows = tuple(
        (
            _short(one.name) + (" *" if one.is_backfilled else ""),
            f"{one.systems:,}",
            moment_shown(portfolio.start, one.start_s),
            moment_shown(portfolio.start, one.end_s),
            show(one.wait_s, "s") if one.wait_s else "",
            "" if one.steps is None else one.steps.software,
            _deadline(portfolio, one),
        )
        for one in found.placements
    )
    heads = ("job", f"|{portfolio.device}s", "|start", "|end", "|waits", "software", "~deadline")
    table = Table("Jobs in the order of their starts", heads, rows)
    return Section("jobs", "Jobs", (table, *notes([star_words(found)] if star_words(found) else [], "aside")))


def star_words(found: Schedule) -> str:
    """What a star means, where there is one."""
    some = any(one.is_backfilled for one in found.placements)
    return "* went ahead of another job without delaying it" if some else ""


def _deadline(portfolio: Portfolio, one: Placement) -> Cell:
    if one.deadline_s is None:
        return ""
    when = moment_shown(portfolio.start, one.deadline_s)
    return Alarm(f"{when}, missed by {show(one.late_s, 's')}") if one.late_s else f"{when}, met"


def chart(found: Schedule, room: int, *, ascii_only: bool = False) -> Section:
    """A line of letters for each job: waiting, running, and its deadline."""
    rows = []
    names = max(len(_short(one.name)) for one in found.placements)
    width = max(LEAST_CHART, min(MOST_CHART, room - names - 2))
    runs, waits, due = PLAIN_SIGNS if ascii_only else SIGNS
    column_s = found.makespan_s / width
    for one in found.placements:
        line = [" "] * width
        first, last = (min(width - 1, int(time_s / column_s)) for time_s in (one.earliest_s, one.start_s))
        line[first:last] = waits * (last - first)
        end = max(last + 1, min(width, round(one.end_s / column_s)))
        line[last:end] = runs * (end - last)
        if one.deadline_s is not None and int(one.deadline_s / column_s) < width:
            line[int(one.deadline_s / column_s)] = due
        rows.append((_short(one.name), "".join(line)))
    words = f"{runs} runs  {waits} waits  {due} deadline; one sign is {show(column_s, 's')}"
    return Section("chart", "Chart", (Table("Jobs over time", ("", ""), tuple(rows)), Note(words, "aside")))


def portfolio_sections(shared: SharedCluster) -> list[Section]:
    """Who runs when: the answer, a picture where there is room for one, the jobs."""
    portfolio, found = shared.portfolio, shared.schedule
    said = answer_words(shared)
    answer = Note(f"{said[:1].upper()}{said[1:]}.", "" if shared.is_met else "no")
    head = (Note(portfolio.name, "key"), answer, Facts(tuple(headline(shared))))
    table = jobs(portfolio, found)
    figure = Figure("gantt", "Jobs over time", gantt(portfolio, found))
    return [Section("portfolio", parts=head), replace(table, parts=(figure, *table.parts))]
