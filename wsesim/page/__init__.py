"""The interactive page: the address bar is a run, worker processes answer it, and nothing is remembered between requests."""
