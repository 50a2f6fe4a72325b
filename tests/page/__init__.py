"""Tests of wsesim: page."""
