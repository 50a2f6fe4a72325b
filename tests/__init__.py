"""Tests of wsesim."""
