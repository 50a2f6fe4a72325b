"""Tests of wsesim: metrics."""
