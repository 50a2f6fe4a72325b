"""What the page is asked, as the address bar holds it: text as it was typed, right or wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar
from urllib.parse import parse_qsl, urlencode

from wsesim.config.catalogue import value_shown
from wsesim.errors import ConfigError, did_you_mean

PER_SYSTEM, OF_ALL = "system", "all"
"""What the batch is counted over."""
AUTO, FIRST_RELEASE = "auto", "2.1"
"""In place of a release, and that of the first view, which is a run of the catalogue."""
NO_GPUS = "none"
"""In place of a GPU cluster: no comparison."""

Pairs = Iterable[tuple[str, str]]
_PLACE = "the page's address"
PINNED = "pinned"
"""Key of the address of the page of a run, in which another run's query stands that it is compared with."""
_MANY = "candidates"
"""The one key that may stand there more than once."""
MOST_PROBLEMS = 5
"""Lines of one message. [-]"""


class WrongAddress(ConfigError):
    """The address has keys that the page does not know."""


def _tidy(text: str) -> str:
    """One line, without the spaces around it."""
    return " ".join(text.split())


def _lines(text: str) -> str:
    """Lines that say something, as every browser writes them."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class RunState:
    """The controls of a run.

    Attributes
    ----------
    model, cluster, gpus
        Names of the catalogue; `gpus` may be "none".
    systems, num_gpus
        Devices of the two clusters. [-]
    release
        Of the wafers' software; empty takes the newest, "auto" is that of the catalogue's run on the usual cluster, else empty.
    profile
        Of the GPUs' software; empty leaves it to their cluster.
    paying
        "owned" or "rented", for both clusters; empty leaves it to them.
    batch, batch_of
        Sequences per optimizer step, of each system or of all. [-]
    tokens, sequence_length, precision, weight_sparsity
        As in the ``[training]`` table of a run file.
    settings
        Every other key, a line of ``KEY=VALUE`` each.
    """

    model: str = "cerebras-gpt-13b"
    cluster: str = "andromeda"
    systems: str = "12"
    release: str = AUTO
    batch: str = "90"
    batch_of: str = PER_SYSTEM
    sequence_length: str = "2048"
    tokens: str = "chinchilla"
    precision: str = "cbfloat16"
    weight_sparsity: str = "0"
    gpus: str = "aws_p4d"
    num_gpus: str = "256"
    profile: str = ""
    paying: str = ""
    settings: str = ""

    def __post_init__(self) -> None:
        """The release of the first view belongs to its own cluster."""
        if self.release == AUTO:
            object.__setattr__(self, "release", FIRST_RELEASE if self.cluster == type(self).cluster else "")

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Read a query; keys that are not there have their defaults, and others are passed over (see `check_keys`)."""
        given = dict(pairs)
        return cls(**_texts(cls, given, "settings"), settings=_lines(given.get("settings", "")))

    def query(self) -> str:
        """The shortest query that reads as this state."""
        usual = replace(RunState(cluster=self.cluster), cluster=RunState.cluster)
        return urlencode(_differences(self, usual))


@dataclass(frozen=True)
class GoalState:
    """The controls of a goal: what is trained, what must be kept, and which clusters may be used.

    Attributes
    ----------
    model
        Name of the catalogue; left out where there is a target loss or accuracy.
    target_loss, law
        As in a goal file.
    target_accuracy
        As options of `wsesim plan` say it, separated by commas: "hellaswag=0.5, average=0.52".
    tokens, sequence_length, batch
        As in the ``[training]`` table; an empty batch takes the usual one for the model's size.
    deadline, budget, power
        Limits with their units; what is empty is no limit.
    start
        Date from which a deadline that is a date counts.
    release, profile, paying
        Software of wafer-scale candidates and of GPUs, and how devices are paid for; what is empty is as each cluster says.
    candidates
        Names of clusters of the catalogue.
    """

    model: str = "cerebras-gpt-13b"
    target_loss: str = ""
    target_accuracy: str = ""
    law: str = "pile"
    tokens: str = "chinchilla"
    sequence_length: str = "2048"
    batch: str = ""
    deadline: str = "30 d"
    budget: str = ""
    power: str = ""
    start: str = ""
    release: str = ""
    profile: str = ""
    paying: str = ""
    candidates: tuple[str, ...] = ("andromeda", "cs3", "aws_p4d", "aws_p5")

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Read a query, in which each candidate has a pair of its own."""
        pairs = list(pairs)
        named = dict.fromkeys(_tidy(value) for key, value in pairs if key == _MANY)
        chosen = tuple(name for name in named if name) if named else cls.candidates
        return cls(**_texts(cls, dict(pairs), _MANY), candidates=chosen)

    def query(self) -> str:
        """The shortest query that reads as this state; without candidates it says so."""
        found = _differences(self, GoalState())
        if _MANY in found:
            found[_MANY] = self.candidates or ("",)
        return urlencode(found, doseq=True)


@dataclass(frozen=True)
class JobsState:
    """The controls of jobs that share a cluster.

    Attributes
    ----------
    cluster, devices, paying
        A cluster of the catalogue, how many of its devices, and how they are paid for; what is empty is as its file says.
    start
        Date from which durations count; needed where jobs give dates.
    policy
        Which job goes first.
    by
        Search the fewest devices that are done by then; empty searches none.
    jobs
        A line for each, with the keys of ``[[jobs]]``: ``run = "andromeda_13b", systems = [8, 12], deadline = "12 days"``.
    """

    cluster: str = "andromeda"
    devices: str = ""
    paying: str = ""
    start: str = ""
    policy: str = "first-come"
    by: str = ""
    jobs: str = "\n".join(
        (
            'name = "13B", run = "cerebras_gpt_13b", systems = [8, 12], deadline = "12 days"',
            'name = "6.7B", run = "cerebras_gpt_6.7b", systems = [4, 8, 16]',
            'name = "another team", systems = [2], duration_s = "3 days"',
        )
    )

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Read a query."""
        given = dict(pairs)
        return cls(**_texts(cls, given, "jobs"), jobs=_lines(given.get("jobs", cls.jobs)))

    def query(self) -> str:
        """The shortest query that reads as this state."""
        return urlencode(_differences(self, JobsState()))


State = TypeVar("State", RunState, GoalState, JobsState)
AnyState = RunState | GoalState | JobsState
_BESIDE: dict[type[AnyState], tuple[str, ...]] = {RunState: (), GoalState: ("answer",), JobsState: ("answer",)}
"""Keys of the address of a page that are no controls: whether the form was sent."""


def _names(kind: type[AnyState]) -> list[str]:
    return [field.name for field in fields(kind)]


def _texts(kind: type[AnyState], given: Mapping[str, str], apart: str) -> dict[str, str]:
    """What a query says of every field but one, each on one line."""
    return {name: _tidy(given[name]) for name in _names(kind) if name in given and name != apart}


def check_keys(kind: type[AnyState], pairs: Pairs, others: Iterable[str] = ()) -> None:
    """Refuse what would be passed over: keys of an address that no control has, and second values of one that has.

    Parameters
    ----------
    others
        Keys that the address may have beside those of the page.

    Examples
    --------
    >>> check_keys(RunState, [("system", "3")])
    Traceback (most recent call last):
        ...
    wsesim.page.state.WrongAddress: the page's address: 'system' is not a known key; did you mean systems?
    """
    known = (*_names(kind), *_BESIDE[kind], *others)
    listed = f"; it has {', '.join(known)}"
    counts = Counter(key for key, _ in pairs)
    problems = [
        f"{_PLACE}: {value_shown(key)} is not a known key{did_you_mean(key, known) or listed}"
        for key in counts
        if key not in known
    ]
    problems += [
        f"{_PLACE}: {key} stands there {number} times; keep one of them"
        for key, number in counts.items()
        if number > 1 and key in known and key != _MANY
    ]
    if problems:
        raise WrongAddress("\n".join(problems[:MOST_PROBLEMS]))


def pinned_of(pairs: Pairs) -> RunState | None:
    """The baseline of an address, another run; None where none is pinned.

    Raises
    ------
    WrongAddress
        Its query has keys that are none of a run's.

    Examples
    --------
    >>> pinned_of([("systems", "16"), ("pinned", "systems=12&batch=90")]).systems
    '12'
    """
    text = dict(pairs).get(PINNED, "")
    inside = parse_qsl(text, keep_blank_values=True)
    if not text:
        return None
    try:
        check_keys(RunState, inside)
    except WrongAddress as error:
        raise WrongAddress(str(error).replace(_PLACE, f"{_PLACE}: {PINNED}")) from None
    return RunState.of(inside)


def pinned_text(state: RunState) -> str:
    """What stands behind `pinned=` for a run; never empty."""
    return state.query() or urlencode({"model": state.model})


def address_of(state: RunState, pinned: RunState | None = None) -> str:
    """The address of a run, with the one that it is compared with."""
    beside = urlencode({PINNED: pinned_text(pinned)}) if pinned else ""
    return f"/?{'&'.join(part for part in (state.query(), beside) if part)}".rstrip("?")


def differences(state: RunState, other: RunState) -> dict[str, tuple[str, str]]:
    """Controls that two runs set otherwise, with what each of them says; GPUs beside make no difference."""
    mine, others = vars(state), vars(other)
    return {name: (others[name], mine[name]) for name in mine if mine[name] != others[name]}


def _differences(state: State, usual: State) -> dict[str, object]:
    """What a state has other than what is usual."""
    return {name: getattr(state, name) for name in _names(type(state)) if getattr(state, name) != getattr(usual, name)}


def changed(state: State, values: Mapping[str, str]) -> State:
    """The same state with some fields changed."""
    return replace(state, **values)  # type: ignore[arg-type]
