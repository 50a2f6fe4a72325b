"""What a user sees of wsesim, recorded: `python -m tests.record --check | --write`.

Questions go through the front door alone (the command, the public names, HTTP), so that the record outlives a redesign.
"""
