"""Tests of wsesim: planning."""
