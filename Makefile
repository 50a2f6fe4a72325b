# Needs an environment with '.[test]' installed.
.PHONY: check
check:
	pytest
	ruff check .
	ruff format --check .
	mypy
	lint-imports
