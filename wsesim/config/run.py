"""What a run file says once it is read and checked, and the settings of a command line that change it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from typing_extensions import TypeVar

from wsesim.config import catalogue
from wsesim.config.catalogue import toml
from wsesim.config.cluster import AnyCluster
from wsesim.config.layering import Table, merge
from wsesim.config.model import ModelSpec
from wsesim.config.spec import Origin
from wsesim.config.training import LARGEST_BATCH, JobSpec, TrainingSpec, wanted_batch
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES

# Options such as ``--set cluster.num_systems=64``: keys of a run file, set for once.


_DEEPEST_KEY = 20


def parse_setting(text: str) -> tuple[list[str], Any]:
    """Read ``"cluster.num_systems=64"``; the value is TOML where it can be, else a string.

    Examples
    --------
    >>> parse_setting("cluster.num_systems=64")
    (['cluster', 'num_systems'], 64)
    >>> parse_setting("cluster.memoryx.egress_bytes_per_s=2.4 Tb/s")
    (['cluster', 'memoryx', 'egress_bytes_per_s'], '2.4 Tb/s')
    >>> parse_setting('cluster.system.calibration.releases."2.4"=0.9')
    (['cluster', 'system', 'calibration', 'releases', '2.4'], 0.9)
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    parts = [(quoted or plain).strip().strip("\"'") for quoted, plain in _KEY_PART.findall(key)]
    if not equals or not parts or not all(parts) or len(parts) > _DEEPEST_KEY:
        shown = catalogue.value_shown(text)[1:-1]
        raise ConfigError(f"--set {shown}: is not KEY=VALUE; write for example --set cluster.num_systems=64")
    number = None if parts[-1] in ("name", "software_release") else _PLAIN_NUMBER.fullmatch(value)
    if number is not None:  # as TOML reads it, thirty times as fast: a sweep has thousands
        return parts, float(value) if number[1] else int(value)
    try:
        read = toml(f"value = {value}", "--set")
    except ConfigError:
        return parts, value
    is_text = parts[-1] in ("name", "software_release") and not isinstance(read["value"], list | dict | str)
    return parts, value if is_text or len(read) > 1 else read["value"]


_PLAIN_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
"""An integer or a float without underscores, infinities and other bases."""


_KEY_PART = re.compile(r"""(?:^|\.)(?:\s*("[^"]*"|'[^']*')\s*(?=\.|$)|([^.]*))""")
"""One part of a dotted key; quotes hold dots together, as in TOML."""


Setting = tuple[list[str], Any]
"""Parts of a dotted key, and its value."""


def settings_table(settings: Iterable[Setting]) -> Table:
    """Settings as one table; names come first, so that overrides of what they name stay."""
    table: Table = {}
    for parts, value in sorted(settings, key=lambda setting: len(setting[0])):
        inner: Any = value
        for part in reversed(parts):
            inner = {part: inner}
        table = merge(table, inner)
    return table


# What a run file says once it is read and checked: a model, its training, and a cluster.


ClusterT = TypeVar("ClusterT", bound=AnyCluster, default=Any)
SpreadT = TypeVar("SpreadT", default=Any)


@dataclass(frozen=True)
class Run(Generic[ClusterT, SpreadT]):
    """A model, how it is trained, and on which cluster of which kind of machine.

    Attributes
    ----------
    parallelism
        How the model is spread over the devices; None on machines that leave no choice.
    place
        File that the run was read from, for messages.
    asked
        ``[training]`` as the file has it, before its batch was worked out for this number of devices; None where the batch
        was set since.
    software
        What the run itself says of the software, in keys of its cluster: a part of its job, which goes along to other machines.
    """

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: ClusterT
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)
    parallelism: SpreadT = None  # type: ignore[assignment]
    asked: TrainingSpec | None = field(default=None, compare=False, repr=False)
    software: Table = field(default_factory=dict, compare=False, repr=False)

    @property
    def machine(self) -> str:
        """Name of the kind of machine, as in `wsesim.machines.machine.MACHINES`."""
        return self.cluster.machine

    @property
    def num_devices(self) -> int:
        """Devices that the job uses. [-]"""
        return self.cluster.num_devices

    @property
    def max_devices(self) -> int:
        """Devices that its cluster has. [-]"""
        return self.cluster.max_devices

    def on(self, num_devices: int, global_batch_size: int | None = None) -> Run[ClusterT, SpreadT]:
        """The same run on another number of identical devices, with the batch that it has now or another one."""
        training = self.training.with_batch(global_batch_size or self.training.global_batch_size)
        spread: Any = self.parallelism
        if spread is not None:
            spread = spread.on_other_devices()
        cluster = self.cluster.on_devices(num_devices)
        return replace(self, cluster=cluster, training=training, parallelism=spread, asked=None)

    def resized(self, num_devices: int) -> Run[ClusterT, SpreadT]:
        """The same run on another number of identical devices, with the batch that its file asks for there."""
        return replace(self.on(num_devices), training=self.asked or self.training).with_batch()

    @property
    def copies(self) -> int | None:
        """Copies of the model, among which a batch is dealt out; None where a search decides. [-]"""
        spread: Any = self.parallelism
        return self.num_devices if spread is None else spread.copies(self.num_devices)

    def with_batch(self) -> Run[ClusterT, SpreadT]:
        """The run with the global batch that ``[training]`` asks for: the one place where a batch is worked out.

        Raises
        ------
        wsesim.errors.ConfigError
            The batch depends on a number of copies that is not known, or is too large.
        """
        wanted = wanted_batch(self.training, self.copies)
        if wanted is None:
            raise ConfigError(
                f"{self.place}: training.batch_size_per_system is for each data-parallel copy, whose number is searched; give "
                "parallelism.data_parallel_size or all other sizes, or use global_batch_size or global_batch_tokens"
            )
        if wanted > LARGEST_BATCH:
            raise ConfigError(
                f"{self.place}: training asks for {wanted:,} sequences per step; it must be at most {LARGEST_BATCH:,}"
            )
        found = replace(self, training=self.training.with_batch(wanted), asked=self.training)
        if self.training.batch_policy == "exact":
            return found
        nearest = MACHINES[self.machine].nearest_batch(found)
        return replace(found, training=self.training.with_batch(nearest))

    @property
    def batch_notes(self) -> tuple[str, ...]:
        """How the batch was worked out, where it is not the one that was asked for."""
        asked, batch = self.asked, self.training.global_batch_size
        wanted = None if asked is None else wanted_batch(asked, self.copies)
        if asked is None or wanted is None:
            return ()
        notes, length = [], asked.sequence_length
        if asked.global_batch_tokens is not None and wanted * length != asked.global_batch_tokens:
            notes.append(
                f"{asked.global_batch_tokens:,.0f} tokens per step are {wanted:,} sequences of {length:,} tokens"
            )
        if wanted != batch:
            words = f"a batch of {batch:,} sequences, which divide well, is near to the {wanted:,} that are asked for"
            notes.append(f"{words} (training.batch_policy)")
        return tuple(notes)

    def with_auto_plan(self) -> Run[ClusterT, SpreadT]:
        """The same run with everything left open that its machine chooses: parallel sizes, micro-batch, recomputation."""
        spread: Any = self.parallelism
        training = self.training.model_copy(update={"micro_batch_size": "auto"})
        if spread is not None:
            spread = spread.left_open()
        return replace(self, training=training, parallelism=spread)
