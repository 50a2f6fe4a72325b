"""What is asked: every catalogue run, and each command in the ways that people use it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from typing import Any

from tests import test_wrong_input as wrong
from tests.record.page import PART
from tests.record.question import ROOT, Ask, Pages, Question, Refused, Schema, Script
from tests.record.reading import as_json, first_bytes, page, svg, table, text, trace

DATA = ROOT / "tests" / "config" / "data"
RUNS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "cluster_configs" / "runs").glob("*.toml")}


def _data(name: str) -> str:
    """A file of another program."""
    return (DATA / name).read_text(encoding="utf-8")


# Runs

ON_GPUS = sorted(name for name, content in RUNS.items() if "parallelism" in content)
ON_WAFERS = sorted(RUNS.keys() - set(ON_GPUS))
LARGE = "gpt_1t_cs2_192"
"""The links of its 192 systems alone fill a file."""

OWN_RUNS = {
    "fields": """\
[model]
name                    = "wide and shallow"
num_layers              = 24
hidden_size             = 8192
num_attention_heads     = 64
num_key_value_heads     = 8
intermediate_size       = 28_672
gated_mlp               = true
normalization           = "rmsnorm"
position_embedding      = "rotary"
vocab_size              = 128_256
tie_embeddings          = false
qkv_bias                = false
attention_output_bias   = false
mlp_bias                = false

[training]
sequence_length   = 4096
global_batch_size = 512
tokens            = "chinchilla"

[cluster]
name        = "cs3"
num_systems = 8
""",
    "machine": """\
extends = "andromeda_13b"

[cluster]
num_systems             = 3
pue                     = 1.1
electricity_usd_per_kwh = "0.12 USD/kWh"
carbon_kg_per_kwh       = "57 g/kWh"

[cluster.system]
power_w = { value = "21 kW", range = ["18 kW", "23 kW"], source = "our meter, spring", status = "measured" }

[cluster.system.wafer]
io_bytes_per_s = "0.6 Tb/s"

[[cluster.exceptions]]
systems = [1]
speed = 0.7
port = 0.5
""",
    "gpus": """\
name = "13B on 128 H100"

[parallelism]
tensor_parallel_size = 8
pipeline_parallel_size = 4
virtual_pipeline_size = 2
activation_recompute = "full"

[model]
name = "cerebras-gpt-13b"

[training]
sequence_length   = 2048
global_batch_size = 1024
tokens            = 257e9

[cluster]
name     = "dgx_h100"
num_gpus = 128
""",
    "experts": """\
parallelism = "auto"

[model]
name = "mixtral-8x7b"

[training]
sequence_length = 4096
global_batch_size = 256
tokens = "chinchilla"

[cluster]
name = "dgx_h100"
num_gpus = 64
""",
}
HUGGING_FACE = ("bert-base.json", "gpt-neox-20b.json", "llama-3-8b.json", "mixtral-8x7b.json")
MODEL_ZOO = ("params_bert_base_flat.yaml", "params_gpt3_1p3b_trainer.yaml", "params_gptj_6b_flat.yaml")
FOREIGN = {**dict.fromkeys(HUGGING_FACE, "config.json"), **dict.fromkeys(MODEL_ZOO, "params.yaml")}
"""Files of other programs, and the names that they go by."""


def _foreign_run(name: str) -> str:
    training = "" if name.endswith("yaml") else "[training]\nsequence_length = 512\nglobal_batch_size = 640\n"
    return f'[model]\npath = "{FOREIGN[name]}"\n{training}[cluster]\nname = "cs3"\nnum_systems = 4\n'


SETTINGS = {
    "engine": "run andromeda_13b --engine recurrence --json",
    "scaled": "run andromeda_13b --set cluster.num_systems=16 --json",
    "uneven": "run cerebras_gpt_111m --set cluster.num_systems=7 --set training.global_batch_size=500 --json",
    "sparse": "run andromeda_13b --set training.weight_sparsity=0.75 --json",
    "no_norm": "run andromeda_13b --set training.max_gradient_norm=0 --set training.optimizer=sgd --json",
    "slow_port": 'run andromeda_13b --set "cluster.system.wafer.io_bytes_per_s=0.1 Tb/s" --json',
    "release": "run bert_large --set cluster.software_release=2.0 --json",
    "unknown_release": "run cerebras_gpt_111m --set cluster.software_release=9.9 --json",
    "other_system": "run cerebras_gpt_111m --set cluster.system=cs3 --json",
    "carried": "run gpt3_13b_256xa100 --set cluster.name=dgx_h100 --set cluster.num_gpus=128 --json",
    "zero_3": "run cerebras_gpt_13b_gpu --set parallelism.zero_stage=3 --json",
}


def _runs() -> Iterator[Ask]:
    for name in ON_WAFERS:
        links = "" if name == LARGE else " --links"
        yield Question(f"run/{name}", (f"run {name} --json --layers{links} --scaling --measured",))
    for name in ON_GPUS:
        yield Question(f"run/{name}", (f"run {name} --json --top 3 --scaling --measured",))
    for name, command in SETTINGS.items():
        yield Question(f"run_with/{name}", (command,))
    for name, content in OWN_RUNS.items():
        yield Question(f"run_of_own/{name}", ("run run.toml --json", "run run.toml"), {"run.toml": content})
    for name, foreign in FOREIGN.items():
        files = {"run.toml": _foreign_run(name), foreign: _data(name)}
        yield Question(f"run_of_own/{name.partition('.')[0]}", ("run run.toml --json",), files)


SHOWN = {
    "andromeda_13b": "--scaling --measured --layers --links",
    "bert_large": "--measured",
    "gpt3_13b_256xa100": "--top 5 --scaling",
    "gpt_1t_cs2_192": "",
    "gpt_neox_20b_96xa100": "--measured",
    "input_bound_bert": "",
    "llama_2_70b_cs3_64": "--scaling",
    "llama_3.1_70b_64xh100": "",
    "sparse_6.7b_cs3": "",
    "straggler_13b": "--links",
}
"""Runs that are shown as tables, and how."""


def _tables() -> Iterator[Ask]:
    for name, options in SHOWN.items():
        yield Question(f"run_in_words/{name}", (f"run {name} {options}".rstrip(),))


# Studies

GOAL = """\
name        = "loss 2.4 within a month"
target_loss = 2.4
law         = "chinchilla"

[limits]
deadline_s = "30 d"
budget_usd = "2 MUSD"
power_w    = "1 MW"

[[candidates]]
cluster = "condor_galaxy_1"

[[candidates]]
cluster     = "dgx_h100"
num_devices = [64, 128]
"""
GOALS = {
    "deadline": 'plan --model cerebras-gpt-13b --deadline "30 d" --cluster andromeda',
    "budget": 'plan --model cerebras-gpt-1.3b --deadline "7 d" --budget 1e5 --cluster andromeda --cluster aws_p4d',
    "never": 'plan --model gpt3-175b --deadline "1 d" --cluster andromeda',
    "loss": "plan --target-loss 2.6 --budget 1e6 --cluster andromeda",
    "law": 'plan --target-loss 2.2 --deadline "30 d" --law cerebras-gpt --cluster cs3 --cluster dgx_h100',
    "power": 'plan --model llama-2-7b --tokens 100e9 --power "200 kW" --cluster cs3 --cluster dgx_a100_80gb',
    "file": "plan goal.toml",
}
LIVES = {
    "usual": "lifetime andromeda_13b --replications 50",
    "fragile": 'lifetime andromeda_13b --set "cluster.reliability.system_mtbf_s=30 days" --set job.spares=0 --seed 7',
    "shrink": "lifetime opt_175b_992xa100 --set job.on_failure=shrink --replications 20",
    "wait": "lifetime cerebras_gpt_1.3b_gpu --set job.on_failure=wait --replications 20",
    "certain": "lifetime bert_large --set job.queue_s=3600 --set job.checkpoint_interval_s=1800 --replications 5",
}
COMPARISONS = {
    "usual": "compare andromeda_13b gpt3_13b_256xa100",
    "same_time": "compare andromeda_13b gpt3_13b_256xa100 --same-time",
    "three": "compare cerebras_gpt_13b_gpu andromeda_13b straggler_13b",
    "wafers": "compare cerebras_gpt_1.3b cerebras_gpt_2.7b",
    "gpus": "compare cerebras_gpt_6.7b_gpu llama_65b_2048xa100",
}
SENSITIVITIES = {"wafer": "sensitivity andromeda_13b", "gpu": "sensitivity cerebras_gpt_1.3b_gpu"}
SWEEPS = {
    "grid": "sweep andromeda_13b --vary cluster.num_systems=1..4,12 --vary training.weight_sparsity=0.0..0.6+0.3",
    "layers": "sweep cerebras_gpt_111m --vary model.num_layers=1..12",
    "names": "sweep cerebras_gpt_1.3b --vary cluster.system=cs2,cs3 --vary training.global_batch_size=240,528",
    "quantities": 'sweep andromeda_13b --vary "cluster.system.wafer.io_bytes_per_s=0.3 Tb/s,0.6 Tb/s,1.2 Tb/s"',
    "too_many": "sweep andromeda_13b --vary cluster.num_systems=8..24*2,17",
    "gpus": "sweep cerebras_gpt_111m_gpu --vary cluster.num_gpus=8,16,32 --vary training.global_batch_size=120,240",
    "plans": "sweep cerebras_gpt_6.7b_gpu --vary parallelism.tensor_parallel_size=1,2,4,8",
}
LEDGER = (
    "ledger list out.csv.ledger",
    "ledger export out.csv.ledger --out again.csv",
    "ledger clean out.csv.ledger --failures",
    "ledger list out.csv.ledger",
)


def _both(command: str) -> tuple[str, str]:
    return f"{command} --json", command


def _studies() -> Iterator[Ask]:
    for name, command in GOALS.items():
        yield Question(f"plan/{name}", _both(command), {"goal.toml": GOAL})
    for name, command in LIVES.items():
        yield Question(f"lifetime/{name}", _both(command))
    for name, command in COMPARISONS.items():
        yield Question(f"compare/{name}", _both(command))
    for name, command in SENSITIVITIES.items():
        yield Question(f"sensitivity/{name}", _both(command))
    portfolio = (ROOT / "docs" / "examples" / "portfolio.toml").read_text(encoding="utf-8")
    for policy in ("first-come", "priority", "deadline"):
        commands = (
            *_both(f"portfolio jobs.toml --policy {policy}"),
            f"portfolio jobs.toml --policy {policy} --no-backfill",
        )
        yield Question(f"portfolio/{policy}", commands, {"jobs.toml": portfolio})
    by = _both('portfolio jobs.toml --policy deadline --by "30 days"')
    yield Question("portfolio/by", by, {"jobs.toml": portfolio})
    for name, command in SWEEPS.items():
        commands = (f"{command} --workers 1 --out out.csv", *(LEDGER if name == "too_many" else ()))
        yield Question(f"sweep/{name}", commands, reads={"out.csv": table})


# Measurements

SETS = ("usc-gpt", "usc-bert", "release-factors", "students", "micro-batch", "alcf", "published-runs", "sc21-table1")
SETS += ("dgxc-llama-h100", "korthikanti", "korthikanti-layers", "llm-foundry-a100", "vtrain-multi")
"""Sets whose rows are asked for; docs/validation.md, which a test holds, has the figures of all."""
OWN_RATES = """\
use,set,model,sequence_length,global_batch_size,num_systems,system,software_release,metric,value
calibration,our-cluster,cerebras-gpt-6.7b,2048,242,2,cs2,2.3,samples_per_s,48.0
validation,our-cluster,cerebras-gpt-13b,2048,180,2,cs2,2.3,samples_per_s,26.4
"""
OWN_LOG = """\
| Train Device=CSX, Step=100, Loss=7.92, Rate=120.3 samples/sec, GlobalRate=120.3 samples/sec
| Train Device=CSX, Step=200, Loss=6.87, Rate=147.9 samples/sec, GlobalRate=134.1 samples/sec
| Train Device=CSX, Step=300, Loss=6.10, Rate=148.2 samples/sec, GlobalRate=138.8 samples/sec
"""


def _measurements() -> Iterator[Ask]:
    for name in SETS:
        yield Question(f"validate/{name}", (f"validate {name} --json --rows",))
    yield Question("validate/in_words", ("validate cerebras", "validate usc-gpt --rows", "validate sc21-table1"))
    own = (
        "validate rates.csv --json",
        'calibrate rates.csv --source "our cluster, spring" --out fit.toml --json',
        "calibrate rates.csv",
        "validate rates.csv --calibration fit.toml",
        "run andromeda_13b --set cluster.system.calibration=fit.toml",
        "calibrate train.log --run andromeda_13b --out log.toml",
    )
    files = {"rates.csv": OWN_RATES, "train.log": OWN_LOG}
    yield Question("calibrate/own", own, files, {"fit.toml": text, "log.toml": text})


# What the catalogue holds

KINDS = ("systems", "gpus", "clusters", "models", "calibrations", "laws", "runs")
SCHEMAS = (
    "calibration",
    "gpu-calibration",
    "model",
    "system",
    "gpu",
    "cluster",
    "gpu-cluster",
    "run",
    "goal",
    "portfolio",
)
"""The small ones before those that hold them."""


def _entries(kind: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "cluster_configs" / kind).glob("*.toml"))


def _catalogue() -> Iterator[Ask]:
    yield Question("list/all", ("list --json", "list", *(f"list {kind}" for kind in KINDS)))
    for kind in KINDS[:-1]:
        for name in _entries(kind):
            if kind != "models":
                yield Question(f"explain/{kind}/{name}", (f"explain {name} --json",))
    for family, names in groupby(_entries("models"), lambda name: name.split("-")[0]):
        yield Question(f"explain/models/{family}", tuple(f"explain {name} --json" for name in names))
    yield Question(
        "explain/in_words", ("explain cs2", "explain dgx_h100", "explain cerebras-gpt-13b", "explain bert_large")
    )
    for place, kind in enumerate(SCHEMAS):
        yield Schema(f"schema/{kind}", kind, SCHEMAS[:place])
    written = {f"schemas/{kind}.schema.json": as_json for kind in ("calibration",)}
    yield Question("schema/written", ("schema --out schemas",), reads=written)
    commands = (
        "run",
        "compare",
        "trace",
        "report",
        "validate",
        "calibrate",
        "explain",
        "list",
        "schema",
        "plan",
        "lifetime",
    )
    commands += ("portfolio", "sweep", "serve", "ledger", "ledger list", "ledger export", "ledger clean")
    yield Question("help/commands", ("", "--version", *(f"{command} --help".strip() for command in ("", *commands))))


# Wrong input

WRONG: Mapping[str, list[wrong.Wrong]] = {
    "unknown_keys": wrong.UNKNOWN_KEYS,
    "types": wrong.TYPES,
    "units": wrong.UNITS,
    "counts": wrong.COUNTS,
    "absurd": wrong.ABSURD,
    "contradictions": wrong.CONTRADICTIONS,
    "too_large": wrong.TOO_LARGE,
    "files": wrong.FILES,
    "names": wrong.NAMES,
    "settings": wrong.SETTINGS,
    "measurements": wrong.MEASUREMENTS,
    "calibrate": wrong.CALIBRATE,
}


def _refusals() -> Iterator[Ask]:
    for name, cases in WRONG.items():
        yield Refused(f"wrong_input/{name}", [(one.id, one.argv, one.files) for one in cases])


# Files to look at

TRACES = {
    "wafer": "trace andromeda_13b --out step.json",
    "steps": "trace cerebras_gpt_111m --steps 3 --out step.json --json",
    "layers": "trace gpt_1t_cs2_192 --layers 0..1,head --out step.json",
    "straggler": "trace straggler_13b --set training.global_batch_size=960 --layers 0..3 --out step.json",
    "gpus": "trace gpt3_13b_256xa100 --out step.json",
    "pipeline": "trace cerebras_gpt_13b_gpu --set parallelism.pipeline_parallel_size=4 --steps 2 --out step.json",
}
REPORTS = {
    "wafer": "report andromeda_13b --out report.html",
    "gpu": "report llama_3.1_70b_64xh100 --out report.html",
    "both": "report cerebras_gpt_111m cerebras_gpt_111m_gpu --out report.html",
    "beside": "report cerebras_gpt_1.3b --set cluster.num_systems=2 --gpu-cluster dgx_h100 --out report.html",
}
PICTURES = ("breakdown", "scaling", "efficiency", "timeline", "memory", "utilization", "totals", "validation")


def _files() -> Iterator[Ask]:
    for name, command in TRACES.items():
        yield Question(f"trace/{name}", (command,), reads={"step.json": trace})
    for name, command in REPORTS.items():
        yield Question(f"report/{name}", (command,), reads={"report.html": page})
    drawn = tuple(f"report cerebras_gpt_111m --picture {name} --out {name}.svg" for name in PICTURES)
    yield Question("report/pictures", drawn, reads={f"{name}.svg": svg for name in PICTURES})
    others = tuple(f"report bert_large --picture breakdown --out one.{ending}" for ending in ("png", "pdf"))
    yield Question("report/formats", others, reads={"one.png": first_bytes, "one.pdf": first_bytes})
    grid = "--vary cluster.num_systems=1..4 --vary training.weight_sparsity=0.0,0.5"
    swept = (
        f"sweep cerebras_gpt_111m {grid} --workers 1 --out grid.csv",
        "report --ledger grid.csv.ledger --out grid.html",
        "report --ledger grid.csv --x training.weight_sparsity --y cost_usd --out cost.html",
        "report --ledger grid.csv.ledger --y mfu --out mfu.svg",
    )
    yield Question("report/sweep", swept, reads={"grid.html": page, "cost.html": page, "mfu.svg": svg})


# The page

SMALL = "model=cerebras-gpt-111m&cluster=cs2&systems=2&batch=120"
GOAL_ASKED = "answer=yes&model=cerebras-gpt-111m&deadline=1+h&candidates=andromeda"
ADDRESSES = {
    "run": ("/", f"/?{SMALL}&num_gpus=16", f"{PART}/?{SMALL}&gpus=none", f"/comparison?{SMALL}&num_gpus=16"),
    "ready": ("/runs/straggler_13b?systems=8", "/runs/andromeda_13b", "/runs/andromeda_13"),
    "plan": ("/plan", f"/plan?{GOAL_ASKED}", f"{PART}/plan?{GOAL_ASKED}", f"/plan?{GOAL_ASKED}&budget=1"),
    "files": (
        f"/run.toml?{SMALL}&num_gpus=16&settings=training.max_gradient_norm%3D0",
        f"/gpus.toml?{SMALL}&num_gpus=16",
        f"/goal.toml?{GOAL_ASKED}",
        f"/scaling.svg?{SMALL}&theme=dark",
        "/style.css",
        "/pictures.js",
        "/static/page.js",
    ),
    "report": (f"/report.html?{SMALL}&gpus=neox_cluster&num_gpus=16",),
    "json": (f"/api/run?{SMALL}", f"/api/gpus?{SMALL}&num_gpus=16", f"/api/plan?{GOAL_ASKED}", "/api/run?systems=x"),
    "refused": (
        "/?system=3&gpus=none",
        *(f"{PART}/?{query}&gpus=none" for query in ("systems=3&systems=4", "systems=abc", "systems=17")),
        *(f"{PART}/?{query}&gpus=none" for query in ("sequence_length=0", "model=megatron-1t&batch=1")),
        f"/?{SMALL}&num_gpus=7000000",
        *(f"/api/run?{query}" for query in ("settings=cluster.swarmx.fan_outt%3D3", "cluster=../../etc/passwd")),
        *(f"{PART}/plan?answer=yes&{query}" for query in ("deadline=soon", "candidates=", "target_loss=-1")),
        "/goal.toml?target_loss=2&batch=0",
        "/nothing",
        "/static/nothing",
        "/api/nothing",
    ),
}


def _page() -> Iterator[Ask]:
    for name, addresses in ADDRESSES.items():
        yield Pages(f"page/{name}", addresses)


# Python and the docs

SCRIPTS = {
    "names": "import wsesim\nfound = {name: type(getattr(wsesim, name)).__name__ for name in sorted(wsesim.__all__)}\n",
    "simulate": """\
import wsesim

result = wsesim.simulate(wsesim.load("andromeda_13b", ["cluster.num_systems=8"]))
print(repr(result))
found = {
    name: getattr(result, name)
    for name in sorted(set(dir(result)) & set(result.to_dict()))
    if not callable(getattr(result, name)) and name not in ("wall_s", "assumptions", "job")
}
""",
    "simulate_on_gpus": """\
import wsesim

result = wsesim.simulate(wsesim.load("gpt3_13b_256xa100"))
print(repr(result))
found = {key: value for key, value in result.to_dict().items() if key != "assumptions"}
""",
    "simulate_many": """\
import wsesim

runs = [wsesim.load("cerebras_gpt_111m", [f"cluster.num_systems={n}"]) for n in (1, 2, 4, 8)]
found = [[result.num_devices, result.step_time_s, wsesim.scaling_efficiency(result)[0]] for result in wsesim.simulate_many(runs)]
""",
    "from_table": """\
import wsesim

table = {
    "model": {"name": "gpt2"},
    "training": {"sequence_length": 1024, "global_batch_size": 512, "tokens": 1e9},
    "cluster": {"name": "cs3", "num_systems": 4},
}
found = wsesim.simulate(wsesim.from_table(table)).to_dict()
""",
    "sweep": """\
import wsesim

result = wsesim.sweep("cerebras_gpt_111m", {"cluster.num_systems": "1..4", "training.weight_sparsity": [0.0, 0.5]})
print(repr(result))
found = [dict(row) for row in result]
""",
    "studies": """\
import wsesim

compared = wsesim.compare("cerebras_gpt_111m", "cerebras_gpt_111m_gpu")
planned = wsesim.plan(model="cerebras-gpt-111m", deadline="7 d", clusters=["andromeda"])
life = wsesim.lifetime(wsesim.load("cerebras_gpt_1.3b"), replications=5)
shared = wsesim.portfolio("jobs.toml", policy="deadline")
for answer in (compared, planned, life, shared):
    print(repr(answer))
found = {"compare": compared.to_dict(), "plan": planned.to_dict(), "lifetime": life.to_dict(), "portfolio": shared.to_dict()}
""",
    "notebook": """\
import wsesim

answers = {
    "run": wsesim.simulate(wsesim.load("cerebras_gpt_111m")),
    "gpu run": wsesim.simulate(wsesim.load("cerebras_gpt_111m_gpu")),
    "compare": wsesim.compare("cerebras_gpt_111m", "cerebras_gpt_111m_gpu"),
    "plan": wsesim.plan(model="cerebras-gpt-111m", deadline="7 d", clusters=["andromeda"]),
    "lifetime": wsesim.lifetime(wsesim.load("cerebras_gpt_111m"), replications=5),
    "portfolio": wsesim.portfolio("jobs.toml"),
    "sweep": wsesim.sweep("cerebras_gpt_111m", {"cluster.num_systems": "1..3"}),
}
shown = {name: answer._repr_html_() for name, answer in answers.items()}
""",
}

DOCS = (*sorted((ROOT / "docs").glob("**/*.md")), ROOT / "README.md")
"""The README last: it repeats what the others show."""
STAND_INS = {"config.json": "llama-3-8b.json", "params.yaml": "params_gpt3_1p3b_trainer.yaml"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _scripts() -> Iterator[Ask]:
    portfolio = (ROOT / "docs" / "examples" / "portfolio.toml").read_text(encoding="utf-8")
    for name, code in SCRIPTS.items():
        yield Script(f"python/{name}", code, {"jobs.toml": portfolio})


LONG_PAGE = 20_000
WRITE_PICTURES = ("report ", "trace ", "schema ")
"""Commands whose files are asked for above; tests of the docs run them."""


def _docs() -> Iterator[Ask]:
    """Pages in a folder with the files of all of them; what was asked before and writes nothing is not asked again."""
    known = {
        shlex.join(shlex.split(one))
        for some in (_runs, _tables, _studies, _measurements, _catalogue)
        for asked in some()
        if isinstance(asked, Question) and not asked.files
        for one in asked.commands
    }
    files: dict[str, str] = {name: _data(stand_in) for name, stand_in in STAND_INS.items()}
    files["docs/examples/portfolio.toml"] = (ROOT / "docs" / "examples" / "portfolio.toml").read_text(encoding="utf-8")
    for path in DOCS:
        content = path.read_text(encoding="utf-8")
        files |= dict(FILE.findall(content))
        for place, part in enumerate(_parts(content)):
            commands = [one for one in _commands(part) if " --out " in one or one not in known]
            known |= set(commands)
            if commands:
                yield Question(f"docs/{path.stem.lower()}{f'_{place}' if place else ''}", tuple(commands), files)


def _parts(content: str) -> list[str]:
    """A long page in two, so that no file of the record is too long."""
    start = content.rfind("\n## ", 0, len(content) // 2)
    return [content] if len(content) < LONG_PAGE or start < 0 else [content[:start], content[start:]]


def _commands(content: str) -> list[str]:
    """Commands that a page shows, without their first word."""
    shown = [line for language, block in FENCE.findall(content) if language == "sh" for line in block.splitlines()]
    parts = [part for line in shown for part in line.split(" && ") if part.startswith("wsesim ")]
    commands = [shlex.join(shlex.split(part, comments=True)[1:]) for part in parts]
    return [one for one in commands if not one.startswith(WRITE_PICTURES)]


QUESTIONS: dict[str, Ask] = {
    one.name: one
    for some in (_runs, _tables, _studies, _measurements, _catalogue, _refusals, _files, _page, _scripts, _docs)
    for one in some()
}


def _answer(name: str) -> tuple[str, Any, float]:
    start_s = time.process_time()
    return name, QUESTIONS[name].answer(), time.process_time() - start_s


def asked(names: Sequence[str], jobs: int) -> Iterator[tuple[str, Any, float]]:
    """Names and answers in the order of the questions, and how long each took; from several processes."""
    if jobs == 1 or len(names) == 1:
        yield from map(_answer, names)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_answer, names)
