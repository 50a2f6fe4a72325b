"""Tests of wsesim: engine."""
