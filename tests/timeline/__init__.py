"""Tests of wsesim: timelines."""
