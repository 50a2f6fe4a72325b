"""What a run's answer says in words, the same in the terminal, the report and the page."""

from __future__ import annotations

from wsesim.loss import AVERAGE, Quality
from wsesim.machines.machine import machine_of
from wsesim.machines.words import Words
from wsesim.report.pages.parts import price_words, show_energy, show_range
from wsesim.result import Result, scaling_efficiency
from wsesim.view import Fact


def words_of(result: Result) -> Words:
    """Words of the machine that a result is of."""
    return machine_of(result.run).words


def headline(result: Result) -> list[Fact]:
    """How fast, on what, and which model."""
    on, *others = words_of(result).headline(result)
    return [on, Fact("model", model_words(result)), *others]


def model_words(result: Result) -> str:
    """A model's name and size.

    Parameters that no token of a mixture needs are said apart.
    """
    active = f", {result.active_parameters / 1e9:,.4g} B active" if result.active_parameters < result.parameters else ""
    return f"{result.run.model.name}, {show_count(result.parameters)} parameters{active}"


def show_count(number: int) -> str:
    """A number of parameters as people write it.

    Examples
    --------
    >>> show_count(8_030_261_248), show_count(124_439_808), show_count(90_000)
    ('8.03 B', '124.4 M', '90,000')
    """
    size, word = (1e9, " B") if number >= 1e9 else (1e6, " M") if number >= 1e6 else (1, "")
    return f"{number / size:,.4g}{word}" if size > 1 else f"{number:,}"


def scaling(result: Result) -> list[Fact]:
    """Efficiency against one device, or against one copy of the model."""
    return words_of(result).scaling(result, *scaling_efficiency(result))


def whole_job(result: Result) -> list[Fact]:
    """Time, energy and cost of the whole job."""
    job = result.job
    facts = [
        Fact("time to train", show_range(job.time_range_s, "s"), is_key=True),
        Fact("steps, tokens", f"{job.steps:,} steps, {job.tokens:.4g} tokens"),
        Fact("energy", show_energy(job.energy_j)),
    ]
    if job.facility_energy_j != job.energy_j:
        facts.append(Fact("with the building", show_energy(job.facility_energy_j)))
    if job.cost_usd is not None:
        facts.append(Fact("cost", show_range(job.cost_usd, "USD") + words_of(result).cost_basis(result)))
    if job.electricity_usd is not None:
        whose = "of the cost" if job.paying == "owned" else "which the rent holds"
        facts.append(Fact("electricity", f"{show_range(job.electricity_usd, 'USD')}, {whose}"))
    if job.carbon_kg is not None:
        facts.append(Fact("carbon", show_range(job.carbon_kg, "kg") + " of CO2 equivalent"))
    facts.append(Fact("prices from", price_words(job.prices)))
    facts.append(Fact("not included", "compile, start-up, checkpoints, failures, queues: `wsesim lifetime`"))
    return facts


def training(result: Result) -> list[Fact]:
    """The whole job, and what the model will have learned."""
    quality = result.job.quality
    found = whole_job(result)
    return found if quality is None else [*found[:-2], *learned(quality), *found[-2:]]


def learned(quality: Quality) -> list[Fact]:
    """What the model will have learned."""
    (low, high), found, ends, chance = quality.loss_range, quality.accuracy, quality.accuracy_range, quality.chance
    by_compute = quality.loss_by_compute
    beside = f"; {by_compute:.3f} by compute alone" if by_compute is not None else ""
    least, most = ends[AVERAGE]
    by_task = ", ".join(f"{name} {value:.3f} ({chance[name]:g})" for name, value in found.items() if name != AVERAGE)
    return [
        Fact("predicted loss", f"{quality.loss:.3f} ({low:.3f} to {high:.3f}) nats/token on the Pile{beside}"),
        Fact(
            "on MassiveText",
            f"{quality.chinchilla_loss:.3f} (Chinchilla law): other data, not comparable with the Pile",
        ),
        Fact(
            "predicted accuracy",
            f"{found[AVERAGE]:.3f} ({least:.3f} to {most:.3f}) zero-shot, mean of {len(found) - 1} tasks, "
            f"chance {chance[AVERAGE]:.3f}",
        ),
        Fact("by task (chance)", by_task),
        *(Fact("extrapolated", note) for note in quality.notes),
    ]
