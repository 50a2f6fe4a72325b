"""`python -m tests.lowest`: the lowest versions that pyproject.toml allows, as constraints for pip.

`.ci/run` installs them into an environment of their own and runs some quick tests there.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_AT_LEAST = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)")
NOT_RUN = ("mypy", "ruff", "build", "hatchling", "import-linter", "types-PyYAML", "selenium")
"""Tools of the tests that the quick ones do not call."""


def lowest() -> dict[str, str]:
    """Version of each package that is needed, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [
        *project["dependencies"],
        *(need for name in ("dask", "pandas", "parquet", "test") for need in extras[name]),
    ]
    found = {match[1]: match[2] for need in needs if (match := _AT_LEAST.fullmatch(need))}
    return {name: version for name, version in found.items() if name not in NOT_RUN}


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in lowest().items()))
