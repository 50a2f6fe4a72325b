"""``python -m wsesim``."""

from wsesim.cli import main

main()
