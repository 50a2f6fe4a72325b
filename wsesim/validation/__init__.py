"""Published measurements: read them, predict them, fit to them, compare."""
