"""Whatever is wrong with the input: one message with place, finding and remedy, the right exit code, nothing written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import wsesim
from tests.front_door import call
from tests.test_cli import LOG_LINE
from wsesim.errors import ConfigError

RUN = """\
[model]
name = "tiny"
num_layers = 2
hidden_size = 256
num_attention_heads = 4
vocab_size = 1000
max_position_embeddings = 128

[training]
sequence_length = 128
global_batch_size = 16

[cluster]
name = "cs2"
num_systems = 2
"""
TABLE = "model,global_batch_size,value\ncerebras-gpt-111m,120,690\n"
OTHER = "one two 3"


def with_line(key: str, value: str) -> str:
    """The run with another value for one of its keys."""
    table, _, name = key.rpartition(".")
    before, header, after = RUN.partition(f"[{table}]\n") if table else ("", "", RUN)
    lines = after.splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if line.startswith(f"{name} ="))
    lines[place] = f"{name} = {value}\n"
    return before + header + "".join(lines)


def more(table: str, lines: str) -> str:
    """The run with more keys in one of its tables."""
    return RUN.replace(f"[{table}]\n", f"[{table}]\n{lines}\n")


@dataclass(frozen=True)
class Wrong:
    """A command with files, and the words that its message must have, in this order."""

    id: str
    words: tuple[str, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)
    argv: tuple[str, ...] = ("run", "run.toml")
    code: int = 2


def wrong_run(name: str, text: str | bytes, *words: str, code: int = 2, **files: str | bytes) -> Wrong:
    """A run file that is wrong; more files by name, ``_`` for the dot."""
    others = {file.replace("_", "."): content for file, content in files.items()}
    return Wrong(name, words, {"run.toml": text, **others}, code=code)


def wrong_set(setting: str, *words: str, run: str = RUN, code: int = 2) -> Wrong:
    """An option that is wrong, with a good run file."""
    return Wrong(f"--set {setting[:40]}", words, {"run.toml": run}, ("run", "run.toml", "--set", setting), code)


def wrong_table(name: str, text: str | bytes, *words: str, code: int = 2) -> Wrong:
    """A table of measurements that is wrong."""
    return Wrong(name, words, {"mine.csv": text}, ("validate", "mine.csv"), code)


HERE = "error: run.toml: "
SET = "error: --set: "

UNKNOWN_KEYS = [
    wrong_run("top", "modle = 1\n" + RUN, f"{HERE}modle is not a known key", "did you mean model?"),
    wrong_run("top, nothing near", "x = 1\n" + RUN, f"{HERE}x is not a known key", "a run has name, model"),
    wrong_run(
        "GPU table", RUN + "[parallelism]\nzero_stage = 1\n", f"{HERE}parallelism is for GPU", "remove the table"
    ),
    *(
        wrong_run(f"unknown key in {table}", text, f"{HERE}{key} is not a known key", f"did you mean {near}?")
        for table, text, key, near in [
            ("model", more("model", "num_layer = 3"), "model.num_layer", "num_layers"),
            ("training", more("training", "optimiser = 'adamw'"), "training.optimiser", "optimizer"),
            ("cluster", more("cluster", "num_system = 3"), "cluster.num_system", "num_systems"),
            (
                "memoryx",
                RUN + "[cluster.memoryx]\nflash_byte = 1\n",
                "cluster.memoryx.flash_byte",
                "flash_bytes",
            ),
            ("swarmx", RUN + "[cluster.swarmx]\nfanout = 4\n", "cluster.swarmx.fanout", "fan_out"),
            (
                "input",
                RUN + "[cluster.input]\nnum_workers = 4\n",
                "cluster.input.num_workers",
                "num_workers_per_system",
            ),
            ("simulation", RUN + "[cluster.simulation]\nmax_step = 4\n", "cluster.simulation.max_step", "max_steps"),
            ("system", RUN + "[cluster.system]\npower = 4\n", "cluster.system.power", "power_w"),
            ("wafer", RUN + "[cluster.system.wafer]\nsrm_bytes = 4\n", "cluster.system.wafer.srm_bytes", "sram_bytes"),
            (
                "calibration",
                RUN + "[cluster.system.calibration]\nrelease = 4\n",
                "cluster.system.calibration.release",
                "releases",
            ),
            (
                "exceptions",
                RUN + "[[cluster.exceptions]]\nsystems = [0]\nsped = 0.5\n",
                "cluster.exceptions.0.sped",
                "speed",
            ),
            ("a number", with_line("vocab_size", "{ value = 9, sourc = 'x' }"), "model.vocab_size.sourc", "source"),
        ]
    ),
]


def in_cluster_file(text: str) -> dict[str, str | bytes]:
    return {"run.toml": with_line("cluster.name", '"mine.toml"'), "mine.toml": text}


UNKNOWN_KEYS.append(
    Wrong(
        "unknown key in a file of one's own",
        ("error: mine.toml: cluster.memoryx.dram_byte is not a known key", "did you mean dram_bytes?"),
        in_cluster_file('name = "mine"\nextends = "cs2"\n[memoryx]\ndram_byte = "1 TB"\n'),
    )
)

TYPES = [
    wrong_run(
        "text for a number",
        with_line("num_layers", '"two"'),
        f"{HERE}model.num_layers",
        "'two'",
        "not a number",
        "for example 24",
    ),
    wrong_run(
        "list for a number", with_line("num_layers", "[2]"), f"{HERE}model.num_layers is [2]", "write a whole number"
    ),
    wrong_run(
        "table for a number",
        with_line("num_layers", "{ a = 2 }"),
        f"{HERE}model.num_layers is {{'a': 2}}",
        "write a whole number",
    ),
    wrong_run(
        "date for a number",
        with_line("num_layers", "1979-05-27"),
        f"{HERE}model.num_layers is ",
        "write a whole number",
    ),
    wrong_run("half a layer", with_line("num_layers", "2.5"), f"{HERE}model.num_layers is 2.5", "write a whole number"),
    wrong_run(
        "boolean for a count", with_line("num_layers", "true"), f"{HERE}model.num_layers is true", "write a number"
    ),
    wrong_run(
        "boolean for a rate",
        RUN + "[cluster.swarmx]\nlink_bytes_per_s = false\n",
        f"{HERE}cluster.swarmx.link_bytes_per_s is false",
        "write a number",
    ),
    wrong_run(
        "boolean in a list",
        RUN + "[[cluster.exceptions]]\nsystems = [true]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.systems.0 is true",
        "write a whole number",
    ),
    wrong_run(
        "text for a switch",
        more("model", 'gated_mlp = "perhaps"'),
        f"{HERE}model.gated_mlp is 'perhaps'",
        "write true or false",
    ),
    wrong_run(
        "number for a name",
        with_line("cluster.name", "3"),
        f"{HERE}cluster.name is 3",
        "write one of ai_model_studio, andromeda",
    ),
    wrong_run(
        "table for a list",
        RUN + "[cluster.exceptions]\nsystems = [0]\n",
        f"{HERE}cluster.exceptions is ",
        "write a list",
    ),
    wrong_run(
        "list of numbers for a list of tables",
        more("cluster", "exceptions = [3]"),
        f"{HERE}cluster.exceptions.0 is 3",
        "write a table of keys",
    ),
    wrong_run(
        "number for a table", more("cluster", "memoryx = 3"), f"{HERE}cluster.memoryx is 3", "write a table of keys"
    ),
    wrong_run(
        "model is no table", "model = 3\n[cluster]\nname = 'cs2'\n", f"{HERE}model is 3", "write it as a table, [model]"
    ),
    wrong_run(
        "release as a number",
        more("cluster", "software_release = 2.1"),
        f"{HERE}cluster.software_release is 2.1",
        "write a text in quotes",
    ),
    wrong_run(
        "unknown word", more("training", 'precision = "fp8"'), f"{HERE}training.precision is 'fp8'", "use 'cbfloat16'"
    ),
    wrong_run(
        "word for a number",
        more("training", 'micro_batch_size = "autoo"'),
        f"{HERE}training.micro_batch_size",
        "'autoo'",
        "or one of 'auto'",
    ),
    wrong_run("name of nothing", 'name = ""\n' + RUN, f"{HERE}name is ''", "write a text of 1 to 200"),
    wrong_run(
        "name that controls terminals", 'name = "\\u001b[31m"\n' + RUN, f"{HERE}name is '\\x1b[31m'", "printable"
    ),
    wrong_run(
        "source is no text",
        with_line("vocab_size", "{ value = 9, source = 3 }"),
        f"{HERE}model.vocab_size.source is 3",
        "write a text",
    ),
    wrong_run(
        "unknown status",
        with_line("vocab_size", "{ value = 9, status = 'sure' }"),
        f"{HERE}model.vocab_size.status is 'sure'",
        "use one of vendor",
    ),
    wrong_run("unknown status of the file", "status = 'sure'\n" + RUN, f"{HERE}status is 'sure'", "use one of vendor"),
    wrong_run(
        "range of one",
        with_line("vocab_size", "{ value = 9, range = [9] }"),
        f"{HERE}model.vocab_size.range is [9]",
        "write two numbers",
    ),
    wrong_run(
        "range upside down",
        with_line("vocab_size", "{ value = 9, range = [10, 8] }"),
        f"{HERE}model.vocab_size.range is [10, 8]",
        "[lowest, highest]",
    ),
    wrong_run(
        "range of nothing",
        with_line("vocab_size", "{ value = 9, range = [nan, inf] }"),
        f"{HERE}model.vocab_size.range is [nan, inf]",
        "write two numbers",
    ),
]

UNITS = [
    wrong_run(
        "bytes for a rate",
        RUN + '[cluster.memoryx]\negress_bytes_per_s = "1.2 Tb"\n',
        f"{HERE}cluster.memoryx.egress_bytes_per_s",
        "'1.2 Tb' is in bytes, wanted bytes/s",
        '"1.2 Tb/s"',
    ),
    wrong_run(
        "hertz for bytes",
        RUN + '[cluster.system.wafer]\nsram_bytes = "40 GHz"\n',
        f"{HERE}cluster.system.wafer.sram_bytes",
        "is in Hz, wanted bytes",
        '"40 GB"',
    ),
    wrong_run(
        "unknown unit",
        RUN + '[cluster.system.wafer]\nsram_bytes = "40 gb"\n',
        f"{HERE}cluster.system.wafer.sram_bytes",
        "unknown unit 'gb'",
        '"40 GB"',
    ),
    wrong_run(
        "unit for a count",
        with_line("num_layers", '"2 GB"'),
        f"{HERE}model.num_layers",
        "is in bytes, wanted a plain number",
        "24",
    ),
    wrong_run(
        "unit in a range",
        RUN + '[cluster.system]\npower_w = { value = "20 kW", range = ["1 kW", "3 GB"] }\n',
        f"{HERE}cluster.system.power_w.range",
        "'3 GB' is in bytes, wanted W",
        '"23 kW"',
    ),
    Wrong(
        "unit in a file of one's own",
        ("error: mine.toml: cluster.memoryx.dram_bytes", "'1 TW' is in W, wanted bytes", '"40 GB"'),
        in_cluster_file('name = "mine"\nextends = "cs2"\n[memoryx]\ndram_bytes = "1 TW"\n'),
    ),
]

COUNTS = [
    *(
        wrong_run(f"{key} = {value}", with_line(key, value), f"{HERE}{table}.{key} is {value}; it must be more than 0")
        for table, key in [
            ("model", "num_layers"),
            ("model", "hidden_size"),
            ("model", "num_attention_heads"),
            ("model", "vocab_size"),
            ("training", "sequence_length"),
            ("training", "global_batch_size"),
            ("cluster", "num_systems"),
        ]
        for value in ("0", "-3")
    ),
    *(
        wrong_run(
            f"{line}",
            RUN + f"[cluster.{table}]\n{line}\n",
            f"{HERE}cluster.{table}.{line.split()[0]} is ",
            "it must be ",
        )
        for table, line in [
            ("memoryx", "egress_bytes_per_s = 0"),
            ("memoryx", "tensor_latency_s = -1"),
            ("swarmx", "fan_out = 1"),
            ("input", "num_workers_per_system = 0"),
            ("system.wafer", "sram_bytes = 0"),
            ("system.wafer", "float32_rate_factor = 1.5"),
            ("system.calibration", "gemm_efficiency = 2"),
            ("simulation", "max_steps = 1"),
        ]
    ),
    *(
        wrong_run(
            f"not a number: {value}",
            with_line("global_batch_size", value),
            f"{HERE}training.global_batch_size is {value}",
            "write a number",
        )
        for value in ("nan", "inf", "-inf")
    ),
    wrong_run(
        "nan share",
        more("training", "weight_sparsity = nan"),
        f"{HERE}training.weight_sparsity is nan",
        "write a number",
    ),
    wrong_run(
        "infinite latency",
        RUN + "[cluster.swarmx]\nhop_latency_s = inf\n",
        f"{HERE}cluster.swarmx.hop_latency_s is inf",
        "write a number",
    ),
    wrong_run(
        "all weights are zero",
        more("training", "weight_sparsity = 1.0"),
        f"{HERE}training.weight_sparsity is 1.0",
        "less than 1",
    ),
    wrong_run(
        "missing",
        RUN.replace("sequence_length = 128\n", ""),
        f"{HERE}training.sequence_length is missing",
        "add it, for example sequence_length = 2048",
    ),
    wrong_run(
        "missing table",
        RUN.replace("[cluster]", "[cluster.x]"),
        f"{HERE}cluster.name is missing",
        "name one of ai_model_studio, andromeda",
    ),
    wrong_run("no model", "[cluster]\nname = 'cs2'\n", f"{HERE}the table [model] is missing", "add it"),
    wrong_run(
        "both steps and tokens",
        more("training", "steps = 5\ntokens = 1e9"),
        f"{HERE}training.steps and tokens are both set",
        "keep one",
    ),
]

ABSURD = [
    *(
        wrong_run(f"{key} = {value}", with_line(key, value), f"{HERE}{table}.{key} is {value}; it must be at most ")
        for table, key, value in [
            ("model", "num_layers", "1000000000"),
            ("model", "hidden_size", "1000000000"),
            ("model", "num_attention_heads", "1000000000"),
            ("model", "vocab_size", "1000000000000"),
            ("training", "global_batch_size", "1000000001"),
            ("training", "sequence_length", "1000000000"),
            ("cluster", "num_systems", "100000000000"),
        ]
    ),
    *(
        wrong_run(
            f"absurd {line}",
            RUN + f"[cluster.{table}]\n{line}\n",
            f"{HERE}cluster.{table}.{line.split()[0]} is ",
            "it must be at ",
        )
        for table, line in [
            ("simulation", "chunks_per_layer = 1_000_000_000"),
            ("simulation", "max_steps = 1_000_000_000"),
            ("swarmx", "fan_out = 1_000_000_000"),
            ("swarmx", "hop_latency_s = 1e300"),
            ("memoryx", "egress_bytes_per_s = 1e-300"),
            ("memoryx", "wire_bytes_per_weight = 1e300"),
            ("system.wafer", "clock_hz = 1e-300"),
            ("system.wafer", f"num_cores = 1{'0' * 400}"),
            ("system.calibration", "gemm_efficiency = 1e-300"),
            ("input", "prefetch_micro_batches = 1_000_000_000"),
            ("input", "bytes_per_token = 1e308"),
        ]
    ),
    wrong_run(
        "max_systems = 10**9",
        more("cluster", "max_systems = 1_000_000_000"),
        f"{HERE}cluster.max_systems is 1000000000",
        "at most 100,000",
    ),
    wrong_run(
        "10**9 tokens of everything",
        more("training", "tokens = 1e30"),
        f"{HERE}training.tokens is 1e+30",
        "at most 1e+20",
    ),
    wrong_run(
        "10**9 systems",
        with_line("num_systems", "1_000_000_000"),
        "1,000,000,000 systems are more than the fabric",
        "at most 192",
        code=1,
    ),
    wrong_run(
        "buffer of a byte",
        RUN + "[cluster.system.wafer]\nweight_buffer_bytes = 1\n",
        f"{HERE}cluster.system.wafer",
        "raise weight_buffer_bytes",
    ),
    wrong_run(
        "5000 digits", with_line("num_layers", "9" * 5000), f"{HERE}is not valid TOML", "thousands of digits", "correct"
    ),
    wrong_run(
        "5000 hexadecimal digits",
        with_line("num_layers", "0x" + "f" * 5000),
        f"{HERE}model.num_layers is a value of absurd size",
        "at most 4,096",
    ),
    wrong_run("10**5 brackets", "a = " + "[" * 100_000 + "]" * 100_000, f"{HERE}is nested too deeply", "right file?"),
    wrong_run(
        "10**5 braces", "a = " + "{a=" * 100_000 + "1" + "}" * 100_000, f"{HERE}is nested too deeply", "right file?"
    ),
    wrong_run("10**5 dots", "a." * 100_000 + "a = 1", f"{HERE}has a key of more than 50 parts", "right file?"),
    wrong_run(
        "10**5 dots in a header", "[" + "a." * 100_000 + "a]", f"{HERE}has a key of more than 50 parts", "right file?"
    ),
    wrong_run(
        "10**4 keys",
        more("model", "\n".join(f"k{n} = 1" for n in range(10_000))),
        f"{HERE}model.k0 is not a known key",
        "and 9980 more problems",
    ),
    wrong_run("2 MB", b"#" * 2_000_000, f"{HERE}is larger than 1 MB", "right file?"),
]

CONTRADICTIONS = [
    wrong_run(
        "two batches",
        more("training", "batch_size_per_system = 8"),
        f"{HERE}training.batch_size_per_system stands beside global_batch_size, and says the same thing twice; keep one",
    ),
    wrong_run(
        "positions",
        with_line("sequence_length", "129"),
        f"{HERE}training.sequence_length is 129",
        "128 learned positions",
        "use at most 128",
    ),
    wrong_run(
        "heads",
        with_line("num_attention_heads", "3"),
        f"{HERE}model.hidden_size",
        "256 is not divisible by num_attention_heads = 3",
        "change one",
    ),
    wrong_run(
        "key-value heads",
        more("model", "num_key_value_heads = 3"),
        f"{HERE}model.num_key_value_heads",
        "3 does not divide",
        "divisors",
    ),
    wrong_run(
        "experts",
        more("model", "experts_per_token = 2"),
        f"{HERE}model.experts_per_token",
        "more than num_experts = 1",
        "add experts",
    ),
    wrong_run(
        "masks of a decoder",
        more("model", "masked_positions = 5"),
        f"{HERE}model.masked_positions is for encoders",
        "set causal = false",
    ),
    wrong_run(
        "masks",
        more("model", "masked_positions = 500\ncausal = false"),
        f"{HERE}model.masked_positions is 500",
        "sequence_length = 128",
        "use at most 128",
    ),
    wrong_run(
        "release abc",
        more("cluster", 'software_release = "abc"'),
        f"{HERE}cluster.software_release is 'abc'",
        'such as "2.1"',
    ),
    wrong_run(
        "release of digits",
        more("cluster", f'software_release = "{"9" * 5000}"'),
        f"{HERE}cluster.software_release is '999",
        'such as "2.1"',
    ),
    wrong_run(
        "calibrated release abc",
        RUN + "[cluster.system.calibration.releases]\nabc = 1\n",
        f"{HERE}cluster.system.calibration.releases.abc is 'abc'",
        'such as "2.1"',
    ),
    wrong_run(
        "factor of a release as text",
        RUN + '[cluster.system.calibration.releases]\n"2.4" = "1"\n',
        f"{HERE}cluster.system.calibration.releases.2.4 is '1'",
        "write a number",
    ),
    wrong_run(
        "exception beyond the cluster",
        RUN + "[[cluster.exceptions]]\nsystems = [0, 2]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.systems names system 2",
        "num_systems = 2 numbers them 0 to 1",
        "drop it or raise num_systems",
    ),
    wrong_run(
        "exception of a negative system",
        RUN + "[[cluster.exceptions]]\nsystems = [-1]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.systems.0 is -1",
        "at least 0",
    ),
    wrong_run(
        "exception names a system twice",
        RUN + "[[cluster.exceptions]]\nsystems = [1, 1]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.systems names 1 twice",
        "drop one",
    ),
    wrong_run(
        "exception of nothing",
        RUN + "[[cluster.exceptions]]\nsystems = [1]\n",
        f"{HERE}cluster.exceptions.0.systems differ in nothing",
        "for example speed",
    ),
    wrong_run(
        "exception of nobody",
        RUN + "[[cluster.exceptions]]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.systems is missing",
        "name systems = [3]",
    ),
    wrong_run(
        "two exceptions contradict each other",
        RUN + 2 * "[[cluster.exceptions]]\nsystems = [1]\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.1.speed is set for 1",
        "keep one",
    ),
    wrong_run(
        "exception of no node",
        RUN + "[[cluster.exceptions]]\nnodes = ['swarmx.9.9']\nlink_latency_s = 1\n",
        f"{HERE}cluster.exceptions",
        "'swarmx.9.9' is not in the tree",
        "swarmx.1.0",
    ),
    wrong_run(
        "speed of a node",
        RUN + "[[cluster.exceptions]]\nnodes = ['swarmx.1.0']\nspeed = 0.5\n",
        f"{HERE}cluster.exceptions.0.speed belongs to systems",
        "an exception of its own",
    ),
]

LONG = 'position_embedding = "rotary"'
TOO_LARGE = [
    wrong_run(
        "MemoryX",
        with_line("hidden_size", "131072").replace("num_layers = 2", "num_layers = 96"),
        "TB in MemoryX",
        "which holds 12.0 TB",
        "set cluster.memoryx.flash_bytes to at least",
        code=1,
    ),
    wrong_run(
        "layer",
        more("model", LONG)
        .replace("hidden_size = 256", "hidden_size = 65_536")
        .replace("length = 128", "length = 131_072"),
        "one sequence of 131,072 tokens needs 275 GB of working set",
        "shorten training.sequence_length to at most 19,073",
        "make the model narrower",
        code=1,
    ),
    wrong_run(
        "sequence",
        more("model", LONG).replace("sequence_length = 128", "sequence_length = 1_000_000"),
        "a sequence of 1,000,000 tokens is longer than a pass over a CS-2 wafer may be, 262,144 tokens",
        "shorten training.sequence_length to at most that",
        code=1,
    ),
    wrong_run(
        "micro-batch",
        more("training", "micro_batch_size = 100_000").replace("global_batch_size = 16", "global_batch_size = 200_000"),
        "a micro-batch of 100000 sequences does not fit",
        "lower training.micro_batch_size",
        code=1,
    ),
    wrong_run(
        "fabric",
        with_line("num_systems", "193").replace("global_batch_size = 16", "global_batch_size = 193"),
        "193 systems are more than the fabric of CS-2 cluster takes, 192",
        "set cluster.num_systems to at most 192",
        code=1,
    ),
    wrong_set(
        "cluster.num_systems=17",
        "17 systems are more than the fabric of Andromeda takes, 16",
        "at most 16",
        run=with_line("global_batch_size", "17").replace('"cs2"', '"andromeda"'),
        code=1,
    ),
    wrong_run(
        "all of it at once",
        more("model", LONG)
        .replace("num_systems = 2", "num_systems = 193")
        .replace("length = 128", "length = 131_072")
        .replace("global_batch_size = 16", "global_batch_size = 193")
        .replace("hidden_size = 256", "hidden_size = 131072")
        .replace("num_layers = 2", "num_layers = 96"),
        "193 systems",
        "MemoryX",
        "working set",
        code=1,
    ),
]

HF = '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}'


def by_path(name: str) -> str:
    """The run with a model from a file."""
    return f"[model]\npath = {name!r}\n[training]" + RUN.split("[training]")[1]


FILES = [
    Wrong(
        "no such file", ("error: nowhere.toml: there is no such file", "check the path"), {}, ("run", "nowhere.toml")
    ),
    Wrong("no such folder", ("error: a/b/c: there is no such file", "check the path"), {}, ("run", "a/b/c")),
    Wrong("folder", ("error: sub: is a folder", "name a file in it"), {"sub/x.toml": ""}, ("run", "sub")),
    Wrong("nothing", ("is a folder", "name a file"), {}, ("run", "")),
    Wrong("no path", ("cannot be read", "check the path"), {}, ("run", "a\0b.toml")),
    Wrong("long path", ("run 'xxx", "is not in the catalogue", "wsesim list runs"), {}, ("run", "x" * 5000)),
    Wrong("endless file", ("error: /dev/zero: is a device", "name a file"), {}, ("run", "/dev/zero")),
    wrong_run("binary file", bytes(range(256)), f"{HERE}is not text in UTF-8", "right file?"),
    wrong_run("Latin-1", "name = 'é'".encode("latin-1"), f"{HERE}is not text in UTF-8", "save it as UTF-8"),
    wrong_run("UTF-16", RUN.encode("utf-16"), f"{HERE}is not text in UTF-8", "save it as UTF-8"),
    wrong_run("empty file", "", f"{HERE}the table [model] is missing", "add it"),
    wrong_run("broken TOML", RUN + "[x\n", f"{HERE}is not valid TOML", "line 16", "correct that line"),
    wrong_run("key twice", RUN + "num_systems = 3\n", f"{HERE}is not valid TOML", "line 16", "correct that line"),
    wrong_run("a day that does not exist", "day = 1979-02-30\n" + RUN, f"{HERE}is not valid TOML", "correct that line"),
    wrong_run("JSON", '{"a": 1}', f"{HERE}is JSON, and this has to be TOML", "becomes a run with `wsesim import FILE`"),
    wrong_run("YAML", "a: 1", f"{HERE}is not valid TOML", "correct that line"),
    wrong_run(
        "model file is not there",
        by_path("config.json"),
        f"{HERE}model.path is 'config.json'",
        "there is no such file",
        "check the path",
    ),
    wrong_run("model file is a folder", by_path("."), f"{HERE}model.path is a folder without config.json"),
    wrong_run(
        "model file of another kind",
        by_path("weights.bin"),
        f"{HERE}model.path is 'weights.bin'",
        "ends in .bin",
        "params.yaml",
        weights_bin=b"x",
    ),
    wrong_run(
        "model file is a number", by_path("x").replace("'x'", "3"), f"{HERE}model.path is 3", "write the path of a file"
    ),
    wrong_run(
        "broken JSON", by_path("m.json"), "error: m.json: is not valid JSON", "line 1", "correct that line", m_json="{"
    ),
    wrong_run(
        "deep JSON", by_path("m.json"), "error: m.json: is not valid JSON", "correct that line", m_json="[" * 100_000
    ),
    wrong_run(
        "binary JSON", by_path("m.json"), "error: m.json: is not text in UTF-8", "right file?", m_json=bytes(range(256))
    ),
    wrong_run("JSON of a list", by_path("m.json"), "error: m.json: holds a list", "one mapping", m_json="[1]"),
    wrong_run(
        "JSON of another model",
        by_path("m.json"),
        "error: m.json: is a model of type resnet, which reads pictures",
        "is not modelled",
        m_json='{"model_type": "resnet"}',
    ),
    wrong_run(
        "JSON with a wrong value",
        by_path("m.json"),
        "error: m.json: n_layer is 'two'",
        "write a whole number",
        m_json=HF.replace('"n_layer": 2', '"n_layer": "two"'),
    ),
    wrong_run(
        "broken YAML",
        by_path("m.yaml"),
        "error: m.yaml: is not valid YAML",
        "line 1",
        "correct that line",
        m_yaml="a: [1",
    ),
    wrong_run("deep YAML", by_path("m.yaml"), "error: m.yaml: is nested too deeply", "right file?", m_yaml="[" * 500),
    wrong_run(
        "YAML of something else",
        by_path("m.yaml"),
        "error: m.yaml: has neither a model nor a trainer",
        "params file",
        m_yaml="a: 1",
    ),
    wrong_run("empty YAML", by_path("m.yaml"), "error: m.yaml: holds None", "one mapping", m_yaml=""),
]

NAMES = [
    Wrong(
        "run",
        ("error: run 'andromeda_13' is not in the catalogue", "did you mean andromeda_13b?"),
        {},
        ("run", "andromeda_13"),
    ),
    Wrong("run, nothing near", ("error: run 'x' is not in the catalogue", "wsesim list runs"), {}, ("run", "x")),
    wrong_run(
        "cluster",
        RUN.replace('"cs2"', '"andromedaa"'),
        f"{HERE}cluster.name: cluster 'andromedaa' is not in the catalogue",
        "did you mean andromeda?",
    ),
    wrong_run(
        "cluster with an override",
        RUN.replace('"cs2"', '"andromedaa"') + "[cluster.memoryx]\ndram_bytes = 1\n",
        f"{HERE}cluster.name: cluster 'andromedaa' is not in the catalogue",
        "did you mean andromeda?",
    ),
    wrong_run(
        "cluster file",
        RUN.replace('"cs2"', '"nowhere.toml"'),
        f"{HERE}cluster.name is 'nowhere.toml'",
        "there is no such file",
        "check the path",
    ),
    wrong_run(
        "model",
        RUN.replace('"tiny"', '"gpt3-175"').replace(
            "num_layers = 2\nhidden_size = 256\nnum_attention_heads = 4\nvocab_size = 1000\n", ""
        ),
        f"{HERE}model.name: model 'gpt3-175' is not in the catalogue",
        "did you mean gpt3-175b?",
    ),
    wrong_run(
        "system",
        more("cluster", 'system = "cs22"'),
        f"{HERE}cluster.system: system 'cs22' is not in the catalogue",
        "did you mean cs2?",
    ),
    wrong_run(
        "calibration",
        RUN + '[cluster.system]\ncalibration = "cs22"\n',
        f"{HERE}cluster.system.calibration: calibration 'cs22' is not in the catalogue",
        "did you mean cs2?",
    ),
    wrong_run(
        "extended run",
        'extends = "nowhere"\n' + RUN,
        f"{HERE}extends: run 'nowhere' is not in the catalogue",
        "wsesim list runs",
    ),
    wrong_run(
        "extended file",
        'extends = "nowhere.toml"\n' + RUN,
        f"{HERE}extends is 'nowhere.toml'",
        "there is no such file",
        "check the path",
    ),
    wrong_run("extends a list", 'extends = ["a"]\n' + RUN, f"{HERE}extends is ['a']", "name one file"),
    wrong_run("extends nothing", 'extends = ""\n' + RUN, f"{HERE}extends is ''", "name one file"),
    wrong_run("extends itself", 'extends = "run.toml"\n' + RUN, f"{HERE}extends goes in a circle", "break it"),
    wrong_run(
        "extends in a circle",
        'extends = "b.toml"\n' + RUN,
        ".toml: extends goes in a circle",
        "break it",
        b_toml='extends = "run.toml"\n',
    ),
    Wrong(
        "clusters extend in a circle",
        ("error: mine.toml: extends goes in a circle", "break it"),
        in_cluster_file('name = "x"\nextends = "mine.toml"\n'),
    ),
    Wrong(
        "error in the extended file",
        ("error: base.toml: training.global_batch_size is -4", "more than 0"),
        {"run.toml": 'extends = "base.toml"\nname = "x"\n', "base.toml": with_line("global_batch_size", "-4")},
    ),
    Wrong("explain", ("error: 'cs4' is not in the catalogue", "did you mean cs3?"), {}, ("explain", "cs4")),
    Wrong("explain nothing", ("error: '' is not in the catalogue", "wsesim list"), {}, ("explain", "")),
    Wrong(
        "explain a path",
        ("error: '../systems/cs2.toml' is not in the catalogue", "wsesim list"),
        {},
        ("explain", "../systems/cs2.toml"),
    ),
    Wrong("engine", ("--engine", "'turbo'", "'recurrence'"), {}, ("run", "bert_large", "--engine", "turbo")),
    Wrong(
        "layers without a trace",
        ("error: --layers needs the trace", "drop one"),
        {},
        ("run", "bert_large", "--layers", "--engine", "recurrence"),
    ),
    Wrong(
        "--calibration",
        ("error: --calibration: calibration 'cs22' is not in the catalogue", "did you mean cs2?"),
        {},
        ("validate", "micro-batch", "--calibration", "cs22"),
    ),
    Wrong(
        "--calibration file",
        ("error: --calibration is 'x.toml'", "there is no such file", "check the path"),
        {},
        ("validate", "micro-batch", "--calibration", "x.toml"),
    ),
    Wrong("list", ("error: 'system' is not a kind", "did you mean systems?"), {}, ("list", "system")),
    Wrong(
        "set",
        ("error: set 'usc-gp' is not among the published measurements", "did you mean usc-gpt?"),
        {},
        ("validate", "usc-gp"),
    ),
    Wrong(
        "--system",
        ("error: --system: system 'cs22' is not in the catalogue", "did you mean cs2?"),
        {},
        ("calibrate", "--system", "cs22"),
    ),
    Wrong(
        "--system file",
        ("error: --system is 'x.toml'", "there is no such file", "check"),
        {},
        ("calibrate", "--system", "x.toml"),
    ),
]

SETTINGS = [
    *(
        wrong_set(setting, "error: --set ", "is not KEY=VALUE", "write for example --set cluster.num_systems=64")
        for setting in (
            "",
            "=",
            "=5",
            "cluster",
            "cluster.num_systems",
            "a..b=1",
            ".=1",
            "cluster.=1",
            "a." * 5000 + "a=1",
        )
    ),
    wrong_set("x=1", f"{SET}x is not a known key", "a run has name"),
    wrong_set("cluster.num_system=4", f"{SET}cluster.num_system is not a known key", "did you mean num_systems?"),
    wrong_set("cluster.num_systems=", f"{SET}cluster.num_systems", "'' is not a number", "for example 4"),
    wrong_set("cluster.num_systems=four", f"{SET}cluster.num_systems", "'four' is not a number", "for example 4"),
    wrong_set("cluster.num_systems=4\nfoo=3", f"{SET}cluster.num_systems", "unknown unit", "for example 4"),
    wrong_set("cluster.num_systems.x=4", f"{SET}cluster.num_systems is {{'x': 4}}", "write a whole number"),
    wrong_set("cluster=4", f"{SET}cluster is 4", "write it as a table"),
    wrong_set("cluster.memoryx=4", f"{SET}cluster.memoryx is 4", "write a table of keys"),
    wrong_set(
        "cluster.swarmx.link_bytes_per_s=1 TB",
        f"{SET}cluster.swarmx.link_bytes_per_s",
        "is in bytes, wanted bytes/s",
        '"1.2 Tb/s"',
    ),
    wrong_set("cluster.name=cs22", f"{SET}cluster.name: cluster 'cs22' is not in the catalogue", "did you mean cs2?"),
    wrong_set(
        "cluster.system.calibration=nowhere.toml",
        f"{SET}cluster.system.calibration is 'nowhere.toml'",
        "there is no such file",
    ),
    wrong_set("training.steps=0", f"{SET}training.steps is 0", "more than 0"),
    wrong_set("extends=andromeda_13b", f"{SET}extends is not a known key", "a run has"),
    Wrong(
        "--set steps and tokens",
        (f"{SET}training.steps and tokens are both set", "keep one"),
        {"run.toml": RUN},
        ("run", "run.toml", "--set", "training.steps=5", "--set", "training.tokens=1e9"),
    ),
]

ROW = "use,model,system,software_release,num_systems,metric,global_batch_size,value\n"
MEASUREMENTS = [
    Wrong("no table", ("error: mine.csv: there is no such file", "check the path"), {}, ("validate", "mine.csv")),
    Wrong("folder", ("error: sub.csv: is a folder", "name a file"), {"sub.csv/x": ""}, ("validate", "sub.csv")),
    wrong_table("empty", "", "error: mine.csv: is empty", "the first line must name the columns"),
    wrong_table("header only", "model,value\n", "error: mine.csv: holds no row that can be used", "metrics are"),
    wrong_table(
        "only context",
        "use,model,value\ncontext,x,1\n",
        "error: mine.csv: holds no row that can be used",
        "metrics are",
    ),
    wrong_table(
        "unknown column", "model,valeu\n", "error: mine.csv: column 'valeu' is not known", "did you mean value?"
    ),
    wrong_table(
        "column twice",
        "value,layers,num_layers\n1,2,3\n",
        "error: mine.csv: column 'num_layers' is there twice",
        "keep one",
    ),
    wrong_table(
        "no value", "model,global_batch_size\nx,3\n", "error: mine.csv: has no column `value`", "must name the columns"
    ),
    wrong_table(
        "semicolons", "model;value\nx;3\n", "error: mine.csv: the first line", "no commas", "separate columns by commas"
    ),
    wrong_table(
        "cell too few", TABLE + "x,3\n", "error: mine.csv: line 3 has 2 cells, the header 3", "correct the line"
    ),
    wrong_table(
        "cell too many", TABLE + "x,3,4,5\n", "error: mine.csv: line 3 has 4 cells, the header 3", "correct the line"
    ),
    wrong_table("endless cell", 'a,value\n"' + "x" * 200_000, "error: mine.csv: is not a CSV table", "right file?"),
    wrong_table("binary", bytes(range(256)), "error: mine.csv: is not text in UTF-8", "right file?"),
    *(
        wrong_table(
            f"value {value!r}", TABLE.replace("690", value), f"error: mine.csv: line 2: value is {finding}", remedy
        )
        for value, finding, remedy in [
            ("abc", "'abc'", "write a plain number"),
            ("0", "0", "more than 0"),
            ("-3", "-3", "more than 0"),
            ("nan", "nan", "more than 0"),
            ("inf", "inf", "more than 0"),
            ("1e-300", "1e-300", "more than 0"),
            ("1e300", "1e+300", "to 1e+15"),
            ('"7,5"', "'7,5'", "write a plain number"),
        ]
    ),
    wrong_table(
        "no batch", TABLE.replace("120", ""), "error: mine.csv: line 2: global_batch_size is missing", "add it"
    ),
    wrong_table(
        "half a sequence",
        TABLE.replace("120", "120.5"),
        "error: mine.csv: line 2: global_batch_size is 120.5",
        "write a whole number",
    ),
    wrong_table(
        "unknown model",
        TABLE.replace("111m", "111"),
        "error: mine.csv: line 2: model 'cerebras-gpt-111' is not in the catalogue",
        "did you mean cerebras-gpt-111m?",
    ),
    wrong_table(
        "no model",
        TABLE.replace("cerebras-gpt-111m", ""),
        "error: mine.csv: line 2: model '' is not in the catalogue",
        "add hidden_size and num_layers",
    ),
    wrong_table(
        "unknown use",
        ROW + "fit,gpt2,cs2,2.1,1,,4,5\n",
        "error: mine.csv: line 2: use is 'fit'",
        "write one of calibration",
    ),
    wrong_table(
        "unknown system", ROW + ",gpt2,cs9,2.1,1,,4,5\n", "error: mine.csv: line 2: system is 'cs9'", "write cs2 or cs3"
    ),
    wrong_table(
        "unknown release",
        ROW + ",gpt2,cs2,abc,1,,4,5\n",
        "error: mine.csv: line 2: software_release is 'abc'",
        'such as "2.1"',
    ),
    wrong_table(
        "unknown metric",
        ROW + ",gpt2,cs2,2.1,1,sample_per_s,4,5\n",
        "error: mine.csv: line 2: metric 'sample_per_s' is not known",
        "did you mean samples_per_s?",
    ),
    wrong_table(
        "does not fit",
        ROW + ",megatron-1t,cs2,2.1,1,,4,5\n",
        "error: mine.csv: line 2: the model needs 20.2 TB",
        "flash_bytes",
        code=1,
    ),
    wrong_table(
        "too many systems",
        ROW + ",cerebras-gpt-111m,cs2,2.1,193,,193,5\n",
        "error: mine.csv: line 2: 193 systems",
        "at most 192",
        code=1,
    ),
    wrong_table(
        "past the tolerance", TABLE, "past the stated tolerance: all (calibration)", "wsesim calibrate", code=1
    ),
]

LOG = {"train.log": LOG_LINE}
WITH_RUN = ("calibrate", "train.log", "--run", "cerebras_gpt_111m")
CALIBRATE = [
    Wrong(
        "log without run",
        ("error: train.log: a log does not say what was trained", "add --run RUN"),
        LOG,
        ("calibrate", "train.log"),
    ),
    Wrong("no log", ("error: train.log: there is no such file", "check the path"), {}, WITH_RUN),
    Wrong(
        "log without rates",
        ("error: train.log: holds no line such as `| Train", "give a log"),
        {"train.log": "hello\n"},
        WITH_RUN,
    ),
    Wrong(
        "binary log",
        ("error: train.log: holds no line such as", "give a log"),
        {"train.log": bytes(range(256))},
        WITH_RUN,
    ),
    Wrong(
        "log of evaluations",
        ("error: train.log: holds no line such as", "give a log"),
        {"train.log": LOG_LINE.replace("Train", "Eval")},
        WITH_RUN,
    ),
    Wrong(
        "log with rates that are no numbers",
        ("error: train.log: holds no line such as", "give a log"),
        {"train.log": LOG_LINE.replace("492.40", "4.9.2")},
        WITH_RUN,
    ),
    Wrong(
        "log with rates beyond numbers",
        ("error: train.log: holds no line such as", "give a log"),
        {"train.log": LOG_LINE.replace("492.40", "9" * 400)},
        WITH_RUN,
    ),
    Wrong(
        "log that stands still",
        ("error: train.log: the median rate is 0.0", "give a log of a run that trains"),
        {"train.log": LOG_LINE.replace("492.40", "0.00")},
        WITH_RUN,
    ),
    Wrong(
        "log of one endless line",
        ("error: train.log: holds no line such as", "give a log"),
        {"train.log": "Step=1 " * 100_000},
        WITH_RUN,
    ),
    Wrong(
        "log of another system",
        ("error: --run sparse_6.7b_cs3: is for CS-3, not for cs2", "choose it with --system"),
        LOG,
        ("calibrate", "train.log", "--run", "sparse_6.7b_cs3"),
    ),
    Wrong(
        "unknown run",
        ("error: run 'x' is not in the catalogue", "wsesim list runs"),
        LOG,
        ("calibrate", "train.log", "--run", "x"),
    ),
    Wrong(
        "run with a table",
        ("error: --run x: belongs to a log", "leave --run out"),
        {"mine.csv": TABLE},
        ("calibrate", "mine.csv", "--run", "x"),
    ),
    Wrong("run with nothing", ("error: --run x: belongs to a log", "leave --run out"), {}, ("calibrate", "--run", "x")),
    Wrong(
        "no row of the system",
        ("error: mine.csv: no row marked calibration for system cs3", "check the columns use and system"),
        {"mine.csv": TABLE},
        ("calibrate", "mine.csv", "--system", "cs3"),
    ),
    Wrong(
        "no rate",
        ("error: no measured rate among the rows", "add rows with the metric samples_per_s"),
        {"mine.csv": "model,metric,value\ngpt3-175b,num_lanes,3\n"},
        ("calibrate", "mine.csv"),
    ),
    Wrong(
        "--out without folder",
        ("error: --out sub/x.toml: there is no folder sub", "choose a file in a folder that exists"),
        LOG,
        (*WITH_RUN, "--out", "sub/x.toml"),
    ),
    Wrong(
        "--out is a folder",
        ("error: --out sub.toml: is a folder", "choose a file"),
        {**LOG, "sub.toml/x": ""},
        (*WITH_RUN, "--out", "sub.toml"),
    ),
    Wrong(
        "--out that no run would find",
        ("error: --out mine: does not end in .toml", "mine.toml"),
        LOG,
        (*WITH_RUN, "--out", "mine"),
    ),
    Wrong(
        "--out over the log",
        ("error: --out train.log: does not end in .toml", "write for example"),
        LOG,
        (*WITH_RUN, "--out", "train.log"),
    ),
    Wrong(
        "--out that cannot be written",
        ("error: --out", "cannot be written", "choose a file"),
        LOG,
        (*WITH_RUN, "--out", "x" * 252 + ".toml"),
    ),
    Wrong(
        "--out where nothing can be written",
        ("error: --out /proc/x.toml: cannot be written", "choose a folder"),
        LOG,
        (*WITH_RUN, "--out", "/proc/x.toml"),
    ),
]

EVERY = [
    *UNKNOWN_KEYS,
    *TYPES,
    *UNITS,
    *COUNTS,
    *ABSURD,
    *CONTRADICTIONS,
    *TOO_LARGE,
    *FILES,
    *NAMES,
    *SETTINGS,
    *MEASUREMENTS,
    *CALIBRATE,
]


def files_in(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


@pytest.mark.parametrize("wrong", EVERY, ids=lambda wrong: wrong.id)
def test_wrong_input_is_one_message(wrong: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in wrong.files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = files_in(tmp_path)
    outcome = call(*wrong.argv)
    assert outcome.code == wrong.code, outcome.err
    if "Usage: " not in outcome.err:  # the parser of the command line has a form of its own
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("error: ") == 1, "one message"
    assert "Traceback" not in outcome.err
    place = 0
    for word in wrong.words:
        found = outcome.err.find(word, place)
        assert found >= 0, f"{word!r} is not in {outcome.err[place:]!r}"
        place = found
    assert outcome.out == "" or wrong.id == "past the tolerance"
    assert files_in(tmp_path) == before, "nothing is written"


def test_the_good_run_is_good(tmp_path: Path) -> None:
    """What the table above breaks works as it stands."""
    path = tmp_path / "run.toml"
    for text in (RUN, "\ufeff" + RUN, RUN.replace("\n", "\r\n")):
        path.write_bytes(text.encode())
        assert call("run", path).code == 0


def test_all_problems_of_a_file_come_together(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(RUN.replace("= 2\n", '= "two"\n').replace("= 128", "= -1").replace("= 1000", '= "1 s"'))
    lines = call("run", path).err.splitlines()
    keys = ("num_layers", "vocab_size", "max_position_embeddings", "sequence_length", "num_systems")
    for key in keys:
        assert sum(f".{key}" in line for line in lines) == 1, key
    assert len(lines) == len(keys)


def test_a_problem_is_reported_where_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that extends a run in another folder, on a cluster whose system comes from a third one."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "runs/run.toml": 'extends = "../base/base.toml"\n',
        "base/base.toml": RUN.replace('"cs2"', '"../machines/cluster.toml"'),
        "machines/cluster.toml": 'name = "mine"\nextends = "cs2"\nsystem = "parts/system.toml"\n',
        "machines/parts/system.toml": 'name = "CS-2"\nextends = "cs2"\ncalibration = "calibration.toml"\n',
        "machines/parts/calibration.toml": 'extends = "cs2"\ngemm_efficiency = 0.5\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    assert wsesim.load("runs/run.toml").cluster.system.calibration.gemm_efficiency == 0.5
    for name, line, problem in [
        ("machines/parts/calibration.toml", "gemm_efficiency = 5", "cluster.system.calibration.gemm_efficiency is 5"),
        ("machines/parts/system.toml", 'power_w = "1 GB"', "cluster.system.power_w: '1 GB' is in bytes"),
        ("machines/cluster.toml", "max_systems = 0", "cluster.max_systems is 0"),
        ("base/base.toml", "software_release = 2.1", "cluster.software_release is 2.1"),
    ]:
        path = tmp_path / name
        good = path.read_text()
        key = line.split()[0]
        path.write_text("".join(old for old in good.splitlines(keepends=True) if not old.startswith(key)) + line + "\n")
        with pytest.raises(ConfigError) as caught:
            wsesim.load("runs/run.toml")
        assert str(caught.value).startswith(f"{name}: {problem}")
        path.write_text(good)
