"""A thin layer over SimPy; no Cerebras, no GPU."""
