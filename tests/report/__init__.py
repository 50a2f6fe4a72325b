"""Tests of wsesim: report."""
