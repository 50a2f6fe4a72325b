"""The wheel alone is enough: the catalogue and the measurements travel inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsesim.config import catalogue

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this checkout is installed, far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return folder / "site"


def wsesim(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "wsesim", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=environment).stdout


def test_the_installed_package_is_the_one_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", "import wsesim; print(wsesim.__file__)"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment).stdout
    assert Path(found.strip()).is_relative_to(installed)


@pytest.mark.parametrize("name", ["andromeda_13b", "cluster_configs/runs/andromeda_13b.toml"])
def test_catalogue_names_run_from_any_directory(installed: Path, tmp_path: Path, name: str) -> None:
    assert json.loads(wsesim(installed, tmp_path, "run", name, "--json"))["num_devices"] == 12


def test_the_catalogue_is_there_with_all_its_kinds(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(wsesim(installed, tmp_path, "list", "--json"))
    for kind, entries in listed.items():
        assert sorted(entries) == list(catalogue.names(kind))


def test_a_run_file_elsewhere_uses_catalogue_names(installed: Path, tmp_path: Path) -> None:
    text = (
        '[model]\nname = "gpt2"\n[training]\nsequence_length = 1024\nglobal_batch_size = 64\n'
        '[cluster]\nname = "cs2"\nnum_systems = 2\n'
    )
    (tmp_path / "mine.toml").write_text(text)
    assert json.loads(wsesim(installed, tmp_path, "run", "mine.toml", "--json"))["num_devices"] == 2


def test_templates_are_there_for_reports(installed: Path, tmp_path: Path) -> None:
    wsesim(installed, tmp_path, "report", "cerebras_gpt_111m", "--gpu-cluster", "none", "--out", "report.html")
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_measurements_are_there_for_validation(installed: Path, tmp_path: Path) -> None:
    assert "micro-batch" in wsesim(installed, tmp_path, "validate", "micro-batch")
