"""The shape of the package: which rooms import which, and where the kind of a machine is named."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import networkx as nx

import wsesim
from wsesim.plugins import MACHINES

PACKAGE = Path(wsesim.__file__).parent
MOST_FLOORS = 10
"""Steps of the longest chain of imports between rooms. [-]"""
MOST_FILES = 150
"""Modules of the package. [-]"""
KINDS = {"gpu", "wafer", "wafer_scale"}
COUNTS = {machine.files.cluster.count for machine in MACHINES.values()}
READS = {"get", "getattr", "pop", "setdefault"}
NAMED = {
    "config/importers/megatron.py": "an argument of a launcher of theirs",
    "config/loader.py": "readers of catalogue entries and of runs that people call by the kind they want",
    "page/form.py": "a control of the page",
    "page/run_file.py": "a control of the page",
    "report/charts/scaling.py": "curves of a cluster beside have the kind as the contract's key",
    "report/pages/gpu_validation.py": "columns of tables of measurements",
    "units.py": "what people say behind the number of a key",
    "validate/gpu_calibrate.py": "a column of a table of measurements",
    "validate/gpu_predict.py": "rows of a table of GPU measurements",
}
"""Files outside `machines/` that ask for a kind's name, or for how it counts its devices, and why."""
MOST_NAMED = 15


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("wsesim", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> nx.DiGraph:
    """An arrow from each module to each that it imports, wherever the import stands."""
    known, graph = modules(), nx.DiGraph()
    for name, path in known.items():
        graph.add_node(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            graph.add_edges_from((name, other) for other in _named(node, known) if other != name)
    return graph


def _named(node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom) and node.module in known:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in known else str(node.module)


def room(name: str) -> str:
    """A package below wsesim, or a module of its own."""
    return ".".join(name.split(".")[:2])


@cache
def rooms() -> nx.DiGraph:
    arrows = ((room(one), room(other)) for one, other in imports().edges)
    return nx.DiGraph((one, other) for one, other in arrows if one != other)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for type checking, and those inside of functions, are counted."""
    circles = sorted(nx.strongly_connected_components(imports()), key=len, reverse=True)
    assert len(circles[0]) == 1, sorted(circles[0])


def test_rooms_are_few_floors_high() -> None:
    assert nx.is_directed_acyclic_graph(rooms()), list(nx.simple_cycles(rooms()))[:3]
    chain = nx.dag_longest_path(rooms())
    print(len(chain), "floors:", " -> ".join(chain))
    assert len(chain) <= MOST_FLOORS, chain
    assert all(rooms().has_edge(one, other) for one, other in pairwise(chain))


def test_files_are_few() -> None:
    assert len(modules()) <= MOST_FILES


def kind_of(name: str) -> str:
    """The folder below `machines` that a module lies in; empty for what kinds of machines share."""
    parts = [*name.split("."), "", ""]
    folder = PACKAGE / "machines" / (parts[2] or "-")
    return parts[2] if parts[1] == "machines" and (folder / "__init__.py").is_file() else ""


def test_kinds_of_machines_do_not_import_each_other() -> None:
    """What two of them need stands beside their folders."""
    assert {kind_of(name) for name in modules()} >= {"", "gpu", "wafer"}
    arrows = ((one, other) for one, other in imports().edges if kind_of(one) and kind_of(other))
    assert not [(one, other) for one, other in arrows if kind_of(one) != kind_of(other)]


def asks_for_a_kind(path: Path) -> Iterator[int]:
    """Lines that test for the name of a kind of machine, for its class, or for the key of its devices."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.expr))
    yield from (node.lineno for node in nodes if _asks(node))


def _asks(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
        return _asks_a_kind(node)
    if isinstance(node, ast.Compare):
        sides = [side.value for side in (node.left, *node.comparators) if isinstance(side, ast.Constant)]
        return not KINDS.isdisjoint(sides) or _has_count((node.left, *node.comparators))
    return _has_count(_chosen_from(node))


def _chosen_from(node: ast.expr) -> Sequence[ast.expr]:
    """What is listed, or looked up; the keys of an answer are neither."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return node.elts
    if isinstance(node, ast.Subscript):
        return (node.slice,)
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in READS:
        return node.args
    return ()


def _has_count(nodes: Sequence[ast.expr]) -> bool:
    words = (str(node.value) for node in nodes if isinstance(node, ast.Constant))
    return any(word.rpartition(".")[2] in COUNTS for word in words)


def _asks_a_kind(call: ast.Call) -> bool:
    return any(word in ast.unparse(call.args[1]) for word in ("GPU", "Wafer", "ClusterSpec"))


def test_nothing_outside_of_machines_branches_on_their_kind() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith("machines/") and (lines := list(asks_for_a_kind(path))):
            found[place] = lines
    for place, lines in found.items():
        print(f"{place} {lines}: {NAMED.get(place)}")
    assert found.keys() == NAMED.keys()
    assert sum(map(len, found.values())) <= MOST_NAMED
