# Needs an environment with '.[test,docs]' installed.
.PHONY: check
check:
	pytest
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
