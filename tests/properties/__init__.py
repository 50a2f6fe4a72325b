"""Tests of wsesim: properties."""
