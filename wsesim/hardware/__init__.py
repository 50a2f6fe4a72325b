"""One real thing per file: its formula, and its state among others."""
