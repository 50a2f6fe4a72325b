"""``python -m wsesim``."""

from wsesim.commands.cli import main

main()
