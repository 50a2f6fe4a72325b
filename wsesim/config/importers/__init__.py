"""Model descriptions of others, read as ours."""
