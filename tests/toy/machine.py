"""A kind of machine in one file: a ring of tiles, each with its own copy of the model, in units and words of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from wsesim.config.cluster import AnyCluster, Files
from wsesim.config.run import Run
from wsesim.config.spec import Positive, Share, Spec
from wsesim.engine.program import Span
from wsesim.errors import DoesNotFit
from wsesim.machines.machine import Machine, Words
from wsesim.results.result import Result
from wsesim.results.step import Step
from wsesim.units import show
from wsesim.view import Place
from wsesim.workload.transformer import model_flop_per_sequence, parameter_count


class TileSpec(Spec):
    """One file of ``tiles``: dense peak, share of it that is reached, memory, link to the next tile, power."""

    name: str
    peak_dense_16bit_flop_per_s: Positive
    efficiency: Share
    memory_bytes: Positive
    link_bytes_per_s: Positive
    power_w: Positive


class RingSpec(AnyCluster):
    """One file of ``clusters`` that names a `tile`."""

    machine = "ring"
    count, limit = "num_tiles", "max_tiles"
    power, price = ("tile.power_w",), "price_usd_per_tile_hour"

    name: str
    tile: TileSpec
    num_tiles: Annotated[int, Field(gt=0, le=10_000)]
    max_tiles: Annotated[int, Field(gt=0, le=10_000)]
    price_usd_per_tile_hour: Positive | None = None


@dataclass(frozen=True, eq=False)
class RingStep(Step):
    """Every tile computes its share of the batch, then gradients go around the ring."""

    run: Run[RingSpec, None]

    @cached_property
    def spent_s(self) -> dict[str, float]:
        """Compute, and two times around the ring. [s]"""
        tile, ring = self.run.cluster.tile, 2.0 * (1.0 - 1.0 / self.run.num_devices)
        return {
            "weave": self.flop / self.run.num_devices / (tile.peak_dense_16bit_flop_per_s * tile.efficiency),
            "shuttle": ring * state_bytes(self.run) / 8.0 / tile.link_bytes_per_s,
        }

    @property
    def time_s(self) -> float:
        """One after the other. [s]"""
        return sum(self.spent_s.values())

    @property
    def flop(self) -> float:
        """Of the fullest tile times their number. [FLOP]"""
        per_sequence = model_flop_per_sequence(self.run.model, self.run.training.sequence_length)
        return per_sequence * self.micro_batch_size * self.run.num_devices

    @property
    def peak_flop_per_s(self) -> float:
        """Of all tiles. [FLOP/s]"""
        return self.run.cluster.tile.peak_dense_16bit_flop_per_s * self.run.num_devices

    @property
    def memory(self) -> dict[str, float]:
        """Of each tile. [bytes]"""
        return {"tile_bytes": state_bytes(self.run)}

    @property
    def trace(self) -> tuple[Span, ...]:
        """Two spans."""
        weave_s, all_s = self.spent_s["weave"], self.time_s
        return Span("tile", "weave", -1, "", 0, 0, 0.0, weave_s), Span("tile", "shuttle", -1, "", 0, 0, weave_s, all_s)

    def efficiency(self) -> tuple[float, float]:
        """Against one tile. [-]"""
        batch, number = self.run.training.global_batch_size, self.run.num_devices
        weak, strong = (RING.simulate(self.run.on(1, size)).time_s for size in (max(1, batch // number), batch))
        return weak / self.time_s, strong / self.time_s / number


class RingWords(Words):
    """Words of rings."""

    device, devices, short, adjective, unit = "tile", "tiles", "tile", "ring", "tile"
    categories = {"weave": "arithmetic of the threads", "shuttle": "gradients on their way around"}  # noqa: RUF012
    example = "small_ring"

    def places(self, result: Result) -> list[Place]:
        """A tile's memory."""
        return [Place("tile", {"state": result.memory["tile_bytes"]}, result.run.cluster.tile.memory_bytes)]


def state_bytes(run: Run) -> float:
    """What every tile holds: weights, gradients and optimizer state. [bytes]"""
    return 16.0 * parameter_count(run.model, run.training.sequence_length)


class Ring(Machine):
    """A ring of tiles."""

    name = kind = "ring"
    words = RingWords()
    files = Files(
        cluster=RingSpec,
        part=TileSpec,
        key="tile",
        folder="tiles",
        whole=frozenset({"tile", "max_tiles"}),
        schemas={"ring": ("a ring of tiles", RingSpec), "tile": ("one tile", TileSpec)},
        catalogue=Path(__file__).with_name("catalogue"),
    )

    def check(self, run: Run) -> None:
        """Refuse more tiles than there are, and a model that no tile holds."""
        if run.num_devices > run.max_devices:
            raise DoesNotFit(
                f"{run.place}: cluster.num_tiles is {run.num_devices:,}, and there are {run.max_devices:,}"
            )
        needed, memory = state_bytes(run), run.cluster.tile.memory_bytes
        if needed > memory:
            raise DoesNotFit(
                f"{run.place}: a tile has {show(memory, 'bytes')}, and the model needs {show(needed, 'bytes')}"
            )

    def simulate(self, run: Run, engine: str = "") -> RingStep:
        """The fullest tile decides."""
        self.check(run)
        return RingStep(run)


RING = Ring()
