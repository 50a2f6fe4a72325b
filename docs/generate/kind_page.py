"""What the site adds to the page about a kind of machine of one's own: the files of the tests that are one."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "tests/toy/machine.py": "python",
    "tests/toy/catalogue/tiles/tile_one.toml": "toml",
    "tests/toy/catalogue/clusters/small_ring.toml": "toml",
}


def example() -> str:
    """Each file as it stands, below its name."""
    blocks = (
        f"`{name}`:\n\n```{language}\n{(ROOT / name).read_text(encoding='utf-8')}```\n"
        for name, language in FILES.items()
    )
    return "\n## The example\n\n" + "\n".join(blocks)
