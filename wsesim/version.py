"""Of this package; answers, ledgers and files that it wrote name it."""

__version__ = "0.2.0"
