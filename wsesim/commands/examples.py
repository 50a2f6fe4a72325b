"""What the help of a command says beside its docstring: a summary in full, and examples.

All examples are commands of the documentation, which a test runs.
"""

from __future__ import annotations

from collections.abc import Callable

EXAMPLES = {
    "run": (
        "wsesim run andromeda_13b --scaling",
        "wsesim run bert_large --set cluster.software_release=2.0",
        "wsesim run gpt3_13b_256xa100 --top 5",
    ),
    "compare": ("wsesim compare andromeda_13b --with dgx_a100_80gb:256 --same time",),
    "sensitivity": ("wsesim sensitivity andromeda_13b",),
    "trace": ("wsesim trace andromeda_13b --out step.json.gz",),
    "report": (
        "wsesim report andromeda_13b --out report.html",
        "wsesim report andromeda_13b --picture scaling --out scaling.pdf",
    ),
    "validate": ("wsesim validate usc-gpt", "wsesim validate my_rates.csv"),
    "calibrate": ("wsesim calibrate train.log --run andromeda_13b --out log_calibration.toml",),
    "explain": ("wsesim explain cs2", "wsesim explain config.json"),
    "list": ("wsesim list models",),
    "import": ("wsesim import args.txt --cluster selene --out imported.toml",),
    "schema": ("wsesim schema --out schemas",),
    "plan": (
        'wsesim plan --model cerebras-gpt-13b --deadline "7 weeks" --cluster andromeda',
        "wsesim plan loss_goal.toml",
    ),
    "lifetime": ("wsesim lifetime andromeda_13b --replications 50",),
    "portfolio": ("wsesim portfolio my_portfolio.toml --policy deadline",),
    "sweep": ("wsesim sweep andromeda_13b --vary cluster.num_systems=1..8*2 --out out.csv",),
    "serve": ("wsesim serve",),
    "ledger list": ("wsesim ledger list sweep.csv.ledger",),
    "ledger export": ("wsesim ledger export sweep.csv.ledger --out sweep_again.csv",),
    "ledger clean": ("wsesim ledger clean sweep.csv.ledger --failures",),
}


def summary(command: Callable[..., None]) -> str:
    """The first paragraph of its docstring; left to itself, the list of commands would cut it off."""
    return (command.__doc__ or "").split("\n\n")[0]


def epilog(name: str) -> str:
    """What stands at the end of a command's help; the sign in front keeps its lines as they are."""
    lines = EXAMPLES[name]
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
