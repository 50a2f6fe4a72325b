"""What a kind of machine is called, and what its answers say: the same words in every medium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from wsesim.config.cluster import AnyCluster
from wsesim.config.run import Run
from wsesim.job import Range
from wsesim.result import Result
from wsesim.units import show
from wsesim.view import MFU_DIFFERENCE, Bar, Fact, Level, Place, plural, share_of, show_mfu


class Words:
    """Words of a kind of machine. What is left open says what can be said of any machine.

    Attributes
    ----------
    device, devices
        What is counted, in full: "CS system", "CS systems".
    short
        The same in few letters, for one and in a list of prices: "system".
    adjective
        Of its runs: "wafer-scale".
    copy, software
        What `batch_size_per_system` is for each of, and what the version of the software is called.
    unit, rest
        What fails as one, and what else stops a job.
    categories
        What a step is spent on, and what that means; also in the order of its parts.
    parts
        What a busy part is called, and what it does.
    lead
        What utilization says, above its bars.
    example
        A cluster of its own in the catalogue, for messages.
    """

    device: ClassVar[str] = "device"
    devices: ClassVar[str] = "devices"
    short: ClassVar[str] = "device"
    adjective: ClassVar[str] = "other"
    unit: ClassVar[str] = "device"
    copy: ClassVar[str] = "device"
    software: ClassVar[str] = "software"
    rest: ClassVar[str] = "of the job itself"
    categories: ClassVar[Mapping[str, str]] = {}
    parts: ClassVar[Mapping[str, tuple[str, str]]] = {}
    lead: ClassVar[str] = (
        "The share of a step in which each part works. Parts work at the same time, so that shares do not add up."
    )
    example: ClassVar[str] = ""

    def count(self, cluster: AnyCluster, number: int | None = None) -> str:
        """Devices of a cluster, all that the job uses or another number: "12 CS-2 systems"."""
        return devices(cluster.num_devices if number is None else number, cluster.device, self.short)

    def where(self, cluster: AnyCluster, number: int) -> str:
        """What so many devices are a part of."""
        return cluster.title

    def counted(self, cluster: AnyCluster, number: int | None = None) -> str:
        """Devices, and of which cluster: "12 CS-2 systems (Andromeda)". What is counted stands beside its number."""
        found = cluster.num_devices if number is None else number
        return f"{self.count(cluster, found)} ({self.where(cluster, found)})"

    def counted_short(self, cluster: AnyCluster, number: int) -> str:
        """The same for tables, with the device's name only where the cluster does not say it."""
        return self.counted(cluster, number)

    def planned(self, run: Run, plan: Mapping[str, Any]) -> str:
        """How the model is spread over devices, for tables; what each device has of the batch where there is no choice."""
        share = run.training.global_batch_size / run.num_devices
        return f"{share:,.4g} sequences per {self.short}" if run.num_devices > 1 and not plan else ""

    def on(self, result: Result) -> str:
        """What it runs on."""
        return self.counted(result.run.cluster)

    def batch(self, result: Result) -> list[Fact]:
        """How the batch is cut."""
        size, count = f"{result.micro_batch_size:,}", result.num_micro_batches
        passes = f"{count:,} x {size}" if count > 1 else size
        return [Fact(f"batch per {self.short}", f"{passes} of {result.run.training.sequence_length:,} tokens")]

    def throughput(self, result: Result) -> str:
        """How fast."""
        return f"{samples_words(result)}, {result.tokens_per_s:,.0f} tokens/s"

    def headline(self, result: Result) -> list[Fact]:
        """How fast, on what."""
        training, number, rate = result.run.training, result.num_devices, result.model_flop_per_s
        each = f"{show(rate, 'FLOP/s')}, {show(rate / number, 'FLOP/s')} per {self.short}"
        facts = [
            Fact("on", self.on(result)),
            Fact("throughput", self.throughput(result), is_key=True),
            Fact("step time", f"{step_words(result)} for {training.global_batch_size:,} sequences", is_key=True),
            Fact("model FLOP/s", each),
        ]
        mfu = Fact("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision) + self.peak(result))
        executed = show(result.hfu * result.peak_flop_per_s / number, "FLOP/s")
        hfu = Fact("HFU", f"{result.hfu:.1%}, executed FLOP over peak: {executed} per {self.short}")
        if training.weight_sparsity > 0:  # the FLOP of the dense model are not what is done
            facts += [hfu, Fact("dense MFU", f"{result.mfu:.1%}, with the FLOP that zero weights save")]
        else:
            facts += [mfu, hfu] if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE else [mfu]
        return [*facts, *self.batch(result)]

    def peak(self, result: Result) -> str:
        """What else the peak could be, where sources differ."""
        return ""

    def spread(self, result: Result) -> list[Fact]:
        """How the model is spread over devices, where there is a choice."""
        return []

    def places(self, result: Result) -> list[Place]:
        """Memories of a run that could be too small, the first one first."""
        return []

    def levels(self, cluster: AnyCluster, busy: Mapping[str, float]) -> list[Level]:
        """What a drawing of a cluster shows, from the top; `busy` are shares of a step by part, none without a run."""
        return [Level(self.counted(cluster), cluster.num_devices)]

    def memory(self, result: Result) -> list[Fact]:
        """What is held where."""
        return [
            Fact(one.name, f"{show(one.used_bytes, 'bytes')} of {show(one.capacity_bytes, 'bytes')}")
            for one in self.places(result)
        ]

    def memory_shares(self, result: Result) -> list[Bar]:
        """What is in use, as shares of the capacity."""
        return [share_of(one.name, one.used_bytes, one.capacity_bytes, "bytes") for one in self.places(result)]

    def scaling(self, result: Result, weak: float, strong: float) -> list[Fact]:
        """Efficiency against one device."""
        of_one = f"of {result.num_devices:,} times one {self.short}"
        return [
            Fact("weak scaling", f"{weak:.1%} {of_one}, same batch per {self.short}"),
            Fact("strong scaling", f"{strong:.1%} {of_one}, same global batch"),
        ]

    def cost_basis(self, result: Result) -> str:
        """What the cost stands for."""
        if result.job.has_job_price:
            return ", the provider's price of this job"
        if result.job.paying == "rented":
            return ", rented"
        electricity = "" if result.job.electricity_usd is None else ", with electricity and building"
        return f", owned: written off over {show(result.run.cluster.amortization_s, 's')}{electricity}"

    def made_by(self, result: Result) -> str:
        """How the answer was found."""
        return f"simulated one step: {plural(result.num_events, 'event')}"

    def meaning(self, category: str) -> str:
        """What a part of the step is."""
        return self.categories.get(category, category)

    def busy(self, part: str) -> str:
        """A part that is busy, in a picture."""
        return self.part(part)[0]

    def part(self, name: str) -> tuple[str, str]:
        """What a part of the machine is called that is busy, and what it does."""
        return self.parts.get(name, (name, ""))


def devices(number: int, device: str, word: str) -> str:
    """A number of devices, with what one is called unless its name says so already.

    Examples
    --------
    >>> devices(12, "CS-2", "system"), devices(1, "A100 SXM 80 GB", "GPU"), devices(4, "GB200, half of a board", "GPU")
    ('12 CS-2 systems', '1 A100 SXM 80 GB GPU', '4 GB200 GPUs')
    """
    kind = device.partition(",")[0].removesuffix(word).strip()
    return plural(number, f"{kind} {word}".strip()) if word else f"{number:,} {kind}"


def samples_words(result: Result) -> str:
    """The rate with its range."""
    return f"{result.samples_per_s:,.4g} samples/s {within(result.samples_range_per_s)}"


def step_words(result: Result) -> str:
    """The step time with its range."""
    return f"{result.step_time_s:.4g} s {within(result.step_time_range_s)}"


def within(value: Range) -> str:
    """The bounds of a number whose unit stands before them; three figures are more than they are worth.

    Examples
    --------
    >>> within(Range(1487.3, 1380.2, 1561.8)), within(Range(0.5, 0.46, 0.54))
    ('(1,380 to 1,560)', '(0.46 to 0.54)')
    """
    low, high = (f"{float(f'{end:.3g}'):,.10g}" for end in (value.low, value.high))
    return f"({low} to {high})"
