"""The page about a kind of machine of one's own: the file of the tests that is one."""

from __future__ import annotations

from pathlib import Path

TOY = Path(__file__).resolve().parents[2] / "tests" / "toy"
TEXT = """\
# Your own kind of machine

A new GPU or wafer-scale system is a [file](own-machine.md). What is neither, a TPU pod or a chip with a fabric of its own, is a
kind of machine: a subclass of `wsesim.machines.machine.Machine`, in a package of yours. Every command takes it then, and so do the
page, reports and Python; nothing in wsesim is changed. It says what its files hold, what a step takes, and what it is called:

| member | says |
|---|---|
| `files` | specs of a cluster and of what it is built of; the folder of its catalogue |
| `check` | refuses what cannot be |
| `simulate` | one step, as a `Step`: its time, by cause; FLOP, peak, memory |
| `words` | what its devices, parts and causes are called |

The rest has an answer that is good for equal devices that share a batch; override what your machine knows better
(`sized`, `weak`, `strong`, `failures`, `bounds`, `timeline`, `step_times_s`).

`pyproject.toml` of the package names it:

```toml
[project.entry-points."wsesim.machines"]
ring = "my_package.machine:RING"
```

This one, a ring of tiles, is a test of wsesim as it stands (`tests/toy`):

```python
{code}```

Its catalogue lies beside it, laid out as `cluster_configs`. `catalogue/tiles/tile_one.toml`:

```toml
{tile}```

`catalogue/clusters/small_ring.toml`, after which `wsesim run`, `wsesim compare` and `wsesim plan` take the name `small_ring`:

```toml
{cluster}```
"""


def page() -> str:
    """What to write, and an example that a test runs through every command."""
    files = {
        "code": "machine.py",
        "tile": "catalogue/tiles/tile_one.toml",
        "cluster": "catalogue/clusters/small_ring.toml",
    }
    return TEXT.format(**{name: (TOY / path).read_text(encoding="utf-8") for name, path in files.items()})
