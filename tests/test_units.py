"""Quantities: what is read is what was meant, what is shown can be read again, and a wrong unit is named."""

from __future__ import annotations

import ast
import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import wsesim
from tests.builders import between
from wsesim.config.training import TrainingSpec
from wsesim.machines.wafer.spec import ClusterSpec, MemoryXSpec, SwarmXSpec, SystemSpec, WaferSpec
from wsesim.units import (
    PLAIN,
    UNITS,
    add_up,
    example_of,
    parse_quantity,
    read_quantity,
    show,
    show_duration,
    unit_of_field,
)

KINDS = ("bytes", "bytes/s", "FLOP", "FLOP/s", "Hz", "W", "J", "USD", "USD/h", "s", "1/s", "-")
FIGURES = 5.1e-3
"""`show` keeps three figures: half a unit of the third is 0.5 %."""


@pytest.mark.parametrize("unit", ["bytes", "bytes/s", "FLOP", "FLOP/s", "Hz", "W", "J", "USD"])
@given(value=between(1.0, 9e20))
@example(value=999.6)
@example(value=1.0)
@example(value=1e18)
def test_what_is_shown_can_be_read_again(unit: str, value: float) -> None:
    assert parse_quantity(show(value, unit), unit) == pytest.approx(value, rel=FIGURES)
    assert parse_quantity(show(-value, unit), unit) == pytest.approx(-value, rel=FIGURES)


@given(value=between(1e-9, 1e12))
@example(value=59.97)
@example(value=86_400.0)
def test_a_duration_that_is_shown_can_be_read_again(value: float) -> None:
    assert parse_quantity(show_duration(value), "s") == pytest.approx(value, rel=FIGURES)
    assert show(value, "s") == show_duration(value)


@pytest.mark.parametrize("unit", ["1/s", "USD/h"])
@given(value=between(1e-3, 1e9))
def test_a_rate_that_is_shown_can_be_read_again(unit: str, value: float) -> None:
    assert parse_quantity(show(value, unit), unit) == pytest.approx(value, rel=FIGURES)


@given(value=st.floats(-1e14, 1e14).filter(lambda value: value == 0 or abs(value) > 1e-3))
def test_a_plain_number_keeps_six_figures(value: float) -> None:
    assert parse_quantity(show(value, "-"), "-") == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("unit", KINDS)
def test_nothing_that_is_shown_raises(unit: str) -> None:
    for value in (0.0, -0.0, 1e-300, 1e300, -5.0, math.inf, -math.inf, math.nan):
        assert show(value, unit)


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_read_in_its_own_kind_and_in_no_other(name: str) -> None:
    kind, size = UNITS[name]
    texts = [f"3 {name}", f"  3.0   {name} ", f"3e0 {name}"] + [f"3{name}"] * (not name[0].isdigit())
    for text in texts:
        assert parse_quantity(text, kind) == 3 * size
    for other in KINDS:
        if other != kind and not (other in ("-", "USD") and name.lower() in PLAIN):  # 3 B is also three billion
            with pytest.raises(ValueError, match="wanted"):
                parse_quantity(f"3 {name}", other)


@given(name=st.sampled_from(sorted(UNITS)), value=between(1e-6, 1e6))
def test_a_unit_scales_linearly(name: str, value: float) -> None:
    kind, size = UNITS[name]
    assert parse_quantity(f"{value!r} {name}", kind) == pytest.approx(value * size, rel=4e-15)


def test_sizes_of_units() -> None:
    """The numbers that people mix up."""
    assert parse_quantity("1 GB", "bytes") == 1e9
    assert parse_quantity("1 GiB", "bytes") == 2**30
    assert parse_quantity("1 TiB", "bytes") == 2**40
    assert parse_quantity("1 kB", "bytes") == 1000
    assert parse_quantity("1 KiB", "bytes") == 1024
    assert parse_quantity("8 Gb", "bytes") == parse_quantity("1 GB", "bytes")
    assert (
        parse_quantity("8 Gbit/s", "bytes/s")
        == parse_quantity("1 GB/s", "bytes/s")
        == parse_quantity("8 Gbps", "bytes/s")
    )
    assert parse_quantity("1.2 Tb/s", "bytes/s") == 150e9
    assert parse_quantity("1 kWh", "J") == 3.6e6
    assert parse_quantity("1 PFLOPS", "FLOP/s") == parse_quantity("1 PFLOP/s", "FLOP/s") == 1e15
    assert parse_quantity("1 us", "s") == parse_quantity("1 µs", "s") == 1e-6
    assert parse_quantity("1 d", "s") == parse_quantity("24 h", "s") == parse_quantity("1440 min", "s") == 86_400
    assert parse_quantity("1 year", "s") == parse_quantity("365 days", "s")
    assert parse_quantity("50 %", "-") == 0.5
    assert parse_quantity("1.5 MUSD", "USD") == 1.5e6


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("1_000", 1000), ("1,080", 1080), ("-3.5", -3.5), ("+2e3", 2000), ("5.", 5), ("1e-6", 1e-6)],
)
def test_a_bare_number_is_in_the_unit_of_its_field(text: str, value: float) -> None:
    for unit in KINDS:
        assert parse_quantity(text, unit) == value


@pytest.mark.parametrize(
    "text", ["", " ", "GB", "fast", "nan", "inf", "-inf", "0x10", ".5", "1.2.3", "--1", "1e", "é", "1\n2"]
)
def test_not_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_quantity(text, "bytes")


@pytest.mark.parametrize(
    ("text", "unit", "found", "wanted"),
    [
        ("40 GHz", "bytes", "Hz", "bytes"),
        ("1.2 Tb", "bytes/s", "bytes", "bytes/s"),
        ("1.2 Tb/s", "bytes", "bytes/s", "bytes"),
        ("8 GB", "-", "bytes", "a plain number"),
        ("20 us", "Hz", "in s", "Hz"),
        ("7.5 PFLOP", "FLOP/s", "FLOP", "FLOP/s"),
        ("23 kWh", "W", "in J", "W"),
        ("45 USD", "USD/h", "USD", "USD/h"),
    ],
)
def test_a_unit_of_another_kind_is_named_with_an_example_of_the_right_one(
    text: str, unit: str, found: str, wanted: str
) -> None:
    with pytest.raises(ValueError, match="write for example") as caught:
        parse_quantity(text, unit)
    assert text in str(caught.value)
    assert f"{found}, wanted {wanted};" in str(caught.value)


@pytest.mark.parametrize("text", ["40 gb", "40 KB", "1 parsec", "3 GB GB", "3 %%", "1 Tb/h", "5 EUR"])
def test_an_unknown_unit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="unknown unit") as caught:
        parse_quantity(text, "bytes")
    assert repr(text.split(maxsplit=1)[1]) in str(caught.value)


@pytest.mark.parametrize("unit", KINDS)
def test_examples_are_well_formed(unit: str) -> None:
    assert parse_quantity(example_of(unit).strip('"'), unit) > 0


@given(text=st.text(max_size=40), unit=st.sampled_from(KINDS))
@example(text="9" * 5000, unit="-")
@example(text="1e999999 GB", unit="bytes")
@example(text="٣ GB", unit="bytes")
def test_no_text_raises_anything_but_a_value_error(text: str, unit: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_quantity(text, unit), float)


@pytest.mark.parametrize("spec", [WaferSpec, SystemSpec, MemoryXSpec, SwarmXSpec, ClusterSpec])
def test_every_field_with_a_unit_says_it_by_its_name(spec: type[WaferSpec]) -> None:
    """A docstring's unit and the end of the field's name agree."""
    docs = (spec.__doc__ or "").splitlines()
    for name in spec.model_fields:
        after = [line for place, line in enumerate(docs) if place and name in docs[place - 1].replace(",", " ").split()]
        stated = {line.rsplit("[", 1)[1].split("]")[0] for line in after if line.strip().endswith("]")}
        for unit in stated:
            assert unit_of_field(name) == unit, name


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("io_bytes_per_s", "bytes/s"),
        ("wire_bytes_per_weight", "bytes"),
        ("worker_samples_per_s", "1/s"),
        ("price_usd_per_system_hour", "USD/h"),
        ("system.wafer.clock_hz", "Hz"),
        ("amortization_s", "s"),
        ("num_cores", "-"),
        ("fan_out", "-"),
        ("tokens", "-"),
        ("steps", "-"),
        ("bytes", "bytes"),
    ],
)
def test_the_end_of_a_name_is_its_unit(name: str, unit: str) -> None:
    assert unit_of_field(name) == unit


def test_counts_of_a_run_take_no_unit() -> None:
    for name in TrainingSpec.model_fields:
        assert unit_of_field(name) == "-"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tokens", "20B", 20e9),
        ("tokens", "1.5T", 1.5e12),
        ("tokens", "300 b tokens", 300e9),
        ("tokens", "4M tokens", 4e6),
        ("global_batch_tokens", "2M", 2e6),
        ("vocab_size", "50k", 50_000),
        ("sequence_length", "2k", 2048),
        ("sequence_length", "8K", 8192),
        ("deadline_s", "6 weeks", 6 * 7 * 86_400),
        ("deadline_s", "2 Weeks", 14 * 86_400),
        ("power_w", "23 KW", 23_000),
        ("tokens", "20 billion", 20e9),
    ],
)
def test_numbers_as_people_write_them(name: str, text: str, value: float) -> None:
    assert read_quantity(name, text) == value


def test_bits_and_bytes_are_told_apart_by_their_case() -> None:
    with pytest.raises(ValueError, match="unknown unit 'gb'"):
        read_quantity("sram_bytes", "40 gb")


def test_sums_are_the_same_on_every_python() -> None:
    """From 3.12 on `sum` keeps what rounding loses; `add_up` never does."""
    values = [0.1] * 10 + [1e16, 1.0, -1e16]
    found = 0.0
    for value in values:
        found += value
    assert add_up(values) == found
    assert add_up(iter(values)) == found
    assert add_up([]) == 0


WHOLE_NUMBERS = {
    *(
        "report/terminal.py",
        "page/service.py",
        "study/workers.py",
        "config/catalogue.py",
        "machines/gpu/plans.py",
        "config/variations.py",
    ),
    *(
        "study/life.py",
        "machines/wafer/streaming.py",
        "study/lifetime.py",
        "report/pages/lifetime.py",
        "report/charts/theme.py",
    ),
}
"""Modules that use `sum` for nothing else."""


def test_no_floats_are_added_by_what_differs_between_pythons() -> None:
    """Use `units.add_up` or `math.fsum`; `sum` is for what is counted: lengths, ones, and what is true."""
    package = Path(wsesim.__file__).parent
    paths = [path for path in package.rglob("*.py") if path.relative_to(package).as_posix() not in WHOLE_NUMBERS]
    wrong = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sum" and not _counts(node.args[0])
    ]
    assert wrong == []


def _counts(values: ast.expr) -> bool:
    """Whether what is added is a truth, a length or a one."""
    one = values.elt if isinstance(values, ast.GeneratorExp | ast.ListComp) else values
    is_length = ast.unparse(one).startswith(("len(", "1", "fact.is_key"))
    return isinstance(one, ast.Compare | ast.BoolOp) or is_length


@pytest.mark.parametrize(
    ("text", "days"), [("6 weeks 2 days", 44.0), ("1 wk, 3 d and 12 h", 10.5), ("2 WKS", 14.0), ("1.5 weeks", 10.5)]
)
def test_durations_in_weeks_and_in_pieces(text: str, days: float) -> None:
    assert parse_quantity(text, "s") == days * 86400.0


@pytest.mark.parametrize(
    ("field", "text", "finding"),
    [
        ("micro_batch_size", "4M tokens", "'4M tokens' counts tokens, and micro_batch_size sequences"),
        ("tokens", "20B parameters", "counts parameters, and tokens tokens"),
        ("num_gpus", "64 systems", "counts systems, and num_gpus gpus"),
    ],
)
def test_a_noun_that_a_field_does_not_count_is_refused(field: str, text: str, finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        read_quantity(field, text)
