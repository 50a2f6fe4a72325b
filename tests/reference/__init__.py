"""Published numbers, for truth."""
