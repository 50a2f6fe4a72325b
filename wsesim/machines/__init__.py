"""Kinds of machines: what each is made of, how a step runs on it, and what was measured."""
