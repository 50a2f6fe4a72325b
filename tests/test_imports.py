"""Start-up counts: a command imports what it needs and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def loaded_by(code: str) -> set[str]:
    """Top-level packages outside the standard library that some code loads, and wsesim's own modules."""
    program = f"import sys\nbefore = set(sys.modules)\n{code}\nimport json\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    names = json.loads(printed.splitlines()[-1])
    outside = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    return {name for name in outside if not name.startswith("_")} | {
        name for name in names if name.startswith("wsesim.")
    }


def test_importing_wsesim_loads_nothing_but_wsesim_itself() -> None:
    assert loaded_by("import wsesim") == {"wsesim"}


def test_help_needs_the_command_line_library_only() -> None:
    loaded = loaded_by("import wsesim.commands.cli")
    own = {name for name in loaded if name.startswith("wsesim.") and not name.startswith("wsesim.commands")}
    assert own == {"wsesim.errors", "wsesim.version"}
    assert not loaded & {"simpy", "numpy", "networkx", "pydantic", "scipy", "yaml"}


@pytest.mark.parametrize("package", ["numpy", "scipy", "networkx", "yaml"])
def test_a_run_on_equal_systems_does_without(package: str) -> None:
    assert package not in loaded_by("import wsesim\nwsesim.simulate(wsesim.load('cerebras_gpt_111m')).to_dict()")


OF_PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}


def test_a_run_by_command_loads_four_packages_and_few_of_our_rooms() -> None:
    call = "from wsesim.commands.cli import main\ntry:\n    main()\nexcept SystemExit:\n    print()"
    loaded = loaded_by(f"import sys\nsys.argv = ['wsesim', 'run', 'andromeda_13b']\n{call}")
    print(sorted(loaded))
    assert {name for name in loaded if "." not in name} <= {"wsesim", "rich", "simpy", "click", *OF_PYDANTIC}
    rooms = {".".join(name.split(".")[:2]) for name in loaded}
    assert not rooms & {"wsesim.study", "wsesim.page"}
