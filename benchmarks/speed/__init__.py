"""How fast wsesim is, and how much work it does: ``python -m benchmarks.speed``."""
